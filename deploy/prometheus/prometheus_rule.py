"""The rules as one PrometheusRule, for Kubernetes with the Prometheus operator.

    python -m deploy.prometheus.prometheus_rule [--runbooks https://wiki.example/martlet/] > prometheusrule.yaml

`kubernetes/prometheusrule.yaml` is its output without arguments; `make lint` compares.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).parent / "rules"
HEAD: Final = "# Made by `make monitoring` of deploy/prometheus/rules. Do not edit.\n"


class _Readable(yaml.SafeDumper):
    """Expressions of several lines stay several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def groups(folder: Path = RULES) -> Iterator[dict[str, Any]]:
    """All rule groups, by file name."""
    for path in sorted(folder.glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["groups"]


def with_runbooks_at(group: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The group, its alerts' `runbook_url` beginning with the address."""
    return {**group, "rules": [_placed(rule, address) for rule in group["rules"]]}


def prometheus_rule(runbooks: str) -> str:
    """The resource, as YAML."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "martlet", "labels": {"app.kubernetes.io/part-of": "martlet"}},
        "spec": {"groups": [with_runbooks_at(group, runbooks) for group in groups()]},
    }
    return HEAD + yaml.dump(resource, Dumper=_Readable, sort_keys=False, width=1000, allow_unicode=True)


def _placed(rule: Mapping[str, Any], address: str) -> dict[str, Any]:
    if "alert" not in rule:
        return dict(rule)
    annotations = rule["annotations"]
    return {**rule, "annotations": {**annotations, "runbook_url": address + annotations["runbook_url"]}}


def main() -> None:
    """Writes the resource to stdout."""
    parser = argparse.ArgumentParser(description="The alerting and recording rules as a PrometheusRule.")
    parser.add_argument("--runbooks", default="", metavar="URL", help="what is put before docs/runbooks/NAME.md")
    sys.stdout.write(prometheus_rule(parser.parse_args().runbooks))


if __name__ == "__main__":
    main()
