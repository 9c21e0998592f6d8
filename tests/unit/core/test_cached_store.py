"""A store read through a folder: what was fetched once is not fetched again, and a damaged copy does no harm."""

from pathlib import Path

import pytest

from martlet.artifacts import FolderStore
from martlet.artifacts.cached import CachedStore
from martlet.manifest import BlobRef


class Counted(FolderStore):
    """Counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gets = 0

    def get(self, blob: BlobRef) -> bytes:
        self.gets += 1
        return super().get(blob)


@pytest.fixture
def behind(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "behind")


def copies(folder: Path) -> int:
    return sum(1 for path in folder.glob("blobs/*/*"))


def test_a_blob_is_fetched_once_for_all_processes_of_a_machine(behind: Counted, tmp_path: Path) -> None:
    blob = behind.put(b"payload")
    for _ in range(3):
        assert CachedStore(behind, tmp_path / "cache", 1000).get(blob) == b"payload"
    assert behind.gets == 1


def test_a_damaged_copy_is_fetched_again(behind: Counted, tmp_path: Path) -> None:
    blob, store = behind.put(b"payload"), CachedStore(behind, tmp_path / "cache", 1000)
    store.get(blob)
    (copy,) = (tmp_path / "cache").glob("blobs/*/*")
    copy.write_bytes(b"paylaod")
    assert (store.get(blob), store.get(blob), behind.gets) == (b"payload", b"payload", 2)


def test_the_longest_unread_make_room(behind: Counted, tmp_path: Path) -> None:
    store = CachedStore(behind, tmp_path / "cache", 1000)
    blobs = [behind.put(bytes([number]) * 250) for number in range(1, 4)]
    for blob in blobs:
        store.get(blob)
    store.get(blobs[0])  # read again: the second is the oldest now
    store.get(behind.put(b"z" * 400))
    before = behind.gets
    store.get(blobs[0])
    assert behind.gets == before
    store.get(blobs[1])
    assert behind.gets == before + 1
    assert sum(path.stat().st_size for path in (tmp_path / "cache").glob("blobs/*/*")) <= 1000


def test_what_is_too_large_is_not_kept(behind: Counted, tmp_path: Path) -> None:
    store = CachedStore(behind, tmp_path / "cache", 1000)
    blob = behind.put(b"x" * 501)
    assert (store.get(blob), copies(tmp_path / "cache")) == (b"x" * 501, 0)


def test_a_disk_that_is_full_does_not_stop_reading(
    behind: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, store = behind.put(b"payload"), CachedStore(behind, tmp_path / "cache", 1000)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("martlet.durable.os.fsync", full)
    assert store.get(blob) == b"payload"
