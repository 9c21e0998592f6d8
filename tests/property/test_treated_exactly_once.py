"""With hygiene, drift's answers, replay, masks and a cohort held out: killed anywhere, the same bits all the same."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt
from martlet.runtime.learning_config import LearningConfig, learning_of, plain_learning
from martlet.wire.recorded import user_key_of
from tests.property import test_rewinds
from tests.unit.trainer.everything import EVERYTHING
from tests.unit.trainer.streams import Label, messy_events, write_log
from tests.unit.trainer.world import BEGAN, World, until_quiet
from trainer_svc.outcome_account import DeadReason, Excluded
from trainer_svc.replaying.replay import Replay
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_state import TrainingState

SEED, EVENTS = 11, 70
LABELS = {"explicit": Label(), "window": Label("rating", 20_000_000, explicit=False)}
Course = tuple[str, tuple[str, ...], tuple[Any, ...], Any, int, int]


def world_of(root: Path, label: str) -> World:
    world = World(root, LABELS[label])
    world.began = msgspec.structs.replace(BEGAN, learning=EVERYTHING)
    return world


def run(deaths: frozenset[int], label: str, root: Path) -> tuple[Course, int]:
    world = world_of(root, label)
    write_log(root / "events", messy_events(SEED, EVENTS))
    world.fate.deaths = set(deaths)
    ends: list[TrainingLoop] = []

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        ends.append(loop)

    while not world.life(live):
        pass
    intake = ends[0].state.intake
    course = (
        ends[0].state_digest(), tuple(world.published()), tuple(world.letters()), intake.account.state(),
        intake.pending, ends[0].state.examples,
    )  # fmt: skip
    return course, world.fate.moment


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


@cache
def uninterrupted(label: str) -> tuple[Course, int]:
    with TemporaryDirectory() as root:
        return run(frozenset(), label, Path(root))


def test_the_settings_are_as_a_journal_holds_them() -> None:
    assert plain_learning(learning_of(EVERYTHING)) == EVERYTHING
    default = msgspec.to_builtins(LearningConfig())
    assert EVERYTHING.keys() >= {"hygiene", "drift", "replay", "augmentation"}
    for section, values in EVERYTHING.items():
        assert {name for name in default[section] if name not in {*values, "seed", "outlier_deviations"}} <= {
            "page_hinkley_delta", "rare_horizon",
        }  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_trainer_killed_anywhere_goes_on_as_if_it_had_not_been(
    label: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, moments = uninterrupted(label)
    deaths = data.draw(st.lists(st.integers(0, moments), min_size=1, max_size=5))
    broken, _ = run(frozenset(moments - death for death in deaths), label, tmp_path_factory.mktemp("killed"))
    assert broken == whole


@pytest.mark.parametrize("label", LABELS)
def test_a_trainer_killed_all_the_time_gets_there(label: str, tmp_path: Path) -> None:
    assert run(frozenset(range(5, 100_000, 97)), label, tmp_path)[0] == uninterrupted(label)[0]


@pytest.mark.parametrize("label", LABELS)
def test_the_run_reaches_everything_it_is_about(label: str, tmp_path: Path) -> None:
    """Each part did something: else the law above would say nothing of it."""
    world = world_of(tmp_path, label)
    write_log(world.root / "events", messy_events(SEED, EVENTS))
    states: list[TrainingState] = []

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        states.append(loop.state)

    world.life(live)
    state = states[0]
    figures, account = state.treatment, state.intake.account
    assert sum(figures.alarms.values()) > 0
    assert {name.split("/")[1] for name, count in figures.alarms.items() if count} >= {"page_hinkley"}
    assert figures.counts["values_cut"] > 0
    assert figures.counts["examples_replayed"] > 0
    assert {one.name for one in figures.features} == {"user", "item", "price"}
    assert account.dead_lettered[DeadReason.BOT] > 0
    assert account.excluded[Excluded.HELD_OUT] > 0
    assert "old_cohort_logloss" in state.quality()


def test_state_that_is_not_kept_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the law is to find: a draw that begins anew at a restart."""
    deaths = frozenset(range(5, 100_000, 97))
    monkeypatch.setattr(Replay, "restore", _forgetful(Replay.restore))
    with pytest.raises((AssertionError, Corrupt)):
        assert run(deaths, "explicit", tmp_path)[0] == uninterrupted("explicit")[0]


def _forgetful(restore: Any) -> Any:
    def wrong(self: Replay, state: Any) -> None:
        if state:
            restore(self, {**state, "counts": np.zeros(2, np.int64)})

    return wrong


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(3))
def test_a_rewind_takes_back_what_examples_have_taught_and_no_outcome_is_lost(
    label: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit learns everything again, rewinds included, and must come to the same bits and figures."""
    began = msgspec.structs.replace(test_rewinds.BEGANS[label], learning=EVERYTHING)
    monkeypatch.setitem(test_rewinds.BEGANS, label, began)
    test_rewinds.check_one_place(test_rewinds.run(tmp_path, label, seed), seed)


def test_a_forgotten_user_is_in_no_reservoir_and_no_cohort(tmp_path: Path) -> None:
    world = world_of(tmp_path, "explicit")
    write_log(world.root / "events", messy_events(SEED, EVENTS))

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        kept = {name: array for name, array in loop.state.state().items() if name.endswith("/users")}
        known = {user for user in range(25) for array in kept.values() if np.uint64(user_key_of(user)) in array}
        assert len(known) > 3
        for user in sorted(known):
            loop.forget(user)
            until_quiet(world, loop)
        arrays = loop.state.state()
        for user in known:
            assert not any(np.uint64(user_key_of(user)) in arrays[name] for name in kept)

    assert world.life(live)
