"""Uploads into a folder: a file of the blob's size. A part is there if it has the digest that the tree says."""

import hashlib
import os
from pathlib import Path

from typing_extensions import Buffer

from martlet.digest import CHUNK_SIZE, chunk_digests, digest_of_tree
from martlet.durable import sync_folder
from martlet.errors import Corrupt
from martlet.manifest import BlobRef


class FolderUpload:
    """See `UploadSession`; a part is a chunk. Two that upload the same blob at once write the same bytes.

    Nothing is noted beside the file: what a crash has torn does not have its digest, and is sent again.

    Args:
        tree: the blob's.
        path: where the parts gather.
        target: where the blob stands when it is whole.

    Raises:
        InvalidInput: not a tree.
    """

    def __init__(self, tree: bytes, path: Path, target: Path) -> None:
        self._size, self._digests = chunk_digests(tree)
        self._blob = BlobRef(digest_of_tree(tree), self._size)
        self._path = path
        self._target = target
        self._known: set[int] = set()

    @property
    def part_bytes(self) -> int:
        """A chunk."""
        return CHUNK_SIZE

    def missing(self) -> tuple[int, ...]:
        """Numbers of the parts that are not there. Reads what an earlier try has left, once."""
        if self._target.exists():
            return ()
        if not self._known and self._path.exists():
            with self._path.open("rb") as file:
                for number, digest in enumerate(self._digests):
                    if hashlib.sha256(file.read(CHUNK_SIZE)).digest() == digest:
                        self._known.add(number)
        return tuple(number for number in range(len(self._digests)) if number not in self._known)

    def put_part(self, number: int, data: Buffer) -> None:
        """Stores a part, verified.

        Raises:
            Corrupt: not the part that the tree names.
            OSError: no room.
        """
        view = memoryview(data).cast("B")
        known = 0 <= number < len(self._digests) and hashlib.sha256(view).digest() == self._digests[number]
        if not known:
            raise Corrupt(f"part {number} of blob {self._blob.digest} is another ({view.nbytes} bytes)")
        if self._target.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            while written < view.nbytes:
                written += os.pwrite(handle, view[written:], number * CHUNK_SIZE + written)
        finally:
            os.close(handle)
        self._known.add(number)

    def complete(self) -> BlobRef:
        """Makes the blob durable and readable.

        Raises:
            Corrupt: parts are missing.
        """
        lacking = self.missing()
        if lacking:
            raise Corrupt(f"blob {self._blob.digest} lacks {len(lacking)} parts, the first is {lacking[0]}")
        if not self._target.exists():
            self._publish()
        self._path.unlink(missing_ok=True)
        return self._blob

    def _publish(self) -> None:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._target.exists():  # somebody else's upload was faster
                return
            raise
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            self._path.replace(self._target)
        except FileNotFoundError:
            if not self._target.exists():
                raise
        sync_folder(self._target.parent)
