"""The committed rules and their unit tests, as values; and copies of the rules in which time passes faster."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
RULES: Final = PROMETHEUS / "rules"
UNIT_TESTS: Final = Path(__file__).parent / "rules"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
_DURATION: Final = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule."""

    name: str
    expression: str
    hold: str
    labels: dict[str, str]
    annotations: dict[str, str]


def groups() -> Iterator[dict[str, Any]]:
    """All groups of all rule files."""
    for path in sorted(RULES.glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["groups"]


def rules() -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> list[Alert]:
    """All alerting rules."""
    return [
        Alert(rule["alert"], rule["expr"], rule.get("for", ""), rule.get("labels", {}), rule.get("annotations", {}))
        for rule in rules()
        if "alert" in rule
    ]


def recorded() -> set[str]:
    """What recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def unit_tested() -> dict[str, tuple[int, int]]:
    """By alert: in how many unit tests it fires, and in how many it is silent."""
    counts: dict[str, tuple[int, int]] = {}
    for path in UNIT_TESTS.glob("*.yml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for one in test["alert_rule_test"]:
                fires, silent = counts.get(one["alertname"], (0, 0))
                heard = bool(one["exp_alerts"])
                counts[one["alertname"]] = (fires + heard, silent + (not heard))
    return counts


def faster(group: dict[str, Any], factor: float) -> dict[str, Any]:
    """A group whose `for`, windows and offsets are so much shorter (a second at least), evaluated every second."""
    return {**group, "interval": "1s", "rules": [_faster(rule, factor) for rule in group["rules"]]}


def _faster(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    changed = {**rule, "expr": _DURATION.sub(lambda found: _shorter(found[0], factor), rule["expr"])}
    return {**changed, "for": _shorter(rule["for"], factor)} if "for" in rule else changed


def _shorter(duration: str, factor: float) -> str:
    seconds = int(duration[:-1]) * _SECONDS[duration[-1]]
    return f"{max(1, round(seconds / factor))}s"
