"""What the trainer shows is what its state holds; and the thread that runs the loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import SystemClock
from martlet.errors import Conflict, InvalidInput, NotFound, NotReady, Unavailable
from martlet.measurement import MeasurementBatch
from martlet.v1 import trainer_pb2 as pb
from martlet.wire.strategy_runs import StrategyRun
from martlet.wire.trainer import trainer_status_message, trainer_status_of
from tests.unit.trainer.everything import EVERYTHING
from tests.unit.trainer.fakes import AtOnce
from tests.unit.trainer.streams import MODEL, messy_events, write_log
from tests.unit.trainer.world import BEGAN, World, until_quiet
from trainer_svc.checkpoints.part_file import read_head
from trainer_svc.journal import Rewound
from trainer_svc.loop_thread import LoopThread
from trainer_svc.outcome_account import DeadReason
from trainer_svc.publisher import Offer
from trainer_svc.rpc.servicer import TrainerServicer
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.training_loop import TrainingLoop


class Shown:
    """A board, its metrics, and what it sent."""

    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        self.sent: list[MeasurementBatch] = []
        self.send: Callable[[MeasurementBatch], None] = self.sent.append
        self.board = StatusBoard(MODEL, TrainerMetrics(self.collectors, SystemClock()), self._send, AtOnce())

    def _send(self, batch: MeasurementBatch) -> None:
        self.send(batch)

    def value(self, name: str, **labels: str) -> float | None:
        return self.collectors.get_sample_value(f"martlet_trainer_{name}", {"model": MODEL, **labels})


def test_what_hygiene_drift_and_replay_did_is_in_status_and_metrics(tmp_path: Path) -> None:
    world, shown = World(tmp_path), Shown()
    world.began = msgspec.structs.replace(BEGAN, learning=EVERYTHING)
    write_log(tmp_path / "events", messy_events(11, 70))

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        shown.board.update(loop.state, loop.state.quality())
        status, figures = shown.board.status, loop.state.treatment
        assert trainer_status_of(trainer_status_message(status)) == status
        assert status.drift_alarms == figures.alarms
        assert status.treated["examples_replayed"] == shown.value("treated", what="examples_replayed") > 0
        assert status.treated["outcomes_of_bots"] > 0
        assert status.quality["old_cohort_logloss"] == shown.value("quality", metric="old_cohort_logloss")
        alarms = shown.value("drift_alarms", series="loss", detector="page_hinkley")
        assert alarms == figures.alarms["loss/page_hinkley"]
        price = next(one for one in status.features if one.name == "price")
        assert price.count > 0
        assert shown.value("feature", feature="price", figure="mean") == price.mean
        assert shown.value("outcomes_not_learned", place="excluded", reason="held out") > 0  # type: ignore[operator]

    assert world.life(live)


def test_the_board_shows_the_state(tmp_path: Path) -> None:
    world, shown = World(tmp_path), Shown()
    world.heard = cast("Any", shown.board)
    write_log(tmp_path / "events", messy_events(3, 80))

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        loop.close()
        shown.board.update(loop.state, loop.state.quality())
        status, account = shown.board.status, loop.state.intake.account
        assert (status.step, status.learned, status.duplicates) == (
            loop.state.step,
            account.learned,
            account.duplicates,
        )
        assert status.excluded == account.excluded.total() > 0
        assert status.consumed == loop.state.positions
        _, digest = read_head(max((tmp_path / "checkpoints").iterdir()))
        assert (status.last_checkpoint_step, status.state_digest) == (loop.state.step, digest)

    world.life(live)
    status = shown.board.status
    assert (status.last_published_digest, status.last_published_version) == (
        world.published()[-1],
        len(world.published()),
    )
    assert shown.value("outcomes", place="learned") == status.learned
    assert shown.value("examples_total") == status.learned
    counted = [shown.value("dead_letters_total", reason=reason) or 0 for reason in DeadReason]
    assert sum(counted) == len(world.letters())
    assert shown.value("publish_duration_seconds_count", result="acknowledged") == len(world.published())
    assert sum(measurement.count for batch in shown.sent for measurement in batch.measurements) > 0
    assert [batch.sequence for batch in shown.sent] == list(range(1, len(shown.sent) + 1))


def test_going_back_to_a_version_is_timed_by_its_cause() -> None:
    shown = Shown()
    for refused in (True, False, False):
        shown.board.rewound(Rewound("d", 1, 1, refused, {}), 0.5)
    assert shown.value("rewind_duration_seconds_count", cause="refused") == 1
    assert shown.value("rewind_duration_seconds_sum", cause="recalled") == 1.0


def test_a_figure_without_a_value_is_shown_no_more(tmp_path: Path) -> None:
    world, shown = World(tmp_path), Shown()
    write_log(tmp_path / "events", messy_events(3, 30))

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        shown.board.update(loop.state, {"auc": 0.7, "logloss": 0.2})
        shown.board.update(loop.state, {"auc": float("nan"), "logloss": 0.3})

    world.life(live)
    assert shown.value("quality", metric="auc") is None
    assert shown.value("quality", metric="logloss") == 0.3


def test_a_report_that_is_not_taken_is_counted() -> None:
    shown = Shown()

    def away(_batch: MeasurementBatch) -> None:
        raise Unavailable("nobody there")

    shown.send = away
    shown.board.reported(MeasurementBatch("trainer/x", 1, ()))
    assert shown.value("measurements_lost_total") == 1


def test_a_restarted_trainer_shows_the_version_it_published_last(tmp_path: Path) -> None:
    world, shown = World(tmp_path), Shown()
    write_log(tmp_path / "events", messy_events(3, 30))
    world.life(lambda loop: until_quiet(world, loop))
    world.life(lambda loop: shown.board.update(loop.state, {}))
    assert shown.board.status.last_published_digest == world.published()[-1]


def no_readmission(epoch: int) -> "Future[Offer]":
    raise AssertionError(f"epoch {epoch} must not be asked for")


class NoRuns:
    def start(self, strategy: str, who: str, why: str) -> StrategyRun:
        raise Conflict("not now")

    def listed(self) -> tuple[list[StrategyRun], str]:
        return [], ""


def servicer_of(board: StatusBoard, readmit: Callable[[int], "Future[Offer]"] = no_readmission) -> TrainerServicer:
    return TrainerServicer(lambda: board.status, readmit, lambda _: Future(), list, NoRuns())


async def test_the_servicer_gives_the_newest_status() -> None:
    board = Shown().board
    reply = await servicer_of(board).GetTrainerStatus(cast("Any", None), cast("Any", None))
    assert trainer_status_of(reply) == board.status


class StubLoop:
    """A loop that fails as it is told."""

    def __init__(self, failures: list[Exception]) -> None:
        self.state: Any = self
        self.failures = failures
        self.turns = 0
        self.closed = False

    def recover(self) -> None: ...

    def quality(self) -> dict[str, float]:
        return {}

    def running_quality(self) -> dict[str, float]:
        return {}

    def turn(self, pause: Callable[[], None]) -> bool:
        self.turns += 1
        if self.failures:
            raise self.failures.pop(0)
        pause()
        return False

    def close(self) -> None:
        self.closed = True


class NoBoard:
    def update(self, state: Any, quality: dict[str, float]) -> None: ...


def run_thread(loop: StubLoop, turns: int = 0) -> tuple[LoopThread, list[str]]:
    """Lets it live for a moment, and until it has turned so often."""
    ending, told = threading.Event(), list[str]()
    thread = LoopThread(
        cast("Any", loop), cast("Any", NoBoard()), SystemClock(), 0.001, ending,
        lambda: told.append("recovered"), lambda: told.append("failed"),
    )  # fmt: skip
    thread.start()
    asyncio.run(asyncio.sleep(0.05))
    for _ in range(500):
        if loop.turns >= turns:
            break
        asyncio.run(asyncio.sleep(0.01))
    ending.set()
    thread.join(5)
    return thread, told


def test_the_thread_turns_until_it_is_to_end_and_closes() -> None:
    loop = StubLoop([])
    thread, told = run_thread(loop, turns=4)
    assert (thread.failure, told, loop.closed) == (None, ["recovered"], True)
    assert loop.turns > 3


def test_a_disk_that_refuses_is_waited_for() -> None:
    loop = StubLoop([NotReady("no space")])
    thread, told = run_thread(loop)
    assert (thread.failure, told, loop.closed) == (None, ["recovered"], True)


def test_another_failure_ends_the_process() -> None:
    loop = StubLoop([ValueError("a bug")])
    thread, told = run_thread(loop)
    assert isinstance(thread.failure, ValueError)
    assert (told, loop.closed) == (["recovered", "failed"], False)


@pytest.mark.parametrize(
    ("model", "who", "why", "error"),
    [("other", "ada", "why", NotFound), ("shop", " ", "why", InvalidInput), ("shop", "ada", "", InvalidInput)],
)
async def test_a_re_admission_says_who_why_and_of_what(model: str, who: str, why: str, error: type[Exception]) -> None:
    board = Shown().board
    servicer = servicer_of(board)
    request = pb.ReadmitRangeRequest(model=model, epoch=1, who=who, why=why)
    with pytest.raises(error):
        await servicer.ReadmitRange(request, cast("Any", None))


async def test_a_re_admission_gives_the_version() -> None:
    board, offered = Shown().board, Future[Offer]()
    offered.set_result(Offer(7, "mt1-x"))
    servicer = servicer_of(board, lambda _: offered)
    request = pb.ReadmitRangeRequest(model="shop", epoch=1, who="ada", why="a drill")
    reply = await servicer.ReadmitRange(request, cast("Any", None))
    assert (reply.version, reply.digest) == (7, "mt1-x")
