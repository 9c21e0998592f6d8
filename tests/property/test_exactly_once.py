"""Killed anywhere, the trainer goes on as if nothing had been: same state, same versions, each outcome counted once."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from benchmarks.training.crash_trainer import BREAKS
from martlet.errors import Corrupt
from martlet.events import Outcome
from martlet.learn.labels import LabelRule
from martlet.wire.events import decode_event
from tests.unit.trainer.streams import Label, messy_events, write_log
from tests.unit.trainer.world import BEGAN, INEXACT, World, until_quiet
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.committing import Committed
from trainer_svc.outcome_account import AccountState
from trainer_svc.training_loop import TrainingLoop

SEED, EVENTS = 11, 70
LABELS: dict[str, LabelRule] = {
    "explicit": Label(),
    "window": Label("rating", 20_000_000, explicit=False),
    "sampled": ml.Binary("rating", "20s", negatives=0.4, takes_back="view"),
    "fnw": ml.Binary("rating", "20s", delayed=ml.FNW()),
    "es-dfm": ml.Binary("rating", "20s", delayed=ml.ESDFM("1s", buckets=64)),
    "fnc": ml.Binary("rating", "20s", delayed=ml.FNC("1s", buckets=64)),
    "tasks": ml.MultiTask({"first": ml.Binary("rating", "9s"), "second": ml.Regression(("rating", "view"), "20s")}),
}
BEGANS = {label: INEXACT if label == "window" else BEGAN for label in LABELS}


def told_and_unreadable() -> tuple[set[str], int]:
    """The event ids of the outcomes in the stream, and how many records are none of anything."""
    told: set[str] = set()
    unreadable = 0
    for _, payload in messy_events(SEED, EVENTS):
        try:
            event = decode_event(payload)
        except Corrupt:
            unreadable += 1
            continue
        if isinstance(event, Outcome):
            told.add(event.event_id)
    return told, unreadable


TOLD, UNREADABLE = told_and_unreadable()


@dataclass(frozen=True)
class Course:
    """What a run came to."""

    state: str
    versions: tuple[str, ...]
    letters: tuple[tuple[int, str, str, int], ...]
    account: AccountState
    pending: int
    moments: int
    lives: int


def run(deaths: frozenset[int], label: str, root: Path) -> Course:
    world = World(root, LABELS[label])
    world.began = BEGANS[label]
    write_log(root / "events", messy_events(SEED, EVENTS))
    world.fate.deaths = set(deaths)
    ends: list[TrainingLoop] = []

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        ends.append(loop)

    while not world.life(live):
        pass
    intake = ends[0].state.intake
    return Course(
        ends[0].state_digest(),
        tuple(world.published()),
        tuple(world.letters()),
        intake.account.state(),
        intake.pending,
        world.fate.moment,
        world.lives,
    )


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """These deaths are of the process, not of the machine: what was written stays."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


@cache
def uninterrupted(label: str) -> Course:
    with TemporaryDirectory() as root:
        return run(frozenset(), label, Path(root))


def check_same(deaths: frozenset[int], label: str, root: Path) -> None:
    whole, broken = uninterrupted(label), run(deaths, label, root)
    assert broken.versions == whole.versions
    assert broken.state == whole.state
    assert broken.letters == whole.letters
    assert (broken.account, broken.pending) == (whole.account, whole.pending)


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_trainer_killed_anywhere_goes_on_as_if_it_had_not_been(
    label: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moments = uninterrupted(label).moments
    deaths = data.draw(st.lists(st.integers(0, moments), min_size=1, max_size=5))
    # The further a death lies in, the more checkpoints and versions stand behind it.
    check_same(frozenset(moments - death for death in deaths), label, tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("label", LABELS)
def test_a_trainer_killed_all_the_time_gets_there(label: str, tmp_path: Path) -> None:
    """A death at every 97th moment: some entries are executed several times before a checkpoint holds them."""
    check_same(frozenset(range(5, 100_000, 97)), label, tmp_path)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_commit_in_a_broken_order_is_noticed(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects before the journal, positions apart from the weights: what the laws above are to find."""
    deaths = frozenset(range(5, 100_000, 97))
    check_same(deaths, "explicit", tmp_path / "right")
    monkeypatch.setattr(Committed, "record", Committed.record)  # put back afterwards
    monkeypatch.setattr(Checkpointing, "_submit", Checkpointing._submit)
    BREAKS[broken]()
    with pytest.raises((AssertionError, Corrupt)):
        check_same(deaths, "explicit", tmp_path / "broken")


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_what_a_killed_trainer_did_is_what_its_journal_says(
    label: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The log grows while the trainer is dead, so that a cut which was not journalled would be taken otherwise."""
    root = tmp_path_factory.mktemp("growing")
    world = World(root, LABELS[label])
    world.began = BEGANS[label]
    world.records = 1000
    events = messy_events(SEED, EVENTS)
    parts = [events[start : start + 15] for start in range(0, len(events), 15)]
    ends: list[TrainingLoop] = []

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        ends.append(loop)

    for part in [*parts, []]:
        write_log(root / "events", part)
        ends.clear()
        world.fate.deaths = {world.fate.moment + data.draw(st.integers(0, 25))} if part else set()
        world.life(live)
    intake = ends[0].state.intake
    report = world.audit()
    assert report.digests_equal
    assert report.versions_checked == len(world.registry.records)
    assert report.state_digest == ends[0].state_digest()
    account = intake.account
    assert len(world.letters()) == account.dead_lettered.total() + UNREADABLE
    assert account.learned + account.excluded.total() + account.dead_lettered.total() + intake.pending == len(TOLD)


@pytest.mark.parametrize("label", LABELS)
def test_each_outcome_is_in_exactly_one_place(label: str) -> None:
    course = uninterrupted(label)
    account = course.account
    places = (account.learned, sum(account.excluded.values()), sum(account.dead_lettered.values()), course.pending)
    assert sum(places) == len(TOLD)
    assert all(places[:3])
    assert account.duplicates > 0
    assert len(course.letters) == sum(account.dead_lettered.values()) + UNREADABLE


def test_the_run_reaches_everything_it_is_about() -> None:
    """Versions of both kinds, a table that grows, checkpoints: else the property would say little."""
    with TemporaryDirectory() as root:
        world = World(Path(root))
        write_log(world.root / "events", messy_events(SEED, EVENTS))
        world.life(lambda loop: until_quiet(world, loop))
        kinds = {manifest.kind for manifest in world.registry.accepted}
        buckets = {manifest.tables[0].buckets for manifest in world.registry.accepted}
        assert len(kinds) == 2
        assert len(buckets) > 1
        assert {"letters", "blob", "publish", "Stepped"} <= set(world.fate.writes)
        assert world.fate.writes.count("checkpoint") > 5
