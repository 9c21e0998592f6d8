"""Laws of the artifact store, for every implementation."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from martlet.artifacts import ArtifactStore, FolderStore
from martlet.digest import blob_digest
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.manifest import BlobRef

Law = Callable[[ArtifactStore], None]


def check_what_is_put_comes_back(store: ArtifactStore) -> None:
    data = bytes(range(256)) * 20_000
    ref = store.put(data)
    assert ref == BlobRef(blob_digest(data), len(data))
    assert store.get(ref) == data


def check_the_empty_blob_is_a_blob(store: ArtifactStore) -> None:
    assert store.get(store.put(b"")) == b""


def check_putting_again_does_no_harm(store: ArtifactStore) -> None:
    assert store.put(b"same") == store.put(bytearray(b"same"))


def check_manifests_are_found_by_their_digest(store: ArtifactStore) -> None:
    digest = store.put_manifest(b'{"a":1}')
    assert store.get_manifest(digest) == b'{"a":1}'


def check_what_is_absent_is_not_found(store: ArtifactStore) -> None:
    absent = blob_digest(b"never stored")
    with pytest.raises(NotFound):
        store.get(BlobRef(absent, 1))
    with pytest.raises(NotFound):
        store.get_manifest(absent)


def check_a_wrong_size_is_corrupt(store: ArtifactStore) -> None:
    ref = store.put(b"four")
    with pytest.raises(Corrupt):
        store.get(BlobRef(ref.digest, 5))


def check_a_name_that_is_no_digest_is_refused(store: ArtifactStore) -> None:
    for name in ("", "../../etc/passwd", "mt1-" + "A" * 64):
        with pytest.raises(InvalidInput):
            store.get(BlobRef(name, 1))


def check_racing_writers_agree(store: ArtifactStore) -> None:
    data = b"x" * 100_000
    refs: list[BlobRef] = []
    threads = [threading.Thread(target=lambda: refs.append(store.put(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(refs)) == 1
    assert len(refs) == len(threads)
    assert store.get(refs[0]) == data


LAWS: list[Law] = [
    check_what_is_put_comes_back,
    check_the_empty_blob_is_a_blob,
    check_putting_again_does_no_harm,
    check_manifests_are_found_by_their_digest,
    check_what_is_absent_is_not_found,
    check_a_wrong_size_is_corrupt,
    check_a_name_that_is_no_digest_is_refused,
    check_racing_writers_agree,
]
STORES: dict[str, Callable[[Path], ArtifactStore]] = {"folder": FolderStore}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
def test_artifact_store(store: Callable[[Path], ArtifactStore], law: Law, tmp_path: Path) -> None:
    law(store(tmp_path))


def test_a_flipped_bit_in_the_folder_is_corrupt(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    ref = store.put(b"honest bytes")
    path = store.blob_path(ref.digest)
    path.write_bytes(b"honest bytez")
    with pytest.raises(Corrupt):
        store.get(ref)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("martlet.artifacts.folder.os.fsync", full)
    with pytest.raises(OSError, match="space"):
        FolderStore(tmp_path).put(b"too much")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
