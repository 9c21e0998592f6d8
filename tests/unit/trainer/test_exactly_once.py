"""Learning is exactly-once: whatever dies between two writes, a restart gives the same bits."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader
from tests.unit.trainer.course_stage import START_US, World, drain, events
from trainer_svc.audit import audit
from trainer_svc.journal import Acknowledged, Cut, Journal, Publish, read_journal
from trainer_svc.training_loop import TrainingLoop

EVENTS = 120
JOURNAL_APPEND = Journal.append


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def finished(world: World) -> TrainingLoop:
    loop = world.loop()
    drain(loop)
    return loop


def learned(loop: TrainingLoop) -> dict[str, bytes]:
    """All that was learned, bit for bit; when what was published is not part of it."""
    state = loop.course.learner.state()
    return {name: np.asarray(array).tobytes() for name, array in state.items() if not name.endswith("/flags")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a trainer learns that nobody kills."""
    world = World(tmp_path_factory.mktemp("uninterrupted"))
    world.write(events(EVENTS))
    return learned(finished(world))


def test_every_outcome_is_in_exactly_one_place(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(EVENTS))
    course = finished(world).course
    counts = course.joiner.counts
    stream = list(events(EVENTS))
    sent = {event.event_id for event in stream if hasattr(event, "event_id")}
    repeated = sum(hasattr(event, "event_id") for event in stream) - len(sent)
    assert counts.learned == EVENTS
    assert counts.excluded == sum(name.startswith("v") for name in sent)
    assert counts.dead_lettered + course.joiner.pending == sum(name.startswith("x") for name in sent)
    assert counts.learned + counts.excluded + counts.dead_lettered + course.joiner.pending == len(sent)
    assert counts.duplicates == repeated
    assert course.bad_records == 1
    assert course.examples == EVENTS


@pytest.mark.parametrize("fatal", range(0, 60, 3))
def test_a_trainer_killed_at_any_write_comes_back_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[str, bytes], fatal: int
) -> None:
    """Dies at the n-th durable write, either just before it or just after it, again and again."""
    world = World(tmp_path)
    world.write(events(EVENTS))
    journal_append, writes = Journal.append, 0

    def dying(self: Journal, *entries: Any) -> None:
        nonlocal writes
        writes += 1
        if writes % (fatal + 7) == 3:
            raise Killed
        journal_append(self, *entries)
        if writes % (fatal + 7) == 6:
            raise Killed

    monkeypatch.setattr(Journal, "append", dying)
    for _ in range(200):
        try:
            loop = world.loop()
            for _ in range(5):
                loop.turn()
            loop.commit()
            drain(loop)
            break
        except Killed:
            continue
    else:
        pytest.fail("the trainer never finished")
    counts = loop.course.joiner.counts
    assert (counts.learned, loop.course.examples) == (EVENTS, EVENTS)
    assert relearned(world) == loop.course.digest()
    assert learned(loop) == uninterrupted


def entries_of(world: World) -> list[Any]:
    return list(read_journal(world.root / "trainer" / "journal"))


def relearned(world: World) -> str:
    """The state that a fresh trainer reaches from the journal alone, without checkpoints."""
    report = audit(world.course(), FileEventReader(world.root / "events"), entries_of(world), 10)
    assert report.digests_equal
    return report.state_digest


def without_cuts(self: Journal, *entries: Any) -> None:
    kept = [entry for entry in entries if not isinstance(entry, Cut)]
    if kept:
        JOURNAL_APPEND(self, *kept)


def test_learning_before_the_journal_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail: a trainer that journals after learning is caught by the audit."""
    world = World(tmp_path)
    world.write(events(EVENTS))
    loop = world.loop()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", without_cuts)
        loop.turn()
    drain(loop)
    with pytest.raises((AssertionError, Corrupt)):
        assert relearned(world) == loop.course.digest()


def test_a_refused_publish_is_followed_by_a_snapshot_on_the_registrys_head(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(EVENTS))
    world.registry.digests.append("mt1-" + "f" * 64)  # somebody else's head
    loop = finished(world)
    manifest = loop.course.parent
    assert manifest is not None
    assert len(world.registry.digests) > 2
    assert [type(e).__name__ for e in entries_of(world) if not isinstance(e, Cut)][:3] == [
        "Publish", "Refused", "Publish",
    ]  # fmt: skip


def test_chains_are_bounded_by_new_bases(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(EVENTS))
    finished(world)
    entries = entries_of(world)
    kinds = [entry.snapshot for entry in entries if isinstance(entry, Publish)]
    assert kinds[0]
    assert True in kinds[1:]
    assert False in kinds
    assert sum(isinstance(entry, Acknowledged) for entry in entries) == len(kinds)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(EVENTS))
    loop = world.loop()
    loop.turn()
    loop.commit()
    drain(loop)
    loop.commit()
    newest = max((tmp_path / "trainer" / "checkpoints").iterdir())
    data = bytearray((newest / "arrays.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "arrays.safetensors").write_bytes(data)
    assert world.loop().course.digest() == loop.course.digest()


def test_a_torn_journal_entry_is_not_there_yet(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(EVENTS))
    loop = finished(world)
    with (tmp_path / "trainer" / "journal").open("ab") as file:
        file.write(os.urandom(5))
    assert world.loop().course.digest() == loop.course.digest()


def test_windows_close_when_nothing_comes_any_more(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(events(10))
    loop = finished(world)
    world.clock.advance(3600)
    drain(loop)
    assert loop.course.joiner.pending == 0
    assert not loop.course.joiner.waits
    assert loop.course.joiner.watermark_us >= START_US + 3_600_000_000
