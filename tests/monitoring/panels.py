"""The queries of the committed dashboards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.monitoring.rule_files import ROOT

DASHBOARDS: Final = ROOT / "deploy" / "grafana" / "dashboards"


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel."""

    dashboard: str
    panel: str
    expression: str
    legend: str

    def filled(self, namespace: str, model: str) -> str:
        """The expression, its variables replaced as Grafana would."""
        values = {"$__rate_interval": "10s", "$namespace": namespace, "$model": model}
        text = self.expression
        for name, value in {**values, "$instance": ".*", "$version": ".*"}.items():
            text = text.replace(name, value)
        assert "$" not in text.replace("$1", ""), text
        return text

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel}: {self.expression}"


def files() -> list[Path]:
    """The committed dashboards."""
    return sorted(DASHBOARDS.glob("*.json"))


def documents() -> list[dict[str, Any]]:
    """As Grafana reads them."""
    return [json.loads(path.read_text()) for path in files()]


def panel_queries() -> Iterator[PanelQuery]:
    """All queries of all panels."""
    for document in documents():
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                yield PanelQuery(document["uid"], panel["title"], target["expr"], target["legendFormat"])
