"""What the trainer shows is what its course holds."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from tests.unit.trainer.course_stage import World, drain, events
from trainer_svc.status import StatusBoard


def test_the_board_shows_the_course(tmp_path: Path) -> None:
    world, registry = World(tmp_path), CollectorRegistry()
    world.write(events(40))
    loop = world.loop()
    drain(loop)
    board, course = StatusBoard(registry), loop.course
    board.update(course)
    assert (board.read().last_checkpoint_step, board.read().state_digest) == (0, "")
    board.committed(course)
    status = board.read()
    assert (status.step, status.learned, status.duplicates) == (course.step, 40, course.joiner.counts.duplicates)
    assert (status.last_checkpoint_step, status.state_digest) == (course.step, course.digest())
    assert status.last_published_digest == world.registry.head
    assert status.consumed == course.positions
    value = registry.get_sample_value("martlet_trainer_outcomes", {"model": "tiny", "place": "learned"})
    assert value == 40
    assert registry.get_sample_value("martlet_trainer_examples_total", {"model": "tiny"}) == 40


def test_a_restored_course_knows_the_parent_it_was_told(tmp_path: Path) -> None:
    """Also after a refusal, when the parent is another's version of which only the digest is known."""
    world = World(tmp_path)
    world.write(events(40))
    world.registry.digests.append("mt1-" + "f" * 64)
    loop = world.loop()
    loop.turn()
    loop.turn()
    loop.commit()
    restored = world.loop().course
    assert restored.parent_digest == loop.course.parent_digest
    assert restored.digest() == loop.course.digest()
