"""Which arena a table is opened in, and when arenas go. The arena here lives in memory and is easy to read."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, OverCapacity
from martlet.manifest import BlobRef, TableManifest
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta
from serving_svc.table_view import LoadedTable, TableViews

N, WIDTH, SPECIALS = 8, 2, 3


@dataclass
class MemoryView:
    directory: npt.NDArray[np.int32]
    special: npt.NDArray[np.int64]
    rows_by_bucket: npt.NDArray[np.float32]


@dataclass
class MemoryArena:
    """Keeps each view's content apart; has room for `room` deltas."""

    path: Path
    base: TableBase
    room: int = 2
    views: list[MemoryView] = field(default_factory=list)
    closed: bool = False
    keys: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((N, 4), np.int64))
    rows: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((4 * N, WIDTH), np.float32))

    buckets: int = N
    free_buckets: int = 0
    disk_bytes: int = 0

    def root(self) -> MemoryView:
        return self._view(self.base.rows)

    def derive(self, parent: MemoryView, delta: TableDelta) -> MemoryView:
        if self.room == 0:
            raise OverCapacity("no free bucket")
        self.room -= 1
        rows = parent.rows_by_bucket.copy()
        rows[delta.buckets] = delta.rows
        return self._view(rows)

    def release(self, view: MemoryView) -> None:
        self.views = [other for other in self.views if other is not view]

    def close(self) -> None:
        assert not self.views
        self.closed = True

    def _view(self, rows: npt.NDArray[np.float32]) -> MemoryView:
        view = MemoryView(np.arange(N, dtype=np.int32), np.zeros(SPECIALS, np.int64), rows)
        self.views.append(view)
        return view


class Stage:
    def __init__(self, root: Path) -> None:
        self.store = FolderStore(root / "artifacts")
        self.arenas: list[MemoryArena] = []
        self.views = TableViews(self.store, root / "tables", self._make)
        base = TableBase(
            np.zeros((N, 4), np.int64), np.zeros((N, 4, WIDTH), np.float32), np.zeros((SPECIALS, WIDTH), np.float32)
        )
        self.base = self.store.put(encode_base(base))
        self.deltas: list[BlobRef] = []

    def _make(self, path: Path, base: TableBase, width: int) -> MemoryArena:
        assert width == WIDTH
        path.touch()
        self.arenas.append(MemoryArena(path, base))
        return self.arenas[-1]

    def delta(self, sequence: int, previous: str | None = None, specials: int = SPECIALS) -> BlobRef:
        """Bucket `sequence` gets rows of `sequence`."""
        before = previous or (self.base, *self.deltas)[sequence - 1].digest
        blob = encode_delta(
            TableDelta.of_buckets(
                sequence,
                before,
                np.array([sequence], np.int32),
                np.zeros((1, 4), np.int64),
                np.full((1, 4, WIDTH), sequence, np.float32),
                np.zeros((specials, WIDTH), np.float32),
            )
        )
        return self.store.put(blob)

    def table(self, deltas: int) -> TableManifest:
        while len(self.deltas) < deltas:
            self.deltas.append(self.delta(len(self.deltas) + 1))
        return TableManifest("t", WIDTH, N, "float32", self.base, tuple(self.deltas[:deltas]))


def content(loaded: LoadedTable) -> list[float]:
    """The first number of each bucket."""
    assert isinstance(loaded.view, MemoryView)
    return [float(rows[0, 0]) for rows in loaded.view.rows_by_bucket]


def is_closed(arena: MemoryArena) -> bool:
    return arena.closed


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_without_a_parent_base_and_chain_get_an_arena(stage: Stage) -> None:
    loaded = stage.views.open(stage.table(3))
    assert content(loaded) == [0, 1, 2, 3, 0, 0, 0, 0]
    assert len(stage.arenas) == 1
    assert stage.arenas[0].room == 2


def test_with_its_parent_loaded_only_the_last_delta_is_applied(stage: Stage) -> None:
    parent = stage.views.open(stage.table(1))
    child = stage.views.open(stage.table(2))
    assert (content(parent), content(child)) == ([0, 1, 0, 0, 0, 0, 0, 0], [0, 1, 2, 0, 0, 0, 0, 0])
    assert len(stage.arenas) == 1
    assert stage.arenas[0].room == 1


def test_a_missed_version_is_caught_up_and_the_one_between_is_released(stage: Stage) -> None:
    stage.views.open(stage.table(0))
    child = stage.views.open(stage.table(2))
    assert content(child) == [0, 1, 2, 0, 0, 0, 0, 0]
    assert len(stage.arenas[0].views) == 2


def test_the_longest_loaded_beginning_is_taken(stage: Stage) -> None:
    for deltas in (0, 1):
        stage.views.open(stage.table(deltas))
    stage.arenas[0].room = 1
    assert content(stage.views.open(stage.table(2))) == [0, 1, 2, 0, 0, 0, 0, 0]
    assert len(stage.arenas) == 1


def test_an_older_version_than_those_loaded_gets_its_own_arena(stage: Stage) -> None:
    stage.views.open(stage.table(2))
    assert content(stage.views.open(stage.table(1))) == [0, 1, 0, 0, 0, 0, 0, 0]
    assert len(stage.arenas) == 2


def test_the_same_chain_is_shared_until_the_last_user_leaves(stage: Stage) -> None:
    first, second = stage.views.open(stage.table(1)), stage.views.open(stage.table(1))
    assert first is second
    stage.views.close(first)
    assert not is_closed(stage.arenas[0])
    stage.views.close(second)
    assert is_closed(stage.arenas[0])
    assert not first.path.exists()


def test_a_full_arena_is_followed_by_a_new_one_with_the_same_content(stage: Stage) -> None:
    stage.views.open(stage.table(0))
    stage.arenas[0].room = 1
    child = stage.views.open(stage.table(2))
    assert content(child) == [0, 1, 2, 0, 0, 0, 0, 0]
    assert len(stage.arenas) == 2
    assert len(stage.arenas[0].views) == 1


def test_an_arena_lives_as_long_as_one_version_looks_at_it(stage: Stage) -> None:
    parent = stage.views.open(stage.table(0))
    child = stage.views.open(stage.table(1))
    stage.views.close(parent)
    assert not is_closed(stage.arenas[0])
    stage.views.close(child)
    assert is_closed(stage.arenas[0])


def test_a_delta_out_of_place_is_refused_and_leaves_nothing(stage: Stage) -> None:
    stage.table(2)
    parent = stage.views.open(stage.table(0))
    stage.deltas[1] = stage.delta(2, previous=stage.base.digest)
    with pytest.raises(Corrupt, match="table 't': delta 2 does not belong"):
        stage.views.open(stage.table(2))
    assert stage.arenas[0].views == [parent.view]
    stage.views.close(parent)
    with pytest.raises(Corrupt, match="table 't': delta 2 does not belong"):
        stage.views.open(stage.table(2))


def test_a_swapped_delta_is_refused(stage: Stage) -> None:
    stage.table(2)
    stage.deltas.reverse()
    with pytest.raises(Corrupt, match="table 't': delta 2 stands where delta 1"):
        stage.views.open(stage.table(2))


def test_a_delta_with_other_specials_is_refused(stage: Stage) -> None:
    stage.deltas.append(stage.delta(1, specials=SPECIALS + 1))
    with pytest.raises(Corrupt, match="special rows"):
        stage.views.open(stage.table(1))
