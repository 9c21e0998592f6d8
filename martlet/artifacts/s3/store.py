"""The artifact store in a bucket: one object a blob, whole, so that any tool can fetch it."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

from typing_extensions import Buffer

from martlet.artifacts.s3.bucket import Bucket
from martlet.artifacts.s3.upload import PART_BYTES, S3Upload
from martlet.artifacts.upload import send
from martlet.digest import blob_digest, digest_of_tree, is_digest, tree_of
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.manifest import BlobRef, manifest_digest

logger = logging.getLogger(__name__)

READERS: Final = 4
PAUSES: Final = (0.1, 0.4, 1.5)


class S3Store:
    """Blobs in `<prefix>blobs/ab/<digest>`, manifests in `<prefix>manifests/<digest>.json`. Thread-safe.

    An object appears whole and is never replaced: it is stored on condition that there is none (`If-None-Match`). Every
    call raises Unavailable when the store does not answer.

    Args:
        prefix: of every object's name; empty, or ends with a slash.
        pauses: seconds before what arrived damaged is read again, so many times.
    """

    def __init__(self, bucket: Bucket, prefix: str = "", pauses: Sequence[float] = PAUSES) -> None:
        self._pauses = pauses
        self._bucket = bucket
        self._prefix = prefix
        self._readers = ThreadPoolExecutor(READERS, "s3-read")
        self._sending = Lock()

    def put(self, data: Buffer) -> BlobRef:
        """Stores a blob. A large one goes by an upload: what an earlier try has stored is not sent again."""
        view = memoryview(data).cast("B")
        tree = tree_of(view)
        digest = digest_of_tree(tree)
        key = self._blob_key(digest)
        if self._bucket.size(key) == view.nbytes:
            return BlobRef(digest, view.nbytes)
        if view.nbytes > PART_BYTES:
            return self._send(view, tree)
        self._bucket.create(key, view)
        return BlobRef(digest, view.nbytes)

    def upload(self, tree: bytes) -> S3Upload:
        """Begins to store a large blob, or goes on with it."""
        return S3Upload(tree, self._bucket, self._blob_key(digest_of_tree(tree)))

    def get(self, blob: BlobRef) -> bytes:
        """The blob's bytes, verified; a large one is fetched by ranges, several at a time."""
        return self._again(lambda: self._read(blob))

    def put_manifest(self, encoded: bytes) -> str:
        """Stores a manifest and returns its digest."""
        digest = manifest_digest(encoded)
        self._bucket.create(self._manifest_key(digest), encoded)
        return digest

    def get_manifest(self, digest: str) -> bytes:
        """A manifest's bytes, verified."""
        return self._again(lambda: self._read_manifest(digest))

    def put_signature(self, digest: str, encoded: bytes) -> None:
        """Stores a manifest's signature."""
        self._bucket.replace(self._signature_key(digest), encoded)

    def get_signature(self, digest: str) -> bytes:
        """A manifest's signature."""
        return self._bucket.read(self._signature_key(digest))

    def delete(self, blob: BlobRef) -> bool:
        """Removes a blob."""
        return self._remove(self._blob_key(blob.digest))

    def delete_manifest(self, digest: str) -> bool:
        """Removes a manifest, and its signature."""
        self._bucket.delete(self._signature_key(digest))
        return self._remove(self._manifest_key(digest))

    def _again(self, read: Callable[[], bytes]) -> bytes:
        """What arrives damaged may stand in the store whole: it is read several times before it is called corrupt."""
        for pause in self._pauses:
            try:
                return read()
            except Corrupt as error:
                logger.warning("%s; it is read again in %.1f s", error, pause)
            time.sleep(pause)
        return read()

    def _read(self, blob: BlobRef) -> bytes:
        key = self._blob_key(blob.digest)
        data = self._bucket.read(key) if blob.size <= PART_BYTES else self._by_ranges(key, blob)
        if len(data) != blob.size or blob_digest(data) != blob.digest:
            raise Corrupt(f"blob {blob.digest} does not match its digest ({len(data)} bytes, expected {blob.size})")
        return data

    def _read_manifest(self, digest: str) -> bytes:
        encoded = self._bucket.read(self._manifest_key(digest))
        if manifest_digest(encoded) != digest:
            raise Corrupt(f"manifest {digest} does not match its digest")
        return encoded

    def _send(self, view: memoryview, tree: bytes) -> BlobRef:
        """One upload at a time, so that threads do not send the same parts. Processes may: see `S3Upload`."""
        with self._sending:
            try:
                return send(view, self.upload(tree))
            except Corrupt as error:
                logger.warning("%s; they are sent again", error)
            return send(view, S3Upload(tree, self._bucket, self._blob_key(digest_of_tree(tree)), alone=True))

    def _by_ranges(self, key: str, blob: BlobRef) -> bytes:
        size = self._bucket.size(key)
        if size is None:
            raise NotFound(f"no blob {blob.digest}")
        if size != blob.size:
            raise Corrupt(f"blob {blob.digest} does not match its digest ({size} bytes, expected {blob.size})")
        data = bytearray(blob.size)

        def fetch(start: int) -> None:
            end = min(start + PART_BYTES, blob.size)
            data[start:end] = self._bucket.read(key, start, end - 1)

        for _ in self._readers.map(fetch, range(0, blob.size, PART_BYTES)):
            pass
        return bytes(data)

    def _remove(self, key: str) -> bool:
        there = self._bucket.size(key) is not None
        self._bucket.delete(key)
        return there

    def _blob_key(self, digest: str) -> str:
        _check(digest)
        return f"{self._prefix}blobs/{digest[4:6]}/{digest}"

    def _manifest_key(self, digest: str) -> str:
        _check(digest)
        return f"{self._prefix}manifests/{digest}.json"

    def _signature_key(self, digest: str) -> str:
        _check(digest)
        return f"{self._prefix}signatures/{digest}.json"


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise InvalidInput(f"{digest!r} is not a digest")
