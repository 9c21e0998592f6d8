"""Learning goes back when the registry says so, killed anywhere: nothing is lost, and what was taken back is gone."""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader
from martlet.events import Outcome
from martlet.wire.events import decode_event
from tests.unit.trainer.everything import EVERYTHING
from tests.unit.trainer.fakes import LinearLearner
from tests.unit.trainer.streams import Label, messy_events, write_log
from tests.unit.trainer.world import BEGAN, INEXACT, World, until_quiet
from trainer_svc.journal import Acknowledged, Rewound, read_journal
from trainer_svc.outcome_account import Excluded
from trainer_svc.publisher import Stopped
from trainer_svc.training_loop import TrainingLoop

LABELS = {"explicit": Label(), "window": Label("rating", 20_000_000, explicit=False)}
BEGANS = {"explicit": BEGAN, "window": INEXACT}
PARTS = 5


@dataclass
class End:
    """What a run came to."""

    world: World
    loop: TrainingLoop

    def entries(self) -> list[object]:
        return [entry for entry, _ in read_journal(FileEventReader(self.world.root), 0)]


def run(root: Path, label: str, seed: int, deaths: frozenset[int] = frozenset()) -> End:
    """The log grows in parts; between them the registry takes versions back, now and then."""
    dice = random.Random(seed)
    world = World(root, LABELS[label])
    world.began = BEGANS[label]
    world.chain_limit = 3
    events = messy_events(seed, 60)
    size = len(events) // PARTS
    world.fate.deaths = set(deaths)
    ends: list[TrainingLoop] = []

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        ends.append(loop)

    for part in range(PARTS + 1):
        write_log(root / "events", events[part * size : (part + 1) * size])
        while not world.life(live):
            pass
        good = [digest for digest in world.registry.digests if digest not in world.registry.taken_back]
        if part < PARTS and dice.random() < 0.8 and len(good) > 1:
            world.registry.alarm(good[dice.randrange(max(len(good) - 4, 0), len(good))])
    while not world.life(live):
        pass
    return End(world, ends[-1])


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


def learned_state(loop: TrainingLoop) -> dict[str, bytes]:
    parts = loop.state.rewinding()
    both = parts["learner"] | {f"treatment/{name}": array for name, array in parts["treatment"].items()}
    return {name: np.asarray(array).tobytes() for name, array in both.items() if not name.endswith("marks")}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(6))
def test_after_an_alarm_the_next_version_grows_from_the_pin(label: str, seed: int, tmp_path: Path) -> None:
    end = run(tmp_path, label, seed)
    registry = end.world.registry
    rewinds = [entry for entry in end.entries() if isinstance(entry, Rewound)]
    assert len(rewinds) == registry.epoch
    assert {epoch for epoch, _ in registry.acknowledged} == set(range(1, registry.epoch + 1))
    for rewound in rewinds:
        children = [one for one in registry.accepted if one.lineage.epoch == rewound.epoch]
        if children:
            parent = next(
                one for one, digest in zip(registry.accepted, registry.digests, strict=True) if digest == rewound.digest
            )
            assert children[0].lineage.parent == rewound.digest
            assert children[0].tables[0].base == parent.tables[0].base or children[0].kind.value == "snapshot"
        assert all(start <= stop for start, stop in rewound.suspect.values())


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(6))
def test_each_outcome_stays_in_exactly_one_place(label: str, seed: int, tmp_path: Path) -> None:
    check_one_place(run(tmp_path, label, seed), seed)


def check_one_place(end: End, seed: int, versions: int = 5) -> None:
    """The audit learns everything again, rewinds included, and must come to the same state and the same figures."""
    intake = end.loop.state.intake
    account, report = intake.account, end.world.audit()
    assert (report.digests_equal, report.versions_checked > versions) == (True, True)
    assert report.state_digest == end.loop.state_digest()
    assert (report.events.learned, report.events.excluded) == (account.learned, account.excluded.total())
    events = [outcome_in(payload) for _, payload in messy_events(seed, 60)]
    told = {event.event_id for event in events if event is not None}
    assert account.learned + account.excluded.total() + account.dead_lettered.total() + intake.pending == len(told)


def outcome_in(payload: bytes) -> Outcome | None:
    try:
        event = decode_event(payload)
    except Corrupt:
        return None
    return event if isinstance(event, Outcome) else None


@pytest.mark.parametrize("learning", [{}, EVERYTHING], ids=["plain", "treated"])
def test_what_was_taken_back_leaves_no_trace(learning: dict[str, Any], tmp_path: Path) -> None:
    """The learner ends as one that went back is: as its pin's, plus what came after the alarm."""
    world = World(tmp_path)
    world.began = msgspec.structs.replace(BEGAN, learning=learning)
    events = messy_events(3, 80)
    write_log(tmp_path / "events", events[:60])
    states: dict[str, dict[str, bytes]] = {}
    learners: list[LinearLearner] = []

    def watched() -> LinearLearner:
        learners.append(LinearLearner())
        return learners[-1]

    world.make_learner = watched

    def live(loop: TrainingLoop) -> None:
        for _ in range(60):
            before = len(world.registry.digests)
            kept = learned_state(loop)
            world.clock.advance(1.0)
            loop.turn(lambda: None)
            if len(world.registry.digests) > before:  # neighbours answer at once: it was made of what stood before
                states[world.registry.digests[-1]] = kept
        pin = world.registry.digests[2]
        learned = loop.state.intake.account.learned
        world.registry.alarm(pin)
        world.clock.advance(1.0)
        loop.turn(lambda: None)
        world.clock.advance(1.0)
        loop.turn(lambda: None)
        assert [entry.digest for entry in world.heard.rewinds] == [pin]
        assert learned_state(loop) == states[pin]
        account = loop.state.intake.account
        assert account.learned + account.excluded[Excluded.REWOUND] == learned
        assert account.excluded[Excluded.REWOUND] > 0

    world.life(live)


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_killed_anywhere_it_goes_back_all_the_same(
    label: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """When a version is made depends on when the registry hears. What was done is what the journal says."""
    seed = data.draw(st.integers(0, 5))
    moments = len(messy_events(seed, 60)) * 3
    deaths = data.draw(st.lists(st.integers(0, moments), min_size=1, max_size=5))
    end = run(tmp_path_factory.mktemp("killed"), label, seed, frozenset(deaths))
    assert end.world.fate.moment > min(deaths)
    check_one_place(end, seed)
    epochs = {epoch for epoch, _ in end.world.registry.acknowledged}
    assert epochs == set(range(1, end.world.registry.epoch + 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_runs_reach_what_they_are_about(seed: int, tmp_path: Path) -> None:
    end = run(tmp_path, "explicit", seed)
    rewinds = [entry for entry in end.entries() if isinstance(entry, Rewound)]
    assert len(rewinds) >= 2
    assert end.loop.state.intake.account.excluded[Excluded.REWOUND] > 0
    assert len([entry for entry in end.entries() if isinstance(entry, Acknowledged)]) > 10


def test_a_frozen_model_is_published_again_when_it_thaws(tmp_path: Path) -> None:
    world = World(tmp_path)
    events = messy_events(3, 60)
    write_log(tmp_path / "events", events[:30])
    world.life(lambda loop: until_quiet(world, loop))
    known = len(world.registry.accepted)
    world.registry.frozen = "four alarms"
    write_log(tmp_path / "events", events[30:])

    def frozen(loop: TrainingLoop) -> None:
        for _ in range(10):
            loop.turn(lambda: None)

    with pytest.raises(Stopped):  # neighbours answer at once, so that waiting is giving up
        world.life(frozen)
    assert len(world.registry.accepted) == known
    world.registry.frozen = ""
    world.life(lambda loop: until_quiet(world, loop))
    assert len(world.registry.accepted) > known


def test_a_version_of_another_trainer_cannot_be_gone_back_to(tmp_path: Path) -> None:
    world = World(tmp_path)
    write_log(tmp_path / "events", messy_events(3, 30))
    world.life(lambda loop: until_quiet(world, loop))
    world.registry.alarm("mt1-" + "0" * 64)
    write_log(tmp_path / "events", messy_events(4, 5))
    world.life(lambda loop: until_quiet(world, loop))
    assert world.registry.acknowledged == []
    assert world.heard.rewinds == []
