"""Blobs against the place they claim, on a real artifact store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import Buffer

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, InvalidInput, NotFound, Unavailable
from martlet.manifest import BlobRef, Manifest
from martlet.row_encoding import RowEncoding
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta
from martlet.table_layout import empty_keys
from registry_svc.blob_checks import BlobChecks, claims_of
from tests.unit.registry.samples import BUCKETS, WIDTH, SmallVersions


class CountingStore(FolderStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[BlobRef] = []
        self.broken = False

    def put(self, data: Buffer) -> BlobRef:
        return super().put(data)

    def get(self, blob: BlobRef) -> bytes:
        if self.broken:
            raise OSError(5, "Input/output error")
        self.read.append(blob)
        return super().get(blob)


class Stage:
    def __init__(self, root: Path) -> None:
        self.store = CountingStore(root)
        self.versions = SmallVersions(self.store)
        self.checks = BlobChecks(self.store)

    def read_by(self, manifest: Manifest) -> list[BlobRef]:
        self.store.read.clear()
        self.checks.check(manifest)
        return self.store.read


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def with_last_delta(manifest: Manifest, blob: BlobRef) -> Manifest:
    table = manifest.tables[0]
    return replace(manifest, tables=(replace(table, deltas=(*table.deltas[:-1], blob)),))


def test_a_chain_costs_its_newest_link_alone(stage: Stage) -> None:
    first = stage.versions.newest
    assert set(stage.read_by(first)) == set(first.blobs())
    second = stage.versions.delta()
    assert set(stage.read_by(second)) == {second.dense, second.tables[0].deltas[-1]}
    assert stage.read_by(second) == []


def test_a_version_found_unfit_leaves_what_was_known(stage: Stage) -> None:
    stage.checks.check(stage.versions.newest)
    bad = replace(stage.versions.delta(), dense=stage.versions.dense(float("nan")))
    with pytest.raises(Corrupt):
        stage.checks.check(bad)
    assert stage.read_by(stage.versions.newest) == []
    with pytest.raises(Corrupt):  # and once unfit is not fit the second time
        stage.checks.check(bad)


def test_what_is_remembered_is_bounded_by_one_version_of_each_model(stage: Stage) -> None:
    for value in range(20):
        stage.checks.check(replace(stage.versions.newest, dense=stage.versions.dense(float(value))))
    assert {model: len(claims) for model, claims in stage.checks._fit.items()} == {"shop": 3}


Fault = Callable[[Stage, Manifest], Manifest]


def base_with(stage: Stage, rows: float, buckets: int = BUCKETS, specials: int = 4) -> BlobRef:
    keys = np.repeat(empty_keys(buckets)[:, None], 4, axis=1)
    special = np.zeros((specials, WIDTH), np.float32)
    return stage.store.put(encode_base(TableBase(keys, np.full((buckets, 4, WIDTH), rows, np.float32), special)))


def other_base(**changes: object) -> Fault:
    def fault(stage: Stage, manifest: Manifest) -> Manifest:
        table = replace(manifest.tables[0], base=base_with(stage, **changes), deltas=())  # type: ignore[arg-type]
        return replace(manifest, tables=(table,))

    return fault


def other_delta(value: float, sequence: int, previous: str = "", specials: int = 4) -> Fault:
    def fault(stage: Stage, manifest: Manifest) -> Manifest:
        before = previous or manifest.tables[0].base.digest
        return with_last_delta(manifest, stage.versions.delta_blob(value, sequence, before, specials))

    return fault


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (lambda s, m: replace(m, dense=s.versions.dense(float("inf"))), Corrupt, "'w' is not finite"),
        (lambda s, m: replace(m, dense=s.store.put(b"noise")), Corrupt, "safetensors"),
        (lambda s, m: replace(m, dense=m.tables[0].base), Corrupt, "dense"),
        (lambda s, m: replace(m, dense=m.graph), Corrupt, "safetensors"),
        (lambda s, m: replace(m, dense=BlobRef("mt1-" + "0" * 64, 5)), NotFound, "no blob"),
        (lambda s, m: replace(m, dense=BlobRef("../../secret", 5)), InvalidInput, "digest"),
        (lambda s, m: replace(m, graph=replace(m.graph, size=1)), Corrupt, "expected 1"),
        (lambda s, m: with_last_delta(m, m.dense), Corrupt, "delta"),
        (other_delta(1.0, 2), Corrupt, "delta 2 stands where delta 1"),
        (other_delta(1.0, 1, "mt1-" + "0" * 64), Corrupt, "delta 1 does not belong behind .*: it follows mt1-000"),
        (other_delta(float("nan"), 1), Corrupt, "not finite"),
        (other_delta(1.0, 1, specials=3), Corrupt, "3 special rows"),
        (other_base(rows=float("nan")), Corrupt, "not finite"),
        (other_base(rows=0.0, buckets=BUCKETS + 1), Corrupt, "keys"),
        (other_base(rows=0.0, specials=5), Corrupt, "5 special rows"),
    ],
)
def test_what_is_unfit_for_its_place_is_refused(stage: Stage, fault: Fault, kind: type[Exception], reason: str) -> None:
    stage.checks.check(stage.versions.newest)
    good = stage.versions.delta()
    with pytest.raises(kind, match=reason):
        stage.checks.check(fault(stage, good))
    stage.checks.check(good)


@pytest.mark.parametrize("encoding", list(RowEncoding))
@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_deltas_of_every_encoding_are_looked_into(stage: Stage, encoding: RowEncoding, value: float) -> None:
    """What is not finite stays so on its way, and is found."""
    table = stage.versions.newest.tables[0]
    delta = TableDelta(
        1, table.base.digest, np.array([2], np.int32), np.array([4], np.uint8), np.zeros(1, np.uint8),
        np.zeros(0, np.int64), np.full((1, WIDTH), value, np.float32), np.zeros((4, WIDTH), np.float32),
    )  # fmt: skip
    made = with_last_delta(stage.versions.delta(), stage.store.put(encode_delta(delta, encoding)))
    if np.isfinite(value):
        stage.checks.check(made)
    else:
        with pytest.raises(Corrupt, match="not finite"):
            stage.checks.check(made)


def test_a_blob_of_another_dtype_than_its_table_is_found(stage: Stage) -> None:
    table = replace(stage.versions.newest.tables[0], dtype="float16")
    with pytest.raises(Corrupt, match="tensor 'rows' is float32"):
        stage.checks.check(replace(stage.versions.newest, tables=(table,)))


def test_a_damaged_delta_is_found(stage: Stage) -> None:
    stage.checks.check(stage.versions.newest)
    delta = stage.versions.delta()
    stage.versions.corrupt(delta.tables[0].deltas[-1])
    with pytest.raises(Corrupt, match="digest"):
        stage.checks.check(delta)


def test_a_blob_known_in_one_place_is_checked_again_in_another(stage: Stage) -> None:
    """As a graph anything whole will do; the same blob is no dense weights for that."""
    stage.checks.check(stage.versions.newest)
    with pytest.raises(Corrupt):
        stage.checks.check(replace(stage.versions.newest, dense=stage.versions.newest.graph))


def test_a_store_that_cannot_be_read_says_nothing_about_the_version(stage: Stage) -> None:
    stage.store.broken = True
    with pytest.raises(Unavailable, match="Input/output"):
        stage.checks.check(stage.versions.newest)


def test_the_newest_link_is_looked_at_before_the_base(stage: Stage) -> None:
    """A fault in what is small and new is found before a gigabyte is read."""
    stage.versions.newest = stage.versions.delta()
    kinds = [(claim.kind, claim.sequence) for claim in claims_of(stage.versions.delta())]
    assert kinds == [("dense", 0), ("delta", 2), ("delta", 1), ("graph", 0), ("base", 0)]


def test_a_store_that_lost_what_is_served_says_nothing_about_a_version(stage: Stage) -> None:
    """A refusal would take learning back. So it is a fault of the store, with the command that mends it."""
    parent = stage.versions.newest
    delta = stage.versions.delta()
    stage.store.delete(parent.tables[0].base)
    with pytest.raises(Unavailable, match=rf"lost blob {parent.tables[0].base.digest}.*martlet restore --artifacts"):
        stage.checks.check(delta, parent)
    stage.store.delete(delta.dense)
    with pytest.raises(NotFound, match=delta.dense.digest):  # it is the version's own
        stage.checks.check(delta, parent)
