"""What an alarm took back comes in again by the structural road alone, and is counted and learned once."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Conflict, NotFound
from martlet.eventlog.file_log import FileEventReader
from tests.unit.trainer.streams import Label, messy_events, write_log
from tests.unit.trainer.world import World, until_quiet
from trainer_svc.journal import Offered, Readmitted, read_journal
from trainer_svc.outcome_account import Excluded
from trainer_svc.training_loop import TrainingLoop

LABELS = {"explicit": Label(), "window": Label("rating", 20_000_000, explicit=False)}
EVENTS = messy_events(3, 70)


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


class Story:
    """An alarm, a branch with what was taken back, its promotion, and events all the while. Lives may end anywhere."""

    def __init__(self, root: Path, label: str, deaths: frozenset[int] = frozenset()) -> None:
        self.world = World(root, LABELS[label])
        self.world.fate.deaths = set(deaths)
        self.loops: list[TrainingLoop] = []

    def write(self, start: int, end: int) -> None:
        write_log(self.world.root / "events", EVENTS[start:end])

    def live(self) -> TrainingLoop:
        while not self.world.life(self._quietly):
            pass
        return self.loops[-1]

    def ask(self, epoch: int) -> None:
        """Until a branch is on the structural road: a request that a death swallowed is made again."""
        while not self.world.registry.branches or not self._offered():
            self.world.life(lambda loop: self._asking(loop, epoch))

    def _quietly(self, loop: TrainingLoop) -> None:
        until_quiet(self.world, loop)
        self.loops.append(loop)

    def _asking(self, loop: TrainingLoop, epoch: int) -> None:
        asked = loop.readmit(epoch)
        until_quiet(self.world, loop)
        assert asked.done()

    def _offered(self) -> bool:
        return any(isinstance(entry, Offered) for entry in self.entries())

    def entries(self) -> list[object]:
        return [entry for entry, _ in read_journal(FileEventReader(self.world.root), 0)]

    def tell(self) -> TrainingLoop:
        """All of it."""
        registry = self.world.registry
        self.write(0, 60)
        self.live()
        registry.alarm(registry.digests[2])
        self.write(60, 90)
        self.live()
        self.ask(1)
        self.write(90, 110)
        self.live()
        registry.promote(registry.branches[-1])
        self.write(110, len(EVENTS))
        return self.live()


@pytest.mark.parametrize("label", LABELS)
def test_what_was_taken_back_is_learned_again_after_its_promotion(label: str, tmp_path: Path) -> None:
    story = Story(tmp_path, label)
    loop = story.tell()
    registry, account = story.world.registry, loop.state.intake.account
    assert account.excluded[Excluded.REWOUND] == 0
    assert [type(entry) for entry in story.entries() if isinstance(entry, Offered | Readmitted)] == [
        Offered,
        Readmitted,
    ]
    after = [one for one in registry.accepted if one.lineage.epoch == registry.epoch]
    assert after[0].lineage.parent == registry.branches[-1]
    assert "/" not in after[0].lineage.lineage
    report = story.world.audit()
    assert (report.digests_equal, report.state_digest) == (True, loop.state_digest())
    assert (report.events.learned, report.events.excluded) == (account.learned, account.excluded.total())


def test_until_then_it_stays_out(tmp_path: Path) -> None:
    story = Story(tmp_path, "explicit")
    story.write(0, 60)
    story.live()
    story.world.registry.alarm(story.world.registry.digests[2])
    out = story.live().state.intake.account.excluded[Excluded.REWOUND]
    story.ask(1)
    assert out > 0
    assert story.live().state.intake.account.excluded[Excluded.REWOUND] == out
    branch = story.world.registry.branches[-1]
    assert branch not in story.world.registry.digests


def test_what_cannot_be_readmitted_says_why(tmp_path: Path) -> None:
    story = Story(tmp_path, "explicit")
    story.write(0, 60)
    story.live()

    def ask(loop: TrainingLoop) -> None:
        asked = loop.readmit(1)
        until_quiet(story.world, loop)
        with pytest.raises(NotFound, match="epoch 1"):
            asked.result(0)
        story.world.registry.alarm(story.world.registry.digests[2])
        story.world.registry.refuse = lambda manifest: "/" in manifest.lineage.lineage
        until_quiet(story.world, loop)
        asked = loop.readmit(1)
        until_quiet(story.world, loop)
        with pytest.raises(Conflict, match="refused"):
            asked.result(0)

    story.world.life(ask)
    assert not story.world.registry.branches or story.live()


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_killed_anywhere_it_is_learned_again_once(
    label: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deaths = data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=4))
    story = Story(tmp_path_factory.mktemp("killed"), label, frozenset(deaths))
    loop = story.tell()
    assert loop.state.intake.account.excluded[Excluded.REWOUND] == 0
    assert sum(isinstance(entry, Readmitted) for entry in story.entries()) == 1
    report = story.world.audit()
    assert (report.digests_equal, report.state_digest) == (True, loop.state_digest())
