"""The loop with neighbours that take their time, refuse, or go on without it."""

import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from martlet.errors import Corrupt, NotReady
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.manifest import Manifest, VersionKind
from martlet.table_chain import read_table
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.fakes import LinearLearner, MemoryStore
from tests.unit.trainer.streams import SECOND, START, messy_events, outcome, prediction, write_log
from tests.unit.trainer.world import INEXACT, MortalJournal, World, until_quiet
from trainer_svc.journal import (
    PARTITION,
    Acknowledged,
    Entry,
    LogJournal,
    Overtaken,
    Published,
    Refused,
    Stepped,
    read_journal,
)
from trainer_svc.training_loop import TrainingLoop


class Later(Executor):
    """Runs what was submitted when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def turns(count: int) -> Callable[[TrainingLoop], None]:
    def live(loop: TrainingLoop) -> None:
        for _ in range(count):
            loop.turn(lambda: None)

    return live


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    monkeypatch.setattr("os.fdatasync", lambda handle: None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    write_log(tmp_path / "events", messy_events(3, 80))
    return world


def rows_of(store: MemoryStore, manifest: Manifest) -> tuple[bytes, bytes, bytes]:
    """The table that a loader would put together: base, then every delta."""
    table = manifest.tables[0]
    base = read_table(store, table)
    return base.keys.tobytes(), base.rows.tobytes(), base.special.tobytes()


def test_base_and_deltas_are_the_learners_table_however_long_a_publish_takes(world: World) -> None:
    """What is learned while a version is under way must not be forgotten by its acknowledgement."""
    learners: list[LinearLearner] = []
    expected: dict[int, tuple[bytes, bytes, bytes]] = {}
    world.publishing = publishing = Later()
    world.make_learner = lambda: learners.append(LinearLearner(64)) or learners[-1]  # type: ignore[func-returns-value]

    def live(loop: TrainingLoop) -> None:
        for turn in range(60):
            before = loop.state.cursor.at.number
            loop.turn(lambda: None)
            if loop.state.cursor.at.number > before and turn % 4:
                continue
            if turn % 4 == 3:
                publishing.run()

    original = LinearLearner.dense_weights

    def watched(self: LinearLearner) -> dict[str, Any]:
        base = self.table.base()
        expected[len(expected) + 1] = (base.keys.tobytes(), base.rows.tobytes(), base.special.tobytes())
        return original(self)

    LinearLearner.dense_weights = watched  # type: ignore[method-assign]
    try:
        world.life(live)
    finally:
        LinearLearner.dense_weights = original  # type: ignore[method-assign]
    accepted = world.registry.accepted
    assert sum(manifest.kind is VersionKind.DELTA for manifest in accepted) > 4
    for manifest in accepted:
        assert rows_of(world.store, manifest) == expected[manifest.lineage.sequence]


def test_a_checkpoint_holds_the_moment_at_which_it_was_begun(world: World) -> None:
    """It is written beside the loop, while learning goes on."""
    world.background = background = Later()
    digests: list[str] = []

    def first(loop: TrainingLoop) -> None:
        for _ in range(6):
            world.clock.advance(1.0)
            loop.turn(lambda: None)
        background.run()
        digests.append(loop.state_digest())

    world.life(first)
    assert [path.stem for path in (world.root / "checkpoints").iterdir()] != ["000000000006"]
    world.life(lambda loop: digests.append(loop.state_digest()))
    assert digests[0] == digests[1]


def test_an_orderly_end_leaves_nothing_to_execute_again(world: World) -> None:
    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        loop.close()

    world.life(live)
    steps = len(world.heard.steps)
    world.life(lambda loop: None)
    assert len(world.heard.steps) == steps


def test_a_refused_version_sends_learning_back_to_the_head(world: World) -> None:
    world.registry.refuse = lambda manifest: manifest.lineage.sequence == 3 and not world.heard.rewinds
    world.life(lambda loop: until_quiet(world, loop))
    (refused,) = [result for result in world.heard.results if isinstance(result, Refused)]
    (rewound,) = world.heard.rewinds
    accepted = world.registry.accepted
    assert (refused.number, rewound.refused, rewound.digest) == (3, True, world.registry.digests[1])
    assert [manifest.lineage.sequence for manifest in accepted] == list(range(1, len(accepted) + 1))
    assert accepted[2].lineage.parent == world.registry.digests[1]
    assert world.registry.acknowledged == []
    assert world.audit().digests_equal


def test_a_first_version_that_is_refused_is_followed_by_another_snapshot(world: World) -> None:
    world.registry.refuse = lambda manifest: len(world.registry.records) < 2
    world.life(lambda loop: until_quiet(world, loop))
    assert world.heard.rewinds == []
    assert world.registry.accepted[0].lineage.parent == ""


def test_another_head_is_followed_by_a_snapshot_on_top_of_it(world: World) -> None:
    def live(loop: TrainingLoop) -> None:
        for _ in range(8):
            loop.turn(lambda: None)
        world.registry.head, world.registry.epoch = "mt1-" + "0" * 64, 5
        until_quiet(world, loop)

    world.life(live)
    (overtaken,) = [result for result in world.heard.results if isinstance(result, Overtaken)]
    assert (overtaken.epoch, overtaken.head_digest) == (5, "mt1-" + "0" * 64)
    after = [manifest for manifest in world.registry.accepted if manifest.lineage.epoch == 5]
    assert after[0].kind is VersionKind.SNAPSHOT
    assert after[0].lineage.parent == "mt1-" + "0" * 64
    assert after[1].kind is VersionKind.DELTA
    assert world.audit().digests_equal


def test_a_lineage_begins_with_a_snapshot_of_what_is_untrained(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.life(lambda loop: until_quiet(world, loop))
    (only,) = world.registry.accepted
    assert (only.kind, only.learned.step, only.lineage.parent) == (VersionKind.SNAPSHOT, 0, "")
    assert only.metrics["recent_requests"] == 0


def test_versions_keep_their_interval_and_name_what_they_learned(tmp_path: Path) -> None:
    world = World(tmp_path, interval_s=10.0)
    ends = write_log(tmp_path / "events", messy_events(3, 80))
    world.life(lambda loop: until_quiet(world, loop))
    entries = [entry for entry, _ in read_journal(FileEventReader(tmp_path), 0)]
    gaps = np.diff([place for place, entry in enumerate(entries) if isinstance(entry, Published)])
    assert gaps.min() >= 10
    reached = {end.partition: end.offset for end in ends}
    world.life(lambda loop: until_quiet(world, loop))
    assert world.registry.accepted[-1].learned.positions == reached


def test_the_gate_metrics_are_the_distance_to_the_answers_given(tmp_path: Path) -> None:
    world = World(tmp_path, now_us=START + 10 * SECOND)
    learners: list[LinearLearner] = []
    world.make_learner = lambda: learners.append(LinearLearner()) or learners[-1]  # type: ignore[func-returns-value]
    made = prediction(1, logits=[1.0, -2.0, 3.0])
    write_log(world.root / "events", [("a", made), ("a", outcome("e1", 1, value=5.0))])
    world.life(lambda loop: until_quiet(world, loop))
    last = world.registry.accepted[-1]
    moved = np.abs(learners[-1].predict(made.features) - np.array([1.0, -2.0, 3.0]))
    assert last.metrics["recent_requests"] == 1
    assert last.metrics["mean_abs_logit_shift"] == pytest.approx(float(moved.mean()), rel=1e-6)
    assert last.metrics["max_abs_logit_shift"] == pytest.approx(float(moved.max()), rel=1e-6)


def test_each_example_is_tested_before_it_is_learned(tmp_path: Path) -> None:
    """All rows of a fresh learner give 0: the first test must see that, not what its own example taught."""
    world = World(tmp_path, now_us=START + 10 * SECOND)
    write_log(world.root / "events", [("a", prediction(1)), ("a", outcome("e1", 1, value=5.0))])

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        assert loop.state.quality() == {"examples": 1.0, "logloss": pytest.approx(np.log(2.0), abs=1e-12)}

    world.life(live)
    assert world.registry.accepted[-1].learned.examples == 1


def test_time_closes_windows_when_nothing_comes(tmp_path: Path) -> None:
    world = World(tmp_path, now_us=START + 5 * SECOND)
    write_log(tmp_path / "events", [("a", outcome("e1", 1))])

    def live(loop: TrainingLoop) -> None:
        until_quiet(world, loop)
        assert loop.state.intake.pending == 1
        world.clock.wall_us += 60 * SECOND
        until_quiet(world, loop)
        assert loop.state.intake.pending == 0

    world.life(live)
    assert [reason for _, reason, _, _ in world.letters()] == ["unknown prediction"]
    assert len([entry for entry, _ in read_journal(FileEventReader(tmp_path), 0) if isinstance(entry, Stepped)]) == 2


def test_a_journal_that_says_something_else_is_corrupt(world: World) -> None:
    world.life(turns(4))
    for path in (world.root / "checkpoints").iterdir():
        path.unlink()
    writer = FileEventWriter(world.root, PARTITION)
    LogJournal(writer, FileEventReader(world.root)).append(Acknowledged(99, "mt1-x", 9))
    writer.close()
    with pytest.raises(Corrupt, match="99"):
        world.life(lambda loop: None)


def test_a_learner_that_learns_differently_is_noticed(world: World) -> None:
    world.life(turns(6))
    for path in (world.root / "checkpoints").iterdir():
        path.unlink()

    class Other(LinearLearner):
        def dense_weights(self) -> dict[str, Any]:
            return {"weights": self.weights + np.float32(1e-6)}

    world.make_learner = Other
    with pytest.raises(Corrupt, match="differently"):
        world.life(lambda loop: None)
    report = world.audit()
    assert not report.digests_equal


def test_the_audit_compares_answers_with_the_state_that_gave_them(world: World) -> None:
    world.life(lambda loop: until_quiet(world, loop))
    digest = world.registry.digests[4]
    learned = world.registry.accepted[4].learned
    states: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    again = World(world.root / "again")
    made = prediction(5000)

    def live(loop: TrainingLoop) -> None:
        while loop.state.step < learned.step:
            loop.turn(lambda: None)
        states.append(loop.state.predict([RecordedPrediction(encode_event(made))]))

    write_log(again.root / "events", messy_events(3, 80))
    again.life(live)

    def answer(logits: list[float]) -> dict[str, list[RecordedPrediction]]:
        return {digest: [RecordedPrediction(encode_event(prediction(5000, logits=logits)))]}

    good = world.audit(answer(states[0].tolist()))
    assert (good.answers, good.digests_equal, good.versions_checked) == (1, True, len(world.published()))
    assert good.parity_max_abs_diff < 1e-7
    bad = world.audit(answer((states[0] + 0.01).tolist()))
    assert bad.parity_max_abs_diff > 1e-4


def test_the_audit_compares_with_the_rows_that_were_served(world: World) -> None:
    """Of a version whose rows travelled as int8: the trainer's own rows would not do."""
    world.began = INEXACT
    world.life(lambda loop: until_quiet(world, loop))
    manifest, digest = world.registry.accepted[3], world.registry.digests[3]
    assert len(manifest.tables[0].deltas) % INEXACT.exact_repair_every == 1
    learners: list[LinearLearner] = []
    again, made = World(world.root / "again"), prediction(5000)
    again.make_learner = lambda: learners.append(LinearLearner()) or learners[-1]  # type: ignore[func-returns-value]

    def live(loop: TrainingLoop) -> None:
        while loop.state.step < manifest.learned.step:
            loop.turn(lambda: None)
        served = read_table(world.store, manifest.tables[0])
        answers = {}
        for name, rows in (("own", learners[0].table.base().rows), ("served", served.rows)):
            learners[0].table.rows[: learners[0].table.slots] = rows.reshape(-1, rows.shape[2])
            answers[name] = loop.state.predict([RecordedPrediction(encode_event(made))])
        for name, worst in (("served", 1e-7), ("own", None)):
            logged = RecordedPrediction(encode_event(prediction(5000, logits=answers[name].tolist())))
            found = world.audit({digest: [logged]}).parity_max_abs_diff
            assert found <= worst if worst else found > 1e-6

    write_log(again.root / "events", messy_events(3, 80))
    assert again.life(live)


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_refuses_entries_now_and_then_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever was to be written, the answer to a publish above all: it is tried again, and everything goes out."""
    dice, append = random.Random(seed), MortalJournal.append

    def reluctant(self: MortalJournal, entry: Entry) -> int:
        if dice.random() < 0.4:
            raise NotReady("no space")
        return append(self, entry)

    def live(loop: TrainingLoop) -> None:
        for _ in range(400):
            with suppress(NotReady):
                loop.turn(lambda: None)
        learned.append(loop.state.examples)

    learned: list[int] = []
    monkeypatch.setattr(MortalJournal, "append", reluctant)
    with suppress(NotReady):  # its first entry
        world.life(live)
    if not learned:
        world.life(live)
    assert learned[0] > 0
    assert world.registry.accepted[-1].learned.examples == learned[0]
