"""With its head let go, the journal gives the same as the whole one: killed anywhere, whatever alarms take back."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader
from martlet.eventlog.trimming import FileEventTrimmer
from martlet.versions import VersionRecord
from tests.property import test_exactly_once as exactly
from tests.property import test_rewinds as rewinds
from tests.property.test_rewinds import End, learned_state
from tests.unit.trainer.fakes import FakeRegistry
from tests.unit.trainer.judge_world import PARTITION as JUDGED
from tests.unit.trainer.judge_world import JudgeWorld
from tests.unit.trainer.streams import Label, messy_events, write_log
from tests.unit.trainer.world import Fate, World, until_quiet
from trainer_svc.journal import PARTITION, Began, Published, Stepped, read_journal

SEGMENT = 400


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


class MortalTrimmer:
    def __init__(self, root: Path, fate: Fate, partition: str = PARTITION) -> None:
        self._inner, self._fate = FileEventTrimmer(root, partition), fate
        self._inner.finish()

    def trim(self, position: int) -> None:
        self._fate.durable("trim", lambda: self._inner.trim(position))


class PinningRegistry(FakeRegistry):
    """Its pin follows some versions behind, and goes back for nobody: an alarm goes back to it or to a later one."""

    def publish(self, manifest: bytes) -> VersionRecord:
        record = super().publish(manifest)
        good = [digest for digest in self.digests if digest not in self.taken_back]
        if good:
            self.pin = max(self.pin or good[0], good[max(len(good) - 4, 0)], key=self.digests.index)
        return record

    def alarm(self, pin: str) -> None:
        super().alarm(max(self.pin, pin, key=self.digests.index))


def pinning(world: World) -> World:
    world.registry = world.registry_seen = PinningRegistry(world.store)
    return world


def trimming(world: World) -> World:
    world.trimmer = lambda root: MortalTrimmer(root, world.fate)
    world.segment_bytes = SEGMENT
    world.kept_us = -1  # nothing is young, though the clock stands: no range can be learned again
    return world


@pytest.fixture
def trimmed() -> Callable[..., End]:
    """Runs as `test_rewinds` does, in a world whose journal is trimmed."""
    return partial(run_in, lambda world: trimming(pinning(world)))


def run_in(make: Callable[[World], World], *arguments: Any, **named: Any) -> End:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewinds, "World", lambda *args, **kwargs: make(World(*args, **kwargs)))
        return rewinds.run(*arguments, **named)


def begin_of(root: Path) -> int:
    return FileEventReader(root).begin(PARTITION)


@pytest.mark.parametrize("label", rewinds.LABELS)
@pytest.mark.parametrize("seed", range(2))
def test_alarms_come_out_the_same(label: str, seed: int, tmp_path: Path, trimmed: Callable[..., End]) -> None:
    whole, short = run_in(pinning, tmp_path / "whole", label, seed), trimmed(tmp_path / "short", label, seed)
    assert begin_of(tmp_path / "short") > 0
    assert short.world.published() == whole.world.published()
    assert learned_state(short.loop) == learned_state(whole.loop)
    assert short.loop.state.intake.account.state() == whole.loop.state.intake.account.state()
    report = short.world.audit()
    assert report.digests_equal
    assert report.versions_checked > 0
    assert report.since_step > 0
    assert report.state_digest == short.loop.state_digest()
    first, second, *_ = short.entries()
    assert isinstance(first, Began)
    assert isinstance(second, Published)


@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_killed_anywhere_between_alarms_it_is_what_its_journal_says(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """When a version is made depends on when the registry hears (see `test_rewinds`)."""
    seed = data.draw(st.integers(0, 3))
    deaths = frozenset(data.draw(st.lists(st.integers(40, 180), min_size=1, max_size=6)))
    end = run_in(lambda world: trimming(pinning(world)), tmp_path_factory.mktemp("short"), "explicit", seed, deaths)
    rewinds.check_one_place(end, seed, versions=0)


@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_killed_anywhere_it_goes_on_as_if_it_had_not_been(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moments = exactly.uninterrupted("explicit").moments
    deaths = frozenset(data.draw(st.lists(st.integers(moments // 4, moments), min_size=1, max_size=6)))
    root = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exactly, "World", lambda *args, **kwargs: trimming(World(*args, **kwargs)))
        exactly.check_same(deaths, "explicit", root)
    assert begin_of(root) > 0


def lives(root: Path, parts: int, now: Callable[[World], World]) -> World:
    world = now(World(root))
    for part in range(parts):
        write_log(root / "events", messy_events(part, 60))
        world.life(lambda loop: until_quiet(world, loop))
    return world


def size_of(root: Path, partition: str = PARTITION) -> int:
    return sum(path.stat().st_size for path in (root / partition).glob("*.log"))


def test_the_journal_and_a_restart_are_no_larger_after_ten_times_the_events(tmp_path: Path) -> None:
    world = lives(tmp_path / "short", 2, trimming)
    early, count = size_of(tmp_path / "short"), len(list(read_journal(FileEventReader(tmp_path / "short"), 0)))
    for part in range(2, 20):
        write_log(tmp_path / "short" / "events", messy_events(part, 60))
        world.life(lambda loop: until_quiet(world, loop))
    assert size_of(tmp_path / "short") <= 2 * early + 2 * SEGMENT
    assert len(list(read_journal(FileEventReader(tmp_path / "short"), 0))) <= 2 * count + 10
    lives(tmp_path / "whole", 20, lambda world: world)
    assert size_of(tmp_path / "whole") > 5 * size_of(tmp_path / "short")


def test_without_the_checkpoints_it_says_so_and_learns_nothing_wrong(tmp_path: Path) -> None:
    world = lives(tmp_path, 4, trimming)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(Corrupt, match="no whole checkpoint"):
        world.life(lambda loop: None)


def test_the_judges_journal_is_trimmed_and_its_evidence_the_same(tmp_path: Path) -> None:
    def lived(root: Path, *, short: bool) -> JudgeWorld:
        world = JudgeWorld(root, Label())
        if short:
            world.segment_bytes = SEGMENT
            world.trimmer = MortalTrimmer(root / "judge", world.fate, JUDGED)
        for part in range(6):
            write_log(root / "events", messy_events(part, 60))
            world.fate.deaths = {world.fate.moment + 9 + part} if short else set()
            while not world.life():
                pass
        return world

    whole, short = lived(tmp_path / "whole", short=False), lived(tmp_path / "short", short=True)
    assert short.registry.rows == whole.registry.rows
    assert 3 * size_of(tmp_path / "short" / "judge", JUDGED) < size_of(tmp_path / "whole" / "judge", JUDGED)
    steps = [entry for entry, _ in read_journal(FileEventReader(tmp_path / "short" / "judge"), 0, JUDGED)]
    assert all(isinstance(entry, Stepped) for entry in steps)
