"""The loop's part of a hand-over: it says the word, and goes on from a version that it did not publish itself."""

import contextlib
from pathlib import Path

import pytest

from martlet.eventlog.file_log import FileEventReader
from tests.unit.trainer.streams import messy_events, write_log
from tests.unit.trainer.world import World, until_quiet
from trainer_svc.hand_over import HandOver, Head
from trainer_svc.journal import Acknowledged, Grafted, Overtaken, read_journal
from trainer_svc.publisher import Stopped
from trainer_svc.training_loop import TrainingLoop


class Others:
    """One other lineage, which made one version."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def lineage_of(self, digest: str, /) -> str | None:
        return "full_retrain-1" if digest == self.digest else None


@pytest.mark.parametrize("busy", [False, True])
def test_the_word_is_said_and_nothing_is_journalled(tmp_path: Path, busy: bool) -> None:  # noqa: FBT001  a test's case
    """By the poll, and by a publish that conflicts."""
    world = World(tmp_path)
    write_log(tmp_path / "events", messy_events(3, 40))
    said: list[HandOver] = []

    def live(loop: TrainingLoop) -> None:
        loop._watch._kin = loop._publishing._kin = Others("mt1-theirs")
        until_quiet(world, loop)
        world.registry.promote("mt1-theirs")
        if busy:
            write_log(tmp_path / "events", messy_events(4, 10))
        try:
            until_quiet(world, loop)
        except HandOver as word:
            said.append(word)
            loop.close()

    assert world.life(live)
    assert [(word.lineage, word.head.digest, word.head.epoch) for word in said] == [("full_retrain-1", "mt1-theirs", 1)]
    entries = [entry for entry, _ in read_journal(FileEventReader(tmp_path), 0)]
    assert not any(isinstance(entry, Overtaken) for entry in entries)


def test_it_goes_on_from_a_version_that_became_the_head_by_another_road(tmp_path: Path) -> None:
    """Told once or twice, it is noted once; the next version is a delta in the new epoch."""
    world = World(tmp_path, interval_s=1e9)
    write_log(tmp_path / "events", messy_events(3, 40))
    digests: list[str] = []

    def build(loop: TrainingLoop) -> None:
        world.registry.away = _away
        with contextlib.suppress(Stopped):
            until_quiet(world, loop)
        flight = loop.state.cursor.at.flight
        assert flight is not None
        digests.append(world.store.put_manifest(_encoded(flight)))
        loop.close()

    world.publisher_gives_up = True
    world.life(build)
    world.registry.away = lambda: None
    world.registry.publish(world.store.manifests[digests[0]])
    world.registry.promote(digests[0])
    head = Head(1, digests[0], 1)

    def take_up(loop: TrainingLoop) -> None:
        for _ in range(2):
            loop._take_up(head)
        world.interval_s = 0.0
        write_log(tmp_path / "events", messy_events(4, 10))

    for _ in range(2):  # and again after a restart
        assert world.life(take_up)
    entries = [entry for entry, _ in read_journal(FileEventReader(tmp_path), 0)]
    assert [type(entry) for entry in entries if isinstance(entry, Acknowledged | Grafted)] == [Acknowledged, Grafted]
    assert world.life(lambda loop: until_quiet(world, loop))
    assert world.registry.accepted[-1].lineage.epoch == 1
    assert world.registry.accepted[1].lineage.parent == digests[0]
    assert not any(isinstance(entry, Overtaken) for entry, _ in read_journal(FileEventReader(tmp_path), 0))


def _away() -> None:
    from martlet.errors import Unavailable  # noqa: PLC0415

    raise Unavailable("the registry is away")


def _encoded(manifest: object) -> bytes:
    from martlet.manifest import Manifest, encode_manifest  # noqa: PLC0415

    assert isinstance(manifest, Manifest)
    return encode_manifest(manifest)
