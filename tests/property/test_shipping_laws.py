"""What the log of deltas serves is the trainer's table: rounded where rows travel so, exact after each repair."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import InvalidInput, Unavailable
from martlet.learn.optimizers import RowWiseAdaGrad
from martlet.manifest import Learned, Lineage, Provenance, TableManifest, VersionKind
from martlet.row_encoding import RowEncoding, as_served
from martlet.table_blobs import TableBase
from martlet.table_chain import read_table
from martlet.versions import LineageState, VersionRecord
from tests.unit.trainer.fakes import SPEC, FakeRegistry, LinearLearner, MemoryStore
from tests.unit.trainer.streams import messy_events, write_log
from tests.unit.trainer.test_training_loop import Later
from tests.unit.trainer.world import BEGAN, World
from trainer_svc.table.columns import RowType
from trainer_svc.table.embedding_table import EmbeddingTable
from trainer_svc.table.updates import RowUpdate
from trainer_svc.table_shipping import TableShipping
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder, VersionPayload

WIDTH, BUCKETS, REPAIR = 3, 16, 3
Content = tuple[bytes, bytes, bytes]


def content(base: TableBase) -> Content:
    return base.keys.tobytes(), base.rows.tobytes(), base.special.tobytes()


class Trainer:
    """A table that learns and ships; `head` is what the registry has acknowledged."""

    def __init__(self, encoding: str, dtype: RowType, seed: int) -> None:
        self.table = EmbeddingTable("t3", WIDTH, BUCKETS, 2, dtype=dtype)
        self.shipping = TableShipping(encoding, REPAIR)
        self.store = MemoryStore()
        self.builder = VersionBuilder(self.store, ModelIdentity("shop", SPEC))
        self.random = np.random.default_rng(seed)
        self.head: tuple[TableManifest, ...] | None = None

    def learn(self, keys: list[int], now_s: int, *, evicts: bool = False) -> None:
        n = len(keys)
        rows = self.table.upsert(np.array(keys, np.int64), np.zeros(n, np.uint16), np.ones(n, np.int64), now_s)
        gradients = self.random.normal(size=(n, WIDTH)).astype(np.float32)
        self.table.update(rows, gradients, RowUpdate(RowWiseAdaGrad(epsilon=1e-8), 0.1))
        if evicts:
            self.table.evict(0, now_s)

    def build(self) -> tuple[TableManifest, ...]:
        tables = self.shipping.cut([self.table], self.head, VersionKind.DELTA)
        payload = VersionPayload(
            1, VersionKind.DELTA, Lineage("s", "", 0, 1), Learned({}, 0, 0, 0), Provenance("", "", ""), b"", {},
            tables, {},
        )  # fmt: skip
        return self.builder.build(payload).tables

    def acknowledge(self, tables: tuple[TableManifest, ...]) -> None:
        self.table.tracker.acknowledge()
        self.shipping.acknowledged(tables)
        self.head = tables

    def as_published(self) -> Content:
        with self.shipping.as_published([self.table]):
            return content(self.table.base())


ROUNDS = st.lists(
    st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(ROUNDS, st.sampled_from(list(RowEncoding)), st.sampled_from(["float32", "float16"]), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_the_log_serves_the_table_rounded_and_exact_after_a_repair(
    rounds: list[tuple[list[int], bool, bool]], encoding: RowEncoding, dtype: RowType, seed: int
) -> None:
    """Learned on while a version is under way, refused versions, evictions: nothing is lost, nothing drifts."""
    trainer = Trainer(encoding, dtype, seed)
    for number, (keys, evicts, arrives) in enumerate(rounds):
        trainer.learn(keys, number, evicts=evicts)
        own = content(trainer.table.base())
        tables = trainer.build()
        served = content(read_table(trainer.store, tables[0]))
        assert served == trainer.as_published()
        assert content(trainer.table.base()) == own, "the trainer's own rows stay as they are"
        exact = encoding.is_exact(dtype) or len(tables[0].deltas) % REPAIR == 0
        if exact:
            assert served == own
        trainer.learn(keys[:1], number)  # while it is under way
        if arrives:
            trainer.acknowledge(tables)


@given(ROUNDS, st.sampled_from(["float32", "float16"]))
@settings(max_examples=60, deadline=None)
def test_each_row_served_is_the_trainers_or_its_rounding(
    rounds: list[tuple[list[int], bool, bool]], dtype: RowType
) -> None:
    """However long ago it travelled: errors do not add up."""
    trainer = Trainer("int8", dtype, 1)
    for number, (keys, evicts, _) in enumerate(rounds):
        trainer.learn(keys, number, evicts=evicts)
        tables = trainer.build()
        served, own = read_table(trainer.store, tables[0]).rows, trainer.table.base().rows
        rounded = as_served(own.reshape(-1, WIDTH), RowEncoding.INT8).reshape(own.shape)
        assert ((served == own).all(axis=2) | (served == rounded).all(axis=2)).all()
        trainer.acknowledge(tables)


def test_what_was_shipped_inexactly_survives_a_restart() -> None:
    trainer, again = Trainer("int8", "float32", 2), TableShipping("int8", REPAIR)
    trainer.learn([1, 2, 3], 1)
    trainer.acknowledge(trainer.build())
    for number in (2, 3):
        trainer.learn([number], number)
        trainer.acknowledge(trainer.build())
    again.restore(trainer.shipping.state())
    trainer.shipping = again
    repaired = trainer.build()  # nothing was touched: only the repair travels
    assert content(read_table(trainer.store, repaired[0])) == content(trainer.table.base())


@pytest.mark.parametrize(
    ("encoding", "every", "reason"), [("int4", 3, "delta_encoding 'int4'"), ("int8", 0, "exact_repair_every")]
)
def test_settings_that_cannot_work_are_refused(encoding: str, every: int, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        TableShipping(encoding, every)


@dataclass
class UnreliableRegistry:
    """Loses questions and answers, delivers twice, and delivers old versions again, late."""

    inner: FakeRegistry
    dice: random.Random
    seen: list[bytes] = field(default_factory=list)
    lost: int = 0

    def publish(self, manifest: bytes) -> VersionRecord:
        self._lose("the question")
        for late in self.dice.sample(self.seen, min(2, len(self.seen))):
            self._deliver(late)
        self.seen.append(manifest)
        if self.dice.random() < 0.3:
            self._deliver(manifest)
        record = self.inner.publish(manifest)
        self._lose("the answer")
        return record

    def lineage(self, model: str) -> LineageState:
        self._lose("the lineage")
        return self.inner.lineage(model)

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        self.inner.acknowledge_rewind(model, epoch, digest)

    def _deliver(self, manifest: bytes) -> None:
        try:
            self.inner.publish(manifest)
        except Exception:  # noqa: BLE001  nobody waits for this answer
            return

    def _lose(self, what: str) -> None:
        if self.dice.random() < 0.3:
            self.lost += 1
            raise Unavailable(f"{what} is lost")


@pytest.mark.parametrize("encoding", ["float32", "int8"])
@pytest.mark.parametrize("seed", range(6))
def test_pending_changes_merge_and_nothing_is_lost(
    tmp_path: Path, seed: int, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a version is under way, whatever else is learned waits for the next one: the newest wins, one is behind."""
    monkeypatch.setattr("os.fdatasync", lambda handle: None)
    world, dice = World(tmp_path), random.Random(seed)
    world.chain_limit = 6
    world.began = msgspec.structs.replace(BEGAN, delta_encoding=encoding, exact_repair_every=3)
    unreliable = UnreliableRegistry(world.registry, dice)
    world.registry_seen = unreliable
    world.publisher_gives_up = False
    write_log(tmp_path / "events", messy_events(seed, 120))
    world.publishing = slow = Later()
    learners: list[LinearLearner] = []
    world.make_learner = lambda: learners.append(LinearLearner(64)) or learners[-1]  # type: ignore[func-returns-value]
    expected: list[Content] = []
    take_off = TrainingState.take_off

    def watched(state: TrainingState, entry: Any) -> VersionPayload:
        payload = take_off(state, entry)
        with state._shipping.as_published(learners[0].tables.values()):
            expected.append(content(learners[0].table.base()))
        return payload

    monkeypatch.setattr(TrainingState, "take_off", watched)

    def live(loop: TrainingLoop) -> None:
        quiet = 0
        while quiet < 40:
            world.clock.advance(1.0)
            quiet = 0 if loop.turn(lambda: None) else quiet + 1
            if dice.random() < 0.4:
                slow.run()

    assert world.life(live)
    accepted = world.registry.accepted
    assert unreliable.lost > 0
    assert [manifest.lineage.sequence for manifest in accepted] == list(range(1, len(accepted) + 1))
    assert len(accepted) == len(expected), "each version that was made arrived, once"
    for manifest, table in zip(accepted, expected, strict=True):
        assert content(read_table(world.store, manifest.tables[0])) == table
    assert learners[0].table.tracker.touched == 0, "what was learned is served, to the last row"
    last = accepted[-1].tables[0]
    if encoding == "float32" or len(last.deltas) % 3 == 0:
        assert content(read_table(world.store, last)) == content(learners[0].table.base())
