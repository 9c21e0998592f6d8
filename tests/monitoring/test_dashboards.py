"""Dashboards are what their sources say, by Grafana's own types, and say what one needs to read them."""

import json
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.__main__ import as_json
from deploy.grafana.frame import framed
from deploy.grafana.sources import sources
from tests.monitoring.panels import documents, files, panel_queries
from tests.monitoring.rule_files import ROOT, recorded
from tests.monitoring.test_rules import documented, metrics_in

DOCUMENTS = {document["uid"]: document for document in documents()}


def drawn(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_what_is_committed_is_what_the_sources_say() -> None:
    assert {path.stem: path.read_text() for path in files()} == {
        source.uid: as_json(framed(source)) for source in sources()
    }


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_grafanas_own_types_read_a_dashboard_and_lose_nothing(uid: str) -> None:
    read = Dashboard.from_json(DOCUMENTS[uid])
    assert json.loads(as_json(read)) == DOCUMENTS[uid]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_panels_say_what_they_show(uid: str) -> None:
    document = DOCUMENTS[uid]
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    titles = [panel["title"] for panel in drawn(document)]
    assert len(set(titles)) == len(titles)
    for panel in drawn(document):
        assert len(panel["description"]) > 4, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        settings = panel["fieldConfig"]["defaults"] if panel["type"] != "heatmap" else panel["options"]["yAxis"]
        assert settings["unit"], panel["title"]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_panels_lie_beside_one_another(uid: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DOCUMENTS[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_every_variable_is_used_and_there(uid: str) -> None:
    document = DOCUMENTS[uid]
    names = {variable["name"] for variable in document["templating"]["list"]}
    text = json.dumps(document["panels"])
    used = {name for name in ("datasource", "namespace", "model", "version", "instance") if f"${name}" in text}
    assert used | {"datasource"} == names


def test_panels_read_only_what_is_told() -> None:
    found = {name for query in panel_queries() for name in metrics_in(query.expression)} - recorded()
    assert [name for name in found if not documented(name)] == []


def test_what_is_mounted_names_files_that_there_are() -> None:
    folder = ROOT / "deploy" / "grafana"
    text = (folder / "kustomization.yaml").read_text()
    assert [path.name for path in files() if f"dashboards/{path.name}" not in text] == []
