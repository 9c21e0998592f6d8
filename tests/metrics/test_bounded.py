"""The number of series does not grow with the number of versions: two hundred go through each service."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Sample

from martlet.clock import ManualClock
from martlet.runtime.exposition import page_of
from martlet.versions import VersionState
from tests.integration.test_serving import World
from tests.integration.tiny_version import MODEL
from tests.metrics.promtool import promtool_faults
from tests.metrics.table import faults_of
from tests.unit.registry.test_controller import Stage
from tests.unit.serving.fakes import until
from tests.unit.trainer.fakes import AtOnce
from trainer_svc.journal import Acknowledged, Refused, Rewound
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.stepping import Stepping

VERSIONS, SOME = 200, 20


def series_of(collectors: CollectorRegistry) -> Iterator[Sample]:
    for family in collectors.collect():
        yield from family.samples


def counted(collectors: CollectorRegistry) -> Counter[str]:
    """How many series each sample name has."""
    return Counter(sample.name for sample in series_of(collectors))


async def test_a_replica_tells_as_much_after_two_hundred_versions_as_after_twenty(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    after: dict[int, Counter[str]] = {}
    for number in range(1, VERSIONS + 1):
        world.publish()
        world.aspire(number, head=number, pin=max(1, number - 1))
        await world.answered_by(number)
        if number in (SOME, VERSIONS):
            await until(lambda: world.app.manager.ready_versions(MODEL) == (number - 1, number))  # noqa: B023  now
            await until(lambda: retired(world, number - 2))  # noqa: B023
            after[number] = counted(world.collectors)
    assert after[VERSIONS] == after[SOME]
    versions = {
        sample.labels["version"]
        for sample in series_of(world.collectors)
        if {"model", "version"} <= sample.labels.keys()
    }
    assert versions == {str(VERSIONS), str(VERSIONS - 1)}
    page = page_of(world.collectors).body.decode()
    assert faults_of(page, "serving") == []
    assert promtool_faults(page) == ""
    await world.stop()


def retired(world: World, version: int) -> bool:
    states = {status.version: status.state for status in world.app.manager.statuses()}
    return states.get(version, VersionState.RETIRED) is VersionState.RETIRED


def test_a_registry_tells_as_much_after_two_hundred_versions_as_after_twenty() -> None:
    stage, after = Stage(), {}
    for number in range(1, VERSIONS + 1):
        stage.publish(number)
        stage.hear((number, VersionState.READY), requests=number * 100)
        stage.clock.advance(3.0)
        stage.hear((number, VersionState.READY), requests=number * 100 + 60)
        stage.hand.tend()
        if number % 5 == 0:
            stage.hear((number, VersionState.FAILED))
        if number in (SOME, VERSIONS):
            after[number] = counted(stage.collectors)
    assert after[VERSIONS] == after[SOME]


def test_a_trainer_tells_as_much_after_two_hundred_versions_as_after_twenty() -> None:
    collectors, after = CollectorRegistry(), {}
    board = StatusBoard("shop", TrainerMetrics(collectors, ManualClock(1)), lambda _batch: None, AtOnce())
    for number in range(1, VERSIONS + 1):
        board.stepped(Stepping(9, ("unreadable",), None, number), 0.1)
        board.published(Acknowledged(number, f"d{number}", number), 0.1)
        board.published(Refused(number, f"r{number}", f"its reason is {number}"), 0.1)
        board.checkpointed(number, f"c{number}", 0.1)
        board.rewound(Rewound(f"d{number}", number, number, refused=False, suspect={}), 0.1)
        if number in (SOME, VERSIONS):
            after[number] = counted(collectors)
    assert after[VERSIONS] == after[SOME]
