"""Runs begin when asked or due, one at a time; they go on after a crash, and end when a user is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from martlet.errors import Conflict, InvalidInput
from martlet.runtime.strategy_config import StrategyConfig
from martlet.said import Said
from martlet.wire.strategy_runs import RunState as Told
from trainer_svc.strategies.choice import HOUR_US, Situation
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.strategies.run_record import Run, RunState, read_run, write_run
from trainer_svc.strategies.strategist import MOST_STARTS, Strategist

RUN = Run("", "", "", 5, 4, {"a": 10}, "shop:MODEL", "shop-1")


@dataclass
class Learner:
    """A live learner that stands still."""

    at: Situation = field(default_factory=lambda: Situation(10 * HOUR_US, 10 * HOUR_US, 900, 90, 900))
    forgetting: bool = False

    def beginning(self, strategy: str) -> Run:
        return RUN

    def situation(self, runs: Sequence[Run]) -> Situation:
        return self.at


@dataclass
class Process:
    """A process that ends when told."""

    code: int | None = None
    ended: bool = False

    def poll(self) -> int | None:
        return self.code

    def end(self) -> None:
        self.ended = True


class Stage:
    """A strategist over real folders."""

    def __init__(self, root: Path, settings: StrategyConfig) -> None:
        self.folders = LineageFolders(root)
        self.learner = Learner()
        self.processes: list[tuple[str, Process]] = []
        self.strategist = Strategist(self.folders, self.learner, self.launch, settings)

    def launch(self, name: str) -> Process:
        self.processes.append((name, Process()))
        return self.processes[-1][1]

    def become(self, name: str, **changed: object) -> None:
        path = self.folders.path(name)
        write_run(path, msgspec.structs.replace(read_run(path), **changed))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, StrategyConfig("full_retrain", every_hours=1.0))


def test_a_run_that_is_asked_for_begins_and_is_the_only_one(stage: Stage) -> None:
    told = stage.strategist.start("fine_tune", Said("me", "drift", "token:ann"))
    assert (told.name, told.state, told.reason) == ("fine_tune-1", Told.ASKED, "drift")
    assert (told.who, told.caller) == ("me", "token:ann")
    assert read_run(stage.folders.path(told.name)).caller == "token:ann"
    with pytest.raises(Conflict, match="under way"):
        stage.strategist.start("full_retrain", Said("me", "more"))
    stage.strategist.turn()
    stage.strategist.turn()
    assert [name for name, _ in stage.processes] == ["fine_tune-1"]
    stage.become("fine_tune-1", state=RunState.OFFERED, version=7)
    stage.processes[0][1].code = 0
    stage.strategist.turn()
    stage.strategist.went_live("fine_tune-1")
    assert [run.state for run in stage.strategist.listed()[0]] == [Told.LIVE]


@pytest.mark.parametrize("strategy", ["incremental", "magic", ""])
def test_what_is_no_run_is_refused(stage: Stage, strategy: str) -> None:
    with pytest.raises(InvalidInput, match="no strategy"):
        stage.strategist.start(strategy, Said("me", "why"))


def test_auto_that_sees_no_reason_says_so(stage: Stage) -> None:
    with pytest.raises(Conflict, match="fewer than"):
        stage.strategist.start("auto", Said("me", "why"))
    assert not stage.folders.runs()


def test_what_is_due_begins_by_itself(stage: Stage) -> None:
    stage.strategist.turn()
    assert not stage.folders.runs()
    stage.learner.at = Situation(10 * HOUR_US, 9 * HOUR_US, 900, 90, 900)
    stage.strategist.turn()
    assert [(one.name, one.run.who) for one in stage.folders.runs()] == [("full_retrain-1", "schedule")]


def test_a_run_whose_process_died_goes_on_but_not_for_ever(stage: Stage) -> None:
    name = stage.strategist.start("full_retrain", Said("me", "why")).name
    for _ in range(MOST_STARTS + 2):
        stage.strategist.turn()
        stage.become(name, state=RunState.LEARNING) if stage.processes[-1][1].code is None else None
        stage.processes[-1][1].code = -9
    assert len(stage.processes) == MOST_STARTS
    assert read_run(stage.folders.path(name)).state is RunState.FAILED


def test_a_restarted_trainer_takes_its_runs_up(stage: Stage, tmp_path: Path) -> None:
    name = stage.strategist.start("full_retrain", Said("me", "why")).name
    again = Stage(tmp_path, StrategyConfig())
    again.strategist.turn()
    assert [one for one, _ in again.processes] == [name]
    again.strategist.close()
    assert again.processes[0][1].ended
    assert read_run(again.folders.path(name)).state is RunState.ASKED


def test_forgetting_ends_a_run_and_lets_none_begin(stage: Stage) -> None:
    name = stage.strategist.start("full_retrain", Said("me", "why")).name
    stage.strategist.turn()
    (stage.folders.path(name) / "checkpoints").mkdir()
    stage.learner.forgetting = True
    stage.strategist.turn()
    assert stage.processes[0][1].ended
    run = read_run(stage.folders.path(name))
    assert (run.state, run.error) == (RunState.FAILED, "a user was forgotten while it ran")
    assert not (stage.folders.path(name) / "checkpoints").exists()
    with pytest.raises(Conflict, match="being forgotten"):
        stage.strategist.start("full_retrain", Said("me", "why"))
