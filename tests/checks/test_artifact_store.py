"""Laws of the artifact store, for every implementation."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from typing_extensions import Buffer

from martlet.artifacts import ArtifactStore, FolderStore, ResumableStore, UploadSession
from martlet.artifacts.cached import CachedStore, FullStore
from martlet.artifacts.s3.bucket import Bucket, Place
from martlet.artifacts.s3.store import S3Store
from martlet.digest import CHUNK_SIZE, blob_digest, tree_of
from martlet.errors import Corrupt, InvalidInput, NotFound, Unavailable
from martlet.manifest import BlobRef
from tests.servers.s3 import S3Server, bucket_of

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


def check_a_signature_takes_the_place_of_the_one_before_and_goes_with_its_manifest(store: FullStore) -> None:
    digest = store.put_manifest(b'{"signed":1}')
    with pytest.raises(NotFound):
        store.get_signature(digest)
    store.put_signature(digest, b"first")
    store.put_signature(digest, b"second")
    assert store.get_signature(digest) == b"second"
    assert store.get_manifest(digest) == b'{"signed":1}'
    assert store.delete_manifest(digest)
    with pytest.raises(NotFound):
        store.get_signature(digest)


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
    threads = [Thread(target=lambda: refs.append(store.put(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(refs)) == 1
    assert len(refs) == len(threads)
    assert store.get(refs[0]) == data


def large(chunks: int = 6) -> bytes:
    """A blob whose chunks all differ, the last one short; of at least three parts, whatever a store's parts are."""
    return b"".join(bytes([number + 1]) * CHUNK_SIZE for number in range(chunks - 1)) + b"end"


def parts_of(session: UploadSession, data: bytes) -> list[bytes]:
    return [data[start : start + session.part_bytes] for start in range(0, len(data), session.part_bytes)]


def check_an_upload_goes_on_where_it_stood(store: ResumableStore) -> None:
    data = large()
    first = store.upload(tree_of(data))
    parts = parts_of(first, data)
    assert first.missing() == tuple(range(len(parts)))
    first.put_part(1, parts[1])
    again = store.upload(tree_of(data))
    assert again.missing() == (0, *range(2, len(parts)))
    for number in again.missing():
        again.put_part(number, parts[number])
    assert store.get(again.complete()) == data


def check_an_upload_that_lacks_a_part_is_no_blob(store: ResumableStore) -> None:
    data = large()
    session = store.upload(tree_of(data))
    session.put_part(0, parts_of(session, data)[0])
    with pytest.raises(Corrupt, match="lacks"):
        session.complete()
    with pytest.raises(NotFound):
        store.get(BlobRef(blob_digest(data), len(data)))
    assert store.put(data) == BlobRef(blob_digest(data), len(data))


def check_a_part_that_the_tree_does_not_name_is_refused(store: ResumableStore) -> None:
    data = large()
    session = store.upload(tree_of(data))
    parts = parts_of(session, data)
    for number, part in ((0, parts[1]), (0, parts[0][:-1]), (len(parts), b""), (-1, parts[-1])):
        with pytest.raises(Corrupt, match="is another"):
            session.put_part(number, part)
    assert session.missing() == tuple(range(len(parts)))


def check_an_upload_of_what_is_there_lacks_nothing(store: ResumableStore) -> None:
    data = large()
    ref = store.put(data)
    session = store.upload(tree_of(data))
    assert session.missing() == ()
    assert session.complete() == ref
    assert store.get(ref) == data


def check_what_is_no_tree_is_refused(store: ResumableStore) -> None:
    for tree in (b"", b"noise", b"martlet-tree 2 5\n" + bytes(32), tree_of(b"x")[:-1], b"martlet-tree 1 -5\n"):
        with pytest.raises(InvalidInput):
            store.upload(tree)


def check_racing_uploads_agree(store: ResumableStore) -> None:
    data = large()
    refs: list[BlobRef] = []
    threads = [Thread(target=lambda: refs.append(store.put(data))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refs), len(set(refs))) == (6, 1)
    assert store.get(refs[0]) == data


def check_what_is_deleted_is_gone_and_may_come_again(store: FullStore) -> None:
    ref, digest = store.put(b"short-lived"), store.put_manifest(b'{"b":2}')
    assert store.get(ref) == b"short-lived"
    assert (store.delete(ref), store.delete_manifest(digest)) == (True, True)
    with pytest.raises(NotFound):
        store.get(ref)
    with pytest.raises(NotFound):
        store.get_manifest(digest)
    assert store.get(store.put(b"short-lived")) == b"short-lived"


def check_deleting_what_is_absent_says_so(store: FullStore) -> None:
    absent = blob_digest(b"never stored")
    assert (store.delete(BlobRef(absent, 12)), store.delete_manifest(absent)) == (False, False)


RESUMABLE_LAWS: list[Callable[[ResumableStore], None]] = [
    check_an_upload_goes_on_where_it_stood,
    check_an_upload_that_lacks_a_part_is_no_blob,
    check_a_part_that_the_tree_does_not_name_is_refused,
    check_an_upload_of_what_is_there_lacks_nothing,
    check_what_is_no_tree_is_refused,
    check_racing_uploads_agree,
]
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
CLEARABLE_LAWS: list[Callable[[FullStore], None]] = [
    check_a_signature_takes_the_place_of_the_one_before_and_goes_with_its_manifest,
    check_what_is_deleted_is_gone_and_may_come_again,
    check_deleting_what_is_absent_says_so,
]


@pytest.fixture(params=["folder", "s3", "cached s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FullStore:
    """Every implementation, empty."""
    if request.param == "folder":
        return FolderStore(tmp_path)
    server: S3Server = request.getfixturevalue("s3_server")
    store = S3Store(bucket_of(server), f"{secrets.token_hex(4)}/")
    return CachedStore(store, tmp_path, 64 << 20) if request.param.startswith("cached") else store


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_artifact_store(store: FullStore, law: Law) -> None:
    law(store)


@pytest.mark.parametrize("law", RESUMABLE_LAWS, ids=lambda law: law.__name__)
def test_uploads(store: FullStore, law: Callable[[ResumableStore], None]) -> None:
    law(store)


@pytest.mark.parametrize("law", CLEARABLE_LAWS, ids=lambda law: law.__name__)
def test_clearing(store: FullStore, law: Callable[[FullStore], None]) -> None:
    law(store)


def test_an_interrupted_put_writes_only_what_was_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, written, room = large(4), list[int](), [2]
    pwrite = os.pwrite

    def limited(handle: int, part: Buffer, offset: int) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] -= 1
        written.append(offset // CHUNK_SIZE)
        return pwrite(handle, part, offset)

    monkeypatch.setattr("martlet.artifacts.folder_upload.os.pwrite", limited)
    with pytest.raises(OSError, match="space"):
        FolderStore(tmp_path).put(data)
    room[0] = 9
    ref = FolderStore(tmp_path).put(data)
    assert written == [0, 1, 2, 3]
    assert FolderStore(tmp_path).get(ref) == data
    assert not list((tmp_path / "uploads").iterdir())


def test_a_torn_part_is_sent_again(tmp_path: Path) -> None:
    data, store = large(3), FolderStore(tmp_path)
    session = store.upload(tree_of(data))
    session.put_part(0, data[:CHUNK_SIZE])
    (file,) = (tmp_path / "uploads").iterdir()
    with file.open("r+b") as torn:
        torn.seek(CHUNK_SIZE // 2)
        torn.write(b"torn")
    assert store.upload(tree_of(data)).missing() == (0, 1, 2)
    assert store.get(store.put(data)) == data


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

    monkeypatch.setattr("martlet.durable.os.fsync", full)
    with pytest.raises(OSError, match="space"):
        FolderStore(tmp_path).put(b"too much")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_stores_that_do_not_know_of_each_other_may_upload_the_same(s3_server: S3Server) -> None:
    data, prefix, refs = large(), f"{secrets.token_hex(4)}/", list[BlobRef]()
    stores = [S3Store(bucket_of(s3_server), prefix) for _ in range(3)]
    threads = [Thread(target=lambda store=store: refs.append(store.put(data))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refs), len(set(refs))) == (3, 1)
    assert S3Store(bucket_of(s3_server), prefix).get(refs[0]) == data


def test_another_object_under_a_digest_is_corrupt(s3_server: S3Server, tmp_path: Path) -> None:
    """Small, and large enough to be read by ranges; and no cache keeps it."""
    bucket, prefix = bucket_of(s3_server), f"{secrets.token_hex(4)}/"
    store = S3Store(bucket, prefix)
    for data in (b"honest bytes", large()):
        ref = store.put(data)
        key = f"{prefix}blobs/{ref.digest[4:6]}/{ref.digest}"
        bucket.delete(key)
        assert bucket.create(key, data[:-1] + b"z")
        for reader in (store, CachedStore(store, tmp_path, 1 << 30)):
            with pytest.raises(Corrupt):
                reader.get(ref)


def test_an_object_is_never_replaced(s3_server: S3Server) -> None:
    bucket, key = bucket_of(s3_server), secrets.token_hex(4)
    assert (bucket.create(key, b"first"), bucket.create(key, b"second")) == (True, False)
    assert bucket.read(key) == b"first"


def test_a_store_that_does_not_answer_is_unavailable_and_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "who")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    store = S3Store(Bucket(Place("b", "http://127.0.0.1:9", "r")))
    with pytest.raises(Unavailable) as caught:
        store.get(BlobRef(blob_digest(b"x"), 1))
    assert "hunter2" not in str(caught.value)
