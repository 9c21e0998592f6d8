"""A store with a folder before it: what was fetched once is read from this machine's disk, verified again."""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from typing_extensions import Buffer

from martlet.artifacts.folder import FolderStore
from martlet.artifacts.port import ClearableStore, ResumableStore, SignatureStore, UploadSession
from martlet.errors import Corrupt, NotFound
from martlet.manifest import BlobRef

logger = logging.getLogger(__name__)

SHARE_KEPT: Final = 0.9


class FullStore(ResumableStore, ClearableStore, SignatureStore, Protocol):
    """A store that can do everything."""


class CachedStore:
    """Reads through a folder, which may be lost at any time; everything else goes to the store behind it. Thread-safe.

    Several processes of a machine may share the folder; each counts by itself, so it may hold more for a while.

    Args:
        folder: of copies of blobs.
        limit: most bytes of copies; the longest unread ones go first. Half of it is the largest that is kept.
    """

    def __init__(self, store: FullStore, folder: Path, limit: int) -> None:
        self._store = store
        self._copies = FolderStore(folder)
        self._folder = folder
        self._limit = limit
        self._making_room = Lock()
        self._held: int | None = None  # what this process has counted; another one's copies are seen at the next look

    def put(self, data: Buffer) -> BlobRef:
        """See the store."""
        return self._store.put(data)

    def upload(self, tree: bytes) -> UploadSession:
        """See the store."""
        return self._store.upload(tree)

    def get(self, blob: BlobRef) -> bytes:
        """The blob's bytes, verified, from the folder if they are there whole."""
        try:
            data = self._copies.get(blob)
            os.utime(self._copies.blob_path(blob.digest))
        except (NotFound, OSError):
            return self._fetched(blob)
        except Corrupt as error:
            logger.warning("a copy is damaged and fetched again: %s", error)
            self._copies.delete(blob)
            return self._fetched(blob)
        return data

    def put_manifest(self, encoded: bytes) -> str:
        """See the store."""
        return self._store.put_manifest(encoded)

    def get_manifest(self, digest: str) -> bytes:
        """See the store."""
        return self._store.get_manifest(digest)

    def put_signature(self, digest: str, encoded: bytes) -> None:
        """See the store."""
        self._store.put_signature(digest, encoded)

    def get_signature(self, digest: str) -> bytes:
        """See the store: a signature may be replaced, so there is no copy."""
        return self._store.get_signature(digest)

    def delete(self, blob: BlobRef) -> bool:
        """Removes a blob, and this machine's copy."""
        self._copies.delete(blob)
        return self._store.delete(blob)

    def delete_manifest(self, digest: str) -> bool:
        """See the store."""
        return self._store.delete_manifest(digest)

    def _fetched(self, blob: BlobRef) -> bytes:
        data = self._store.get(blob)
        if 2 * blob.size <= self._limit:
            try:
                self._make_room(blob.size)
                self._copies.put(data)
            except OSError as error:  # without a copy it serves as well
                logger.warning("blob %s is not kept on this machine: %s", blob.digest, error)
        return data

    def _make_room(self, size: int) -> None:
        """Looks through the folder only when it may be full: there may be very many small copies in it."""
        with self._making_room:
            if self._held is None or self._held + size > self._limit:
                self._held = _cleared(self._folder, self._limit - size)
            self._held += size


def _cleared(folder: Path, limit: int) -> int:
    """Bytes of the copies that stay; if there are more than the limit, the longest unread go, and some more."""
    copies = sorted(_copies(folder))
    total = sum(size for _, size, _ in copies)
    if total <= limit:
        return total
    for _, size, path in copies:
        path.unlink(missing_ok=True)
        total -= size
        if total <= SHARE_KEPT * limit:
            break
    return total


def _copies(folder: Path) -> Iterable[tuple[int, int, Path]]:
    """When each was last read, its size, where it is."""
    for path in folder.glob("blobs/*/*"):
        with suppress(FileNotFoundError):  # another process has made room
            found = path.stat()
            yield found.st_mtime_ns, found.st_size, path
