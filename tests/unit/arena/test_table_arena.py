"""The arena: published buckets never change, and come back when no live view refers to them."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from martlet.table_blobs import TableBase, TableDelta
from martlet.table_layout import SLOTS
from serving_svc.table_arena import ArenaFull, TableArena, TableView

N, WIDTH, SPECIALS = 8, 2, 5  # five special rows take two buckets


def base(value: float = 0.0) -> TableBase:
    return TableBase(
        np.zeros((N, SLOTS), np.int64),
        np.full((N, SLOTS, WIDTH), value, np.float32),
        np.full((SPECIALS, WIDTH), value, np.float32),
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


class ArenaMachine(RuleBasedStateMachine):
    """Versions come and go in any order, branches too; each live one reads what it was published with."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.arena = TableArena(Path(self.folder.name) / "arena", base(), WIDTH, headroom=0.5)
        self.total = self.arena.free_buckets + N + 2
        self.live = [(self.arena.root(), [0.0] * N, 0.0)]
        self.count = 0

    @rule(parent=st.integers(0, 99), buckets=st.sets(st.integers(0, N - 1)))
    def derive(self, parent: int, buckets: set[int]) -> None:
        self.count += 1
        view, held, _ = self.live[parent % len(self.live)]
        numbers, free, value = sorted(buckets), self.arena.free_buckets, float(self.count)
        try:
            child = self.arena.derive(view, delta(numbers, value))
        except ArenaFull:
            assert free == self.arena.free_buckets < len(numbers) + 2
            return
        now_held = [value if bucket in buckets else held[bucket] for bucket in range(N)]
        self.live.append((child, now_held, value))

    @precondition(lambda self: len(self.live) > 1)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        view, _, _ = self.live.pop(which % len(self.live))
        self.arena.release(view)

    @invariant()
    def live_views_read_what_they_published(self) -> None:
        used: set[int] = set()
        for view, held, special in self.live:
            assert content(self.arena, view) == (held, special)
            used |= {*view.directory.tolist(), *view.outside.tolist()}
        assert self.arena.free_buckets == self.total - len(used)

    def teardown(self) -> None:
        self.arena.close()
        assert not list(Path(self.folder.name).iterdir())
        self.folder.cleanup()


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
