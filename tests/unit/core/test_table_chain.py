"""A base and its deltas as a log: any later table comes out of it, and nothing out of its place is taken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, InvalidInput
from martlet.manifest import TableManifest
from martlet.row_encoding import RowEncoding, as_served
from martlet.table_blobs import TableBase, TableDelta, decode_base, encode_base, encode_delta, places
from martlet.table_chain import read_delta, read_table, replayed

N, WIDTH, SPECIALS = 6, 2, 2


class Chain:
    """A table that changes slot by slot, and the chain that is published of it. `tables[k]`: as after delta k."""

    def __init__(self, root: Path, encoding: RowEncoding = RowEncoding.FLOAT32, dtype: str = "float32") -> None:
        self.store = FolderStore(root)
        self.random = np.random.default_rng(3)
        rows = self.random.normal(size=(N, 4, WIDTH)).astype(dtype)
        self.tables = [TableBase(np.arange(N * 4).reshape(N, 4), rows, np.zeros((SPECIALS, WIDTH), dtype))]
        self.encoding = encoding
        base = self.store.put(encode_base(self.tables[0]))
        self.table = TableManifest("t2", WIDTH, N, dtype, base)

    def publish(self) -> None:
        """One more delta of random slots."""
        before, m = self.tables[-1], 3
        keys, rows = before.keys.copy(), before.rows.copy()
        buckets = np.sort(self.random.choice(N, m, replace=False)).astype(np.int32)
        row_mask, key_mask = (self.random.integers(0, 16, m).astype(np.uint8) for _ in range(2))
        bucket, place = places(key_mask)
        changed_keys = self.random.integers(100, 1000, bucket.shape[0])
        keys[buckets[bucket], place] = changed_keys
        bucket, place = places(row_mask)
        changed_rows = self.random.normal(size=(bucket.shape[0], WIDTH)).astype(rows.dtype)
        rows[buckets[bucket], place] = as_served(changed_rows, self.encoding)
        special = np.full((SPECIALS, WIDTH), len(self.tables), rows.dtype)
        sequence, previous = len(self.table.deltas) + 1, (self.table.base, *self.table.deltas)[-1].digest
        delta = TableDelta(sequence, previous, buckets, row_mask, key_mask, changed_keys, changed_rows, special)
        blob = self.store.put(encode_delta(delta, self.encoding))
        self.table = replace(self.table, deltas=(*self.table.deltas, blob))
        self.tables.append(TableBase(keys, rows, special))


def same(one: TableBase, other: TableBase) -> bool:
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("keys", "rows", "special"))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("encoding", list(RowEncoding))
def test_every_later_table_comes_out_of_the_log(tmp_path: Path, encoding: RowEncoding, dtype: str) -> None:
    chain = Chain(tmp_path, encoding, dtype)
    for _ in range(5):
        chain.publish()
    for length, expected in enumerate(chain.tables):
        assert same(read_table(chain.store, chain.table, length), expected)
    assert same(read_table(chain.store, chain.table), chain.tables[-1])
    later = replayed(chain.tables[2], [read_delta(chain.store, chain.table, position) for position in (2, 3, 4)])
    assert same(later, chain.tables[-1]), "from a later base, with the deltas behind it"


def test_a_base_is_not_changed_by_a_replay(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    chain.publish()
    base = decode_base(chain.store.get(chain.table.base), WIDTH, N)
    replayed(base, [read_delta(chain.store, chain.table, 0)])
    assert same(base, chain.tables[0])


def test_gaps_swaps_repetitions_and_foreign_links_are_refused(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    for _ in range(3):
        chain.publish()
    one, two, three = chain.table.deltas
    stranger = Chain(tmp_path)
    stranger.publish()
    stranger.publish()
    faults = {
        (one, three): "delta 3 stands where delta 2",
        (two, one): "delta 2 stands where delta 1",
        (one, one): "delta 1 stands where delta 2",
        (one, two, two): "delta 2 stands where delta 3",
    }
    for deltas, reason in faults.items():
        with pytest.raises(Corrupt, match=f"table 't2': {reason}"):
            read_table(chain.store, replace(chain.table, deltas=deltas))
    other = Chain(tmp_path / "other")
    other.random = np.random.default_rng(9)
    other.publish()
    other.publish()
    mixed = replace(chain.table, deltas=(one, chain.store.put(other.store.get(other.table.deltas[1]))))
    with pytest.raises(Corrupt, match=f"delta 2 does not belong behind {one.digest}: it follows"):
        read_table(chain.store, mixed)


def test_a_chain_has_no_more_than_its_length(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    with pytest.raises(InvalidInput, match="chain of 0 deltas, not 1"):
        read_table(chain.store, chain.table, 1)


def test_a_delta_of_another_dtype_is_refused(tmp_path: Path) -> None:
    half, single = Chain(tmp_path, dtype="float16"), Chain(tmp_path)
    single.publish()
    blob = single.table.deltas[0]
    with pytest.raises(Corrupt, match=r"tensor 'rows' is float32.*expected float16 or"):
        read_table(single.store, replace(half.table, deltas=(blob,)))
