"""The embedding table, case by case. Its laws under random calls: tests/property/test_embedding_table_laws.py."""

import numpy as np
import pytest

from martlet.errors import Corrupt
from martlet.learn.optimizers import RowWiseAdaGrad
from martlet.table_layout import SLOTS, buckets_of
from trainer_svc.table import EmbeddingTable, TableFull
from trainer_svc.table.columns import RowType
from trainer_svc.table.updates import RowUpdate

STEP = RowUpdate(RowWiseAdaGrad(epsilon=1e-8), 0.1)
GOLDEN_ROWS = [
    ["-0x1.2130700000000p-8", "0x1.4131380000000p-7", "0x1.eed57a0000000p-9", "-0x1.cfa1ae0000000p-10"],
    ["-0x1.7e3cb80000000p-8", "-0x1.caf8340000000p-9", "0x1.1261880000000p-7", "-0x1.62d9800000000p-8"],
    ["0x1.5db90a0000000p-9", "0x1.06117e0000000p-7", "-0x1.99b80a0000000p-9", "0x1.947f7a0000000p-9"],
]


def upsert(table: EmbeddingTable, keys: list[int], now_s: int = 1, space: int = 0) -> np.ndarray:
    n = len(keys)
    arguments = (np.array(keys, np.int64), np.full(n, space, np.uint16), np.ones(n, np.int64), now_s)
    while True:
        try:
            return table.upsert(*arguments)
        except TableFull:
            table.grow()


def crowd(buckets: int, pair: set[int], count: int) -> list[int]:
    """Keys that all belong to the same two buckets."""
    keys = np.arange(100_000, dtype=np.int64)
    first, second = buckets_of(keys, buckets)
    a, b = sorted(pair)
    fits = ((first == a) & (second == b)) | ((first == b) & (second == a))
    return [int(key) for key in keys[fits][:count]]


def collisions(table: EmbeddingTable) -> int:
    return sum(space.collisions for space in table.statistics.spaces)


def state_bytes(table: EmbeddingTable) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in table.state().items()}


def test_a_key_without_a_path_leaves_the_table_bit_for_bit_as_it_was() -> None:
    """Nine keys of the same two buckets: no displacement can help, at a load of a quarter."""
    table = EmbeddingTable("t2", 2, 8, 2)
    *eight, ninth = crowd(8, {2, 5}, 9)
    upsert(table, eight)
    before = state_bytes(table)
    with pytest.raises(TableFull):
        table.upsert(np.array([ninth]), np.zeros(1, np.uint16), np.ones(1, np.int64), 9)
    assert state_bytes(table) == before
    table.grow()
    upsert(table, [ninth])
    assert (table.find(np.array([*eight, ninth])) >= 0).all()


def test_a_displaced_key_takes_everything_along_and_both_buckets_are_tracked() -> None:
    table = EmbeddingTable("t2", 2, 8, 2)
    guest = crowd(8, {2, 3}, 1)
    upsert(table, guest, now_s=5, space=3)
    rows = table.find(np.array(guest))
    table.update(rows, np.ones((1, 2), np.float32), STEP)
    before = (table.rows[rows[0]].tolist(), float(table.optimizer[rows[0], 0]))
    table.tracker.take()
    table.tracker.acknowledge()
    old = table.base()
    host = int(rows[0]) // SLOTS
    upsert(table, crowd(8, {host, 6}, 8), now_s=6, space=3)
    now = int(table.find(np.array(guest))[0])
    assert now != rows[0], "the crowd of eight needs both buckets whole"
    assert (table.rows[now].tolist(), float(table.optimizer[now, 0])) == before
    assert int(table.last_used.reshape(-1)[now]) == 5
    assert int(table.spaces.reshape(-1)[now]) == 3
    changed = (old.keys != table.keys).any(1)
    assert set(np.flatnonzero(changed)) <= set(table.tracker.take().buckets.tolist())
    assert changed[now // SLOTS]


@pytest.mark.parametrize("stride", [1, 1 << 32, -(1 << 33), 0x9E3779B97F4A7C15 - (1 << 64)])
def test_a_table_of_regular_keys_fills_to_its_limit(stride: int) -> None:
    table = EmbeddingTable("t1", 1, 5000, 2)
    limit = int(table.slots * 0.96)
    with np.errstate(over="ignore"):
        keys = np.arange(limit, dtype=np.int64) * np.int64(stride)
    table.upsert(keys, np.zeros(limit, np.uint16), np.ones(limit, np.int64), 1)
    assert table.size == limit
    assert len(set(table.find(keys).tolist())) == limit


def test_a_full_table_says_so_and_stays_whole() -> None:
    table = EmbeddingTable("t1", 1, 4, 2)
    keys = np.arange(16, dtype=np.int64)
    with pytest.raises(TableFull):
        table.upsert(keys, np.zeros(16, np.uint16), np.ones(16, np.int64), 1)
    held = table.find(keys)
    assert int((held >= 0).sum()) == table.size == 15


def test_a_new_row_begins_as_its_default_row_with_noise_of_its_own() -> None:
    table = EmbeddingTable("t3", 3, 16, 2)
    table.rows[table.slots + 1] = [1.0, 2.0, 3.0]
    rows = table.rows[upsert(table, [7, 8])]
    assert np.abs(rows - [1.0, 2.0, 3.0]).max() <= 0.011
    assert (rows[0] != rows[1]).all()
    again = EmbeddingTable("t3", 3, 64, 2)
    again.rows[again.slots + 1] = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(again.rows[upsert(again, [8, 7])], rows[::-1])


def test_a_key_of_another_space_keeps_its_default_row_and_is_counted() -> None:
    table = EmbeddingTable("t1", 1, 16, 3)
    first = upsert(table, [7], space=1)
    second = table.upsert(np.array([7, 9], np.int64), np.array([2, 2], np.uint16), np.array([2, 2], np.int64), 1)
    assert second[0] == table.slots + 2
    assert first[0] != second[0]
    assert collisions(table) == 1


def test_the_zero_row_never_changes() -> None:
    table = EmbeddingTable("t2", 2, 16, 2)
    rows = np.array([table.slots, table.slots + 1], np.int64)
    table.update(rows, np.ones((2, 2), np.float32), STEP)
    assert (table.rows[table.slots] == 0).all()
    assert (table.rows[table.slots + 1] != 0).all()


def test_use_by_another_space_does_not_keep_a_row_alive() -> None:
    table = EmbeddingTable("t1", 1, 16, 3)
    upsert(table, [7], now_s=1, space=1)
    upsert(table, [7], now_s=9, space=2)
    assert table.evict(1, 5) == 1
    upsert(table, [7], now_s=10, space=2)
    assert collisions(table) == 1, "free again, it belongs to who comes next"
    assert table.find(np.array([7]))[0] >= 0


def test_time_of_use_never_goes_back() -> None:
    table = EmbeddingTable("t1", 1, 16, 2)
    upsert(table, [7], now_s=9)
    upsert(table, [7], now_s=3)
    assert table.evict(0, 9) == 0


def test_new_rows_are_the_same_in_every_release() -> None:
    """A golden value: replay and audit rebuild rows from nothing."""
    table = EmbeddingTable("t4", 4, 16, 2)
    rows = upsert(table, [0, -1, (1 << 63) - 1])
    assert [[value.hex() for value in row] for row in table.rows[rows].tolist()] == GOLDEN_ROWS


def test_indices_outside_the_table_are_refused() -> None:
    """The compiled loops would write there."""
    table = EmbeddingTable("t2", 2, 4, 2)
    one, end = np.ones((1, 2), np.float32), table.slots + 2
    for row in (-1, end):
        with pytest.raises(ValueError, match="row numbers"):
            table.update(np.array([row]), one, STEP)
        with pytest.raises(ValueError, match="row numbers"):
            table.gather(np.array([row]))
    for special in (-1, 2):
        with pytest.raises(ValueError, match="special numbers"):
            table.upsert(np.array([1]), np.zeros(1, np.uint16), np.array([special]), 1)
    with pytest.raises(ValueError, match="differ in length"):
        table.upsert(np.array([1, 2]), np.zeros(1, np.uint16), np.array([1]), 1)
    with pytest.raises(ValueError, match="gradients"):
        table.update(np.array([0]), np.ones((1, 3), np.float32), STEP)


def test_a_strided_argument_is_read_as_it_stands() -> None:
    table = EmbeddingTable("t2", 2, 16, 2)
    keys = np.arange(10, dtype=np.int64)[::2]
    rows = table.upsert(keys, np.zeros(10, np.uint16)[::2], np.ones(10, np.int64)[::2], 1)
    np.testing.assert_array_equal(table.find(keys.copy()), rows)
    np.testing.assert_array_equal(table.gather(rows[::-1]), table.rows[rows][::-1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", np.zeros((17, 2), np.float32)),
        ("rows", np.zeros((18, 2), np.float64)),
        ("spaces", np.zeros((3, 4), np.uint16)),
        ("marks", np.zeros(3, np.uint16)),
        ("stranger", np.zeros(1)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name: str, value: np.ndarray) -> None:
    table, other = EmbeddingTable("t2", 2, 4, 2), EmbeddingTable("t2", 2, 4, 2)
    upsert(table, [1, 2])
    before = state_bytes(table)
    with pytest.raises(Corrupt, match=name):
        table.restore({**other.state(), name: value})
    assert state_bytes(table) == before


def held_slots(table: EmbeddingTable, keys: list[int]) -> list[tuple[object, ...]]:
    """All that the table knows of each key."""
    found = table.find(np.array(keys, np.int64))
    return [
        (
            table.rows[row].tolist(),
            float(table.optimizer[row, 0]),
            int(table.spaces.reshape(-1)[row]),
            int(table.last_used.reshape(-1)[row]),
        )
        for row in found
    ]


def test_growing_keeps_all_that_is_known_of_keys_and_specials() -> None:
    table = EmbeddingTable("t2", 2, 16, 3)
    upsert(table, list(range(20)), now_s=3, space=1)
    upsert(table, list(range(20, 30)), now_s=4, space=2)
    touched = np.array([*table.find(np.arange(30)), table.slots + 1, table.slots + 2])
    gradients = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    table.update(touched, gradients, STEP)
    before = held_slots(table, list(range(30)))
    specials = table.rows[-3:].copy(), table.optimizer[-3:].copy()
    assert specials[1][1:].all()
    table.grow()
    assert table.buckets == 32
    assert held_slots(table, list(range(30))) == before
    np.testing.assert_array_equal(table.rows[-3:], specials[0])
    np.testing.assert_array_equal(table.optimizer[-3:], specials[1])


def test_only_old_rows_of_the_space_are_evicted_and_nothing_of_them_stays() -> None:
    table = EmbeddingTable("t2", 2, 16, 2)
    upsert(table, [1, 2], now_s=1, space=1)
    upsert(table, [3], now_s=1, space=2)
    upsert(table, [2, 4], now_s=9, space=1)
    slot = int(table.find(np.array([1]))[0])
    table.update(np.array([slot]), np.ones((1, 2), np.float32), STEP)
    assert table.evict(1, 9) == 1
    assert (table.find(np.array([1, 2, 3, 4])) >= 0).tolist() == [False, True, True, True]
    assert table.rows[slot].tolist() == [0.0, 0.0]
    assert table.optimizer[slot, 0] == 0.0
    assert table.last_used.reshape(-1)[slot] == table.spaces.reshape(-1)[slot] == 0


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_cut_holds_the_slots_that_changed_and_nothing_else(dtype: RowType) -> None:
    table = EmbeddingTable("t2", 2, 64, 3, dtype=dtype)
    rows = upsert(table, [1, 2, 3, 4])
    table.tracker.take()
    table.tracker.acknowledge()
    table.update(rows[[2, 0]], np.ones((2, 2), np.float32), STEP)
    (new,) = upsert(table, [5])
    touched = table.tracker.take()
    cut = table.changed(touched)
    assert cut.buckets.tolist() == sorted({int(row) // SLOTS for row in (rows[0], rows[2], new)})
    assert cut.keys.tolist() == [5]
    slots = sorted([rows[0], rows[2], new])
    np.testing.assert_array_equal(cut.rows, table.rows[slots].astype(np.float32))
    np.testing.assert_array_equal(cut.special, table.rows[table.slots :].astype(np.float32))
    unpacked = [
        (bucket * SLOTS + place, bool(key >> place & 1))
        for bucket, row, key in zip(cut.buckets.tolist(), cut.row_mask, cut.key_mask, strict=True)
        for place in range(SLOTS)
        if row >> place & 1
    ]
    assert unpacked == [(slot, slot == new) for slot in slots]


def test_rows_of_float16_are_learned_in_float32_and_rounded_once() -> None:
    half, full = (EmbeddingTable("t2", 2, 64, 2, dtype=dtype) for dtype in ("float16", "float32"))
    gradients = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    found = [upsert(table, [1, 2, 3]) for table in (half, full)]
    np.testing.assert_array_equal(half.rows[found[0]], full.rows[found[1]].astype(np.float16))
    full.rows[found[1]] = half.rows[found[0]]
    for table, rows in zip((half, full), found, strict=True):
        table.update(rows, gradients, STEP)
    np.testing.assert_array_equal(half.rows[found[0]], full.rows[found[1]].astype(np.float16))
    np.testing.assert_array_equal(half.gather(found[0]), half.rows[found[0]].astype(np.float32))
    other = EmbeddingTable("t2", 2, 4, 2, dtype="float16")
    other.restore(half.state())
    assert state_bytes(other) == state_bytes(half)


def test_a_known_key_that_is_only_met_again_is_unsaved_and_not_touched() -> None:
    """Its time of use is state, and not part of a version."""
    table = EmbeddingTable("t2", 2, 64, 2)
    (row,) = upsert(table, [1], now_s=1)
    table.tracker.take()
    table.tracker.acknowledge()
    table.tracker.take_unsaved()
    table.tracker.saved()
    upsert(table, [1], now_s=2)
    assert table.tracker.touched == 0
    assert table.tracker.take_unsaved().tolist() == [row // SLOTS]
