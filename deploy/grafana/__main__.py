"""Writes the dashboards as JSON: python -m deploy.grafana FOLDER. `deploy/grafana/dashboards` is its output."""

import argparse
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.frame import framed
from deploy.grafana.sources import sources


def as_json(made: Dashboard) -> str:
    """As Grafana provisions it."""
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(made) + "\n"


def main() -> None:
    """Writes one file a dashboard."""
    parser = argparse.ArgumentParser(description="The dashboards as JSON.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources():
        (folder / f"{source.uid}.json").write_text(as_json(framed(source)))


if __name__ == "__main__":
    main()
