"""A running loop, watched: a healthy one pages nobody, every panel shows something, a killed trainer is told."""

import re
import time
from collections.abc import Iterator

import pytest

from martlet.replay.traffic import MODEL
from martlet.runtime.metrics_http import MetricsServer
from tests.monitoring.panels import PanelQuery, panel_queries
from tests.monitoring.rule_files import alerts
from tests.monitoring.synthetic_page import NOT_HERE, SyntheticPage
from tests.monitoring.watched_loop import NAMESPACE, WatchedLoop

PAGES = {alert.name for alert in alerts() if alert.labels["severity"] == "page"}

QUIET_SECONDS = 5.0

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("watched-loop")]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedLoop]:
    page = MetricsServer("127.0.0.1", 0, SyntheticPage())
    loop = WatchedLoop(tmp_path_factory.mktemp("watched"))
    try:
        loop.start(page.port)
        yield loop
    finally:
        loop.close()
        page.close()


def test_a_healthy_loop_pages_nobody(watched: WatchedLoop) -> None:
    open_lane = f'martlet:lane_weight{{namespace="{NAMESPACE}", model="{MODEL}"}} > 0'
    watched.until("users get what is learned", lambda: watched.watching.query(open_lane))
    watched.until("the rules know of calls", lambda: watched.value('martlet:slo_calls:rate5m{slo="answers"}') > 0)
    assert watched.watching.unhealthy_rules() == []
    # Before the first scrape everything is absent; a minute's patience is a second here.
    watched.until("no page fires", lambda: PAGES.isdisjoint(watched.watching.firing()))
    watched.webhook.received.clear()
    time.sleep(QUIET_SECONDS)
    assert PAGES.isdisjoint(watched.watching.firing())
    assert [body for path, body in watched.webhook.received if path == "/pager" and body["status"] == "firing"] == []


def test_every_panel_shows_something(watched: WatchedLoop) -> None:
    """A structural version comes and is ended, then the lane is closed and learning goes back; all that is shown."""
    watched.does(watched.publish_structural())
    watched.until("a structural version is under way", lambda: watched.value("martlet_registry_trial_version") > 0)
    watched.does(watched.abort())
    watched.until("it has ended", lambda: watched.watching.query("martlet_registry_trials_total"))
    watched.does(watched.abort())
    watched.until("learning went back", lambda: watched.watching.query("martlet_trainer_rewind_duration_seconds_sum"))
    watched.until("the ticket", lambda: watched.webhook.heard("/tickets", "MartletLaneAlarm", "firing"))
    watched.until("versions come again", lambda: watched.value('martlet:lane_version{place="head"}') > 0)
    watched.until("every panel shows something", lambda: not _without_data(watched), 30)


def _without_data(watched: WatchedLoop) -> list[str]:
    return [str(query) for query in panel_queries() if not _shows(watched, query)]


def _shows(watched: WatchedLoop, query: PanelQuery) -> bool:
    synthetic = any(name in query.expression or "certificate_left" in query.expression for name in NOT_HERE)
    namespace = "synthetic" if synthetic else NAMESPACE
    result = watched.watching.query(query.filled(namespace, MODEL))
    nothing_counts = query.expression.endswith("or vector(0)")  # it has none of the labels
    labels = set() if nothing_counts else set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    return any(labels <= set(series["metric"]) for series in result)


def test_a_trainer_that_is_killed_is_told_to_the_pager(watched: WatchedLoop) -> None:
    watched.services.running["trainer"].kill()
    heard = watched.webhook.heard
    watched.until("the page", lambda: heard("/pager", "MartletTrainerDown", "firing"))
    (alert, *_) = heard("/pager", "MartletTrainerDown", "firing")
    assert alert["labels"]["severity"] == "page"
    assert alert["labels"]["namespace"] == NAMESPACE
    assert "martlet-trainer-0" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/MartletTrainerDown.md"
    assert heard("/tickets", "MartletTrainerDown", "firing") == []
    watched.services.start("trainer")
    watched.until("it is over", lambda: heard("/pager", "MartletTrainerDown", "resolved"))
