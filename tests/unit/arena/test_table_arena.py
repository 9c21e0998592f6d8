"""The arena: published buckets never change, and come back when no live view refers to them."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from martlet.errors import Corrupt
from martlet.table_blobs import TableBase, TableDelta, places
from martlet.table_layout import SLOTS
from serving_svc.table_arena import ArenaFull, TableArena, TableView

N, WIDTH, SPECIALS = 8, 2, 5  # five special rows take two buckets


def base(value: float = 0.0, dtype: str = "float32") -> TableBase:
    return TableBase(
        np.zeros((N, SLOTS), np.int64),
        np.full((N, SLOTS, WIDTH), value, dtype),
        np.full((SPECIALS, WIDTH), value, dtype),
    )


def delta(buckets: list[int], value: float) -> TableDelta:
    """The buckets get keys and rows of `value`, and so do the special rows."""
    m = len(buckets)
    return TableDelta.of_buckets(
        1, "p", np.array(buckets, np.int32), np.full((m, SLOTS), int(value), np.int64),
        np.full((m, SLOTS, WIDTH), value, np.float32), np.full((SPECIALS, WIDTH), value, np.float32),
    )  # fmt: skip


def content(arena: TableArena, view: TableView) -> tuple[list[float], float]:
    """The number that each logical bucket holds, keys and rows alike; and that of the special rows."""
    keys = arena.keys[view.directory]
    rows = arena.rows.reshape(-1, SLOTS, WIDTH)[view.directory]
    special = arena.rows[view.special]
    assert (keys[:, :, None] == rows).all()
    assert (rows == rows[:, :1, :1]).all()
    assert (special == special[0, 0]).all()
    assert special.shape == (SPECIALS, WIDTH)
    return rows[:, 0, 0].tolist(), float(special[0, 0])


class Content(NamedTuple):
    """What a version holds: keys int64[N, 4], rows float[N, 4, WIDTH], special [SPECIALS, WIDTH]."""

    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.floating[Any]]
    special: npt.NDArray[np.floating[Any]]


def read(arena: TableArena, view: TableView) -> Content:
    rows = arena.rows.reshape(-1, SLOTS, WIDTH)
    return Content(arena.keys[view.directory], rows[view.directory], arena.rows[view.special])


def poisoned(arena: TableArena) -> TableArena:
    """Overwrites buckets the moment they are free: whoever still looks at one sees it."""
    give = arena._free.give

    def poison(buckets: npt.NDArray[np.int32]) -> None:
        arena._keys[buckets] = -77
        arena._by_bucket[buckets] = np.nan
        give(buckets)

    arena._free.give = poison  # type: ignore[method-assign]
    return arena


def slots_delta(held: Content, slots: dict[int, tuple[int, int]], value: float) -> tuple[TableDelta, Content]:
    """A delta that gives the masked rows and keys of buckets `value`, and what its parent's content becomes."""
    keys, rows = held.keys.copy(), held.rows.copy()
    buckets = np.array(sorted(slots), np.int32)
    row_mask, key_mask = (np.array([slots[bucket][i] for bucket in sorted(slots)], np.uint8) for i in range(2))
    bucket, place = places(key_mask)
    keys[buckets[bucket], place] = int(value)
    changed_keys = keys[buckets[bucket], place]
    bucket, place = places(row_mask)
    rows[buckets[bucket], place] = value
    changed_rows = rows[buckets[bucket], place]
    special = np.full_like(held.special, value)
    delta = TableDelta(1, "p", buckets, row_mask, key_mask, changed_keys, changed_rows, special)
    return delta, Content(keys, rows, special)


MASKS = st.tuples(st.integers(0, 15), st.integers(0, 15))


class ArenaMachine(RuleBasedStateMachine):
    """Versions come and go in any order, branches too; each live one reads what it was published with."""

    dtype = "float32"

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        root = base(dtype=self.dtype)
        self.arena = poisoned(TableArena(Path(self.folder.name) / "arena", root, WIDTH, headroom=0.5))
        self.total = self.arena.free_buckets + N + 2
        self.live = [(self.arena.root(), Content(root.keys, root.rows, root.special))]
        self.count = 0

    @rule(parent=st.integers(0, 99), slots=st.dictionaries(st.integers(0, N - 1), MASKS))
    def derive(self, parent: int, slots: dict[int, tuple[int, int]]) -> None:
        self.count += 1
        view, held = self.live[parent % len(self.live)]
        free = self.arena.free_buckets
        delta, now_held = slots_delta(held, slots, float(self.count))
        try:
            child = self.arena.derive(view, delta)
        except ArenaFull:
            assert free == self.arena.free_buckets < len(slots) + 2
            return
        self.live.append((child, now_held))

    @precondition(lambda self: len(self.live) > 1)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        view, _ = self.live.pop(which % len(self.live))
        self.arena.release(view)

    @invariant()
    def live_views_read_what_they_published(self) -> None:
        used: set[int] = set()
        for view, held in self.live:
            for found, expected in zip(read(self.arena, view), held, strict=True):
                np.testing.assert_array_equal(found, expected)
            used |= {*view.directory.tolist(), *view.outside.tolist()}
        assert self.arena.free_buckets == self.total - len(used)

    def teardown(self) -> None:
        self.arena.close()
        assert not list(Path(self.folder.name).iterdir())
        self.folder.cleanup()


class HalfArenaMachine(ArenaMachine):
    """The same with rows of float16."""

    dtype = "float16"


TestHalfArena = HalfArenaMachine.TestCase
TestHalfArena.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestArena = ArenaMachine.TestCase
TestArena.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def test_ten_thousand_versions_need_no_more_room_than_two(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", base(), WIDTH, headroom=0.0)
    view = arena.root()
    for number in range(10_000):
        new = arena.derive(view, delta([number % N], float(number)))
        arena.release(view)
        view = new
    assert content(arena, view) == ([9992.0 + bucket for bucket in range(N)], 9999.0)
    arena.close()


class Handles:
    """Versions that readers hold; a retired one is released when the last handle is returned."""

    def __init__(self, arena: TableArena) -> None:
        self.arena = arena
        self.lock = Lock()
        self.held: dict[int, tuple[TableView, float, int]] = {}  # number → view, value, readers
        self.current = 0
        self.retired: set[int] = set()

    def acquire(self) -> tuple[int, TableView, float]:
        with self.lock:
            view, value, readers = self.held[self.current]
            self.held[self.current] = view, value, readers + 1
            return self.current, view, value

    def give_back(self, number: int) -> None:
        with self.lock:
            view, value, readers = self.held[number]
            self.held[number] = view, value, readers - 1

    def publish(self, number: int, view: TableView, value: float) -> None:
        with self.lock:
            self.held[number] = view, value, 0
            self.retired.add(self.current)
            self.current = number

    def sweep(self) -> None:
        """On the builder's thread, like every derive and release."""
        with self.lock:
            idle = [number for number in self.retired - {self.current} if self.held[number][2] == 0]
            gone = [self.held.pop(number)[0] for number in idle]
            self.retired -= set(idle)
        for view in gone:
            self.arena.release(view)


def test_no_reader_ever_sees_a_freed_bucket(tmp_path: Path) -> None:
    """Freed buckets are overwritten at once, and used again at once: there is room for hardly more than is live."""
    arena = poisoned(TableArena(tmp_path / "arena", base(), WIDTH, headroom=0.0))
    handles, ending, faults, reads = Handles(arena), Event(), list[str](), list[int]()
    handles.held[0] = arena.root(), 0.0, 0

    def reader() -> None:
        count = 0
        while not ending.is_set() or count < 200:
            number, view, value = handles.acquire()
            keys, rows, special = read(arena, view)
            if not ((keys == value).all() and (rows == value).all() and (special == value).all()):
                faults.append(f"version {number} read {keys.tolist()}")
            handles.give_back(number)
            count += 1
        reads.append(count)

    readers = [Thread(target=reader) for _ in range(4)]
    for thread in readers:
        thread.start()
    for number in range(1, 1500):
        view = arena.derive(handles.held[handles.current][0], delta(list(range(N)), float(number)))
        handles.publish(number, view, float(number))
        handles.sweep()
    ending.set()
    for thread in readers:
        thread.join()
    assert faults == []
    assert min(reads) >= 200
    arena.close()


def test_a_released_line_of_versions_costs_what_changed_not_the_table(tmp_path: Path) -> None:
    """Two lines from one base, as pin and head: what neither looks at comes back, however long both live on."""
    arena = poisoned(TableArena(tmp_path / "arena", base(), WIDTH, headroom=0.0))
    root = arena.root()
    pin, head = arena.derive(root, delta([0, 1], 1.0)), arena.derive(root, delta([1, 2], 2.0))
    arena.release(root)
    for number in range(3, 300):
        old, head = head, arena.derive(head, delta([number % N], float(number)))
        arena.release(old)
        if number % 7 == 0:
            old, pin = pin, arena.derive(head, delta([number % 3], float(number)))
            arena.release(old)
    used = {*pin.directory.tolist(), *head.directory.tolist(), *pin.outside.tolist(), *head.outside.tolist()}
    assert arena.free_buckets == arena._capacity - len(used)
    assert sum(link.size for link in arena._views._links) <= 2 * N
    arena.close()


def test_a_delta_of_another_dtype_is_refused(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", base(dtype="float16"), WIDTH, headroom=1.0)
    free = arena.free_buckets
    with pytest.raises(Corrupt, match="rows of float32, its base of float16"):
        arena.derive(arena.root(), delta([1], 1.0))
    assert arena.free_buckets == free
    with pytest.raises(Corrupt, match="columns of float64"):
        TableArena(tmp_path / "other", base(dtype="float64"), WIDTH, headroom=1.0)
    arena.close()


def test_a_view_is_released_once_and_not_built_upon_after(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", base(), WIDTH, headroom=1.0)
    child = arena.derive(arena.root(), delta([1], 1.0))
    arena.release(arena.root())
    for call in (lambda: arena.release(arena.root()), lambda: arena.derive(arena.root(), delta([2], 2.0))):
        with pytest.raises(ValueError, match="not a live view"):
            call()
    assert content(arena, child)[0] == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    other = TableArena(tmp_path / "other", base(), WIDTH, headroom=1.0)
    with pytest.raises(ValueError, match="not a live view"):
        other.release(child)
    arena.close()
    other.close()


def test_a_file_left_by_a_process_that_died_is_replaced_and_its_mapping_unharmed(tmp_path: Path) -> None:
    dead = TableArena(tmp_path / "arena", base(7.0), WIDTH, headroom=1.0)
    arena = TableArena(tmp_path / "arena", base(1.0), WIDTH, headroom=1.0)
    assert (dead.rows[dead.root().special] == 7.0).all()
    assert (arena.rows[arena.root().special] == 1.0).all()
    arena.close()


def test_readers_cannot_write(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", base(), WIDTH, headroom=1.0)
    for array in (arena.keys, arena.rows):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    arena.close()


def test_arrays_outlive_the_arena(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", base(3.0), WIDTH, headroom=1.0)
    rows: npt.NDArray[np.float32] = arena.rows
    special = arena.root().special
    arena.close()
    arena.close()
    del arena
    assert (rows[special] == 3.0).all()


def test_headroom_takes_no_disk_until_it_is_used(tmp_path: Path) -> None:
    n, width = 4096, 16
    big = TableBase(
        np.zeros((n, SLOTS), np.int64), np.ones((n, SLOTS, width), np.float32), np.zeros((1, width), np.float32)
    )
    arena = TableArena(tmp_path / "arena", big, width, headroom=50.0)
    stat = (tmp_path / "arena").stat()
    assert stat.st_size > 50 * 1024 * 1024
    assert stat.st_blocks * 512 < 12 * 1024 * 1024
    arena.close()


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write into a mapped hole that the disk has no room for is a SIGBUS; so room is reserved first."""
    n, width = 64, 16384
    wide = TableBase(
        np.zeros((n, SLOTS), np.int64), np.zeros((n, SLOTS, width), np.float32), np.zeros((1, width), np.float32)
    )
    change = TableDelta.of_buckets(
        1, "p", np.arange(n, dtype=np.int32), np.zeros((n, SLOTS), np.int64),
        np.ones((n, SLOTS, width), np.float32), np.ones((1, width), np.float32),
    )  # fmt: skip
    arena = TableArena(tmp_path / "arena", wide, width, headroom=2.0)

    def no_room(_handle: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    free = arena.free_buckets
    with pytest.raises(ArenaFull, match="no space left"):
        arena.derive(arena.root(), change)
    assert arena.free_buckets == free
    assert (arena.rows[arena.root().special] == 0.0).all()
    with pytest.raises(ArenaFull, match="no space left"):
        TableArena(tmp_path / "second", wide, width, headroom=2.0)
    assert not (tmp_path / "second").exists()
    monkeypatch.undo()
    view = arena.derive(arena.root(), change)
    assert (arena.rows[view.special] == 1.0).all()
    arena.close()
