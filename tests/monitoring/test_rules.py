"""The rules hold together: unit tests of each kind for every alert, a runbook for each, names that exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.prometheus.prometheus_rule import prometheus_rule
from tests.monitoring.rule_files import (
    PROMETHEUS,
    ROOT,
    RUNBOOKS,
    UNIT_TESTS,
    Alert,
    alerts,
    faster,
    recorded,
    rules,
    unit_tested,
)
from tests.servers.prometheus import installed

ALERTS = {alert.name: alert for alert in alerts()}
NAMES = list(ALERTS)
TESTED = unit_tested()
RECORDED = recorded()
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text()
SECTIONS = ["Meaning", "Impact", "How to look", "What to do", "When to escalate"]


@pytest.mark.parametrize("file", sorted(UNIT_TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_promtool_finds_that_alerts_fire_and_stay_silent(file: Path) -> None:
    done = subprocess.run(
        [installed("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_have_names_of_their_own() -> None:
    assert len(ALERTS) == len(alerts())
    assert set(TESTED) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_seen_to_fire_and_to_stay_silent(name: str) -> None:
    fires, silent = TESTED.get(name, (0, 0))
    assert fires >= 1
    assert silent >= 1


@pytest.mark.parametrize("alert", ALERTS.values(), ids=NAMES)
def test_every_alert_says_what_somebody_who_is_woken_needs(alert: Alert) -> None:
    assert alert.labels["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+[mh]", alert.hold), "it must last for a while"
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"docs/runbooks/{alert.name}.md"
    assert "{{" not in alert.annotations["summary"], "the summary stands over a group of alerts"


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_runbook(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert f"**{ALERTS[name].labels['severity'].capitalize()}.**" in text
    assert "martlet" in text.split("## How to look")[1], "a query or a command to look with"


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(NAMES)
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == set(NAMES)


def metrics_in(text: str) -> set[str]:
    """The names of Martlet's metrics and records that an expression or a page names."""
    found = re.findall(r"\bmartlet[_:][a-z0-9_:]+[a-z0-9](?![a-z0-9_:]*[({.*-])", text)
    return {name for name in found if name.count("_") + name.count(":") >= 2}


def documented(name: str) -> bool:
    """Whether docs/metrics.md has the metric, or the histogram that it is a part of."""
    plain = re.sub(r"^martlet_(serving|registry|trainer)_", "martlet_<service>_", name)
    bases = {re.sub(r"_(bucket|sum|count)$", "", one) for one in (name, plain)} | {name, plain}
    return any(f"| `{base}` |" in METRICS_PAGE for base in bases)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_only_what_is_told(rule: dict[str, str]) -> None:
    plain = re.sub(r'"[^"]*"', '""', rule["expr"])
    found = {name for name in metrics_in(plain) if name not in RECORDED}
    assert [name for name in found if not documented(name)] == []


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_name_only_what_is_told(page: Path) -> None:
    found = {name for name in metrics_in(page.read_text()) if name not in RECORDED}
    assert [name for name in found if not documented(name)] == []


def test_the_resource_for_kubernetes_is_the_rules() -> None:
    committed = (PROMETHEUS / "kubernetes" / "prometheusrule.yaml").read_text()
    assert committed == prometheus_rule("")
    elsewhere = yaml.safe_load(prometheus_rule("https://wiki.example/"))
    told = [rule for group in elsewhere["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert [rule["annotations"]["runbook_url"] for rule in told] == [
        f"https://wiki.example/docs/runbooks/{rule['alert']}.md" for rule in told
    ]
    assert sorted(rule["alert"] for rule in told) == sorted(NAMES)


def test_inhibitions_name_alerts_that_there_are() -> None:
    settings = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    for rule in settings["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            names = matcher.partition("=")[2].strip('~"').split("|")
            assert set(names) <= set(NAMES)


def test_time_passes_faster_in_a_copy() -> None:
    rule = {"alert": "A", "expr": "rate(a[5m]) > 5 and b offset 1d and c[1s]", "for": "2m"}
    (changed,) = faster({"name": "g", "rules": [rule]}, 60)["rules"]
    assert changed == {"alert": "A", "expr": "rate(a[5s]) > 5 and b offset 1440s and c[1s]", "for": "2s"}
