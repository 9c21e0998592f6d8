"""Uploads to S3: a multipart upload whose object is named by the blob's digest, so that any process finds it again."""

import hashlib
import time
from itertools import pairwise
from typing import Final

from typing_extensions import Buffer

from martlet.artifacts.s3.bucket import Bucket, Part, UploadGone
from martlet.digest import CHUNK_SIZE, chunk_digests, digest_of_tree
from martlet.errors import Corrupt
from martlet.manifest import BlobRef

CHUNKS_OF_A_PART: Final = 2  # S3 wants at least 5 MiB of each part but the last
PART_BYTES: Final = CHUNKS_OF_A_PART * CHUNK_SIZE
MOST_PARTS: Final = 10_000
_TRIES: Final = 10
_PAUSE: Final = 0.1


class S3Upload:
    """See `UploadSession`. Two that upload the same blob at once store the same bytes; the first to complete wins.

    A part is verified against the tree before it is sent, and by the store against its MD5 when it arrives; so what
    the store lists with a part's size is that part.

    Args:
        alone: begins an upload of its own, whatever is under way.

    Raises:
        InvalidInput: not a tree.
    """

    def __init__(self, tree: bytes, bucket: Bucket, key: str, *, alone: bool = False) -> None:
        self._size, self._digests = chunk_digests(tree)
        self._blob = BlobRef(digest_of_tree(tree), self._size)
        self._bucket = bucket
        self._key = key
        self._upload = bucket.begin_upload(key) if alone else ""

    @property
    def part_bytes(self) -> int:
        """Two chunks; more, where there would be more parts than S3 takes."""
        steps = -(-self._size // (MOST_PARTS * PART_BYTES))
        return max(1, steps) * PART_BYTES

    def missing(self) -> tuple[int, ...]:
        """Numbers of the parts that the store does not have."""
        parts = self._parts_unless_there()
        if parts is None:
            return ()
        there = {part.number - 1 for part in parts}
        return tuple(number for number in range(self._count) if number not in there)

    def put_part(self, number: int, data: Buffer) -> None:
        """Stores a part, verified.

        Raises:
            Corrupt: not the part that the tree names.
            Unavailable: the store does not take it.
        """
        view = memoryview(data).cast("B")
        if not self._is_part(number, view):
            raise Corrupt(f"part {number} of blob {self._blob.digest} is another ({view.nbytes} bytes)")
        try:
            self._bucket.put_part(self._key, self._begun(), number + 1, view)
        except UploadGone:  # somebody else's was faster, or it was given up
            self._upload = ""
            if not self._is_there():
                self._bucket.put_part(self._key, self._begun(), number + 1, view)

    def complete(self) -> BlobRef:
        """Makes the blob readable.

        Raises:
            Corrupt: parts are missing; or the store cannot make one of them, and then all must be sent again.
        """
        lacking = self.missing()
        if lacking:
            raise Corrupt(f"blob {self._blob.digest} lacks {len(lacking)} parts, the first is {lacking[0]}")
        for _ in range(_TRIES):
            if self._is_completed():
                self._clear_up()
                return self._blob
            time.sleep(_PAUSE)
        # Seen where several had sent the same part to the same upload at once: it never comes right by itself.
        self._bucket.abandon(self._key, self._upload)
        raise Corrupt(f"blob {self._blob.digest}: the parts that were sent do not make it")

    def _is_completed(self) -> bool:
        parts = self._parts_unless_there()
        if parts is None:
            return True
        if len(parts) == self._count:
            try:
                self._bucket.complete(self._key, self._upload, parts)
            except UploadGone:  # somebody else's hands are on the same parts
                return self._is_there()
        return self._is_there()

    def _clear_up(self) -> None:
        """Uploads that were begun at the same time are not needed any more."""
        for upload in self._bucket.uploads(self._key):
            self._bucket.abandon(self._key, upload)

    @property
    def _count(self) -> int:
        return -(-self._size // self.part_bytes)

    def _is_there(self) -> bool:
        return self._bucket.size(self._key) == self._size

    def _begun(self) -> str:
        """The upload that others go on with too: the oldest one; begun if there is none."""
        if not self._upload:
            self._upload = next(iter(self._bucket.uploads(self._key)), "") or self._bucket.begin_upload(self._key)
        return self._upload

    def _parts_unless_there(self) -> list[Part] | None:
        """The parts that are there whole, in order; None: the blob is there. Looks first at what ends last."""
        if self._is_there():
            return None
        found = self._parts()
        if len(found) < self._count and self._is_there():  # it was completed between the two looks
            return None
        return found

    def _parts(self) -> list[Part]:
        """None of them before anything was begun."""
        if not self._upload:
            self._upload = next(iter(self._bucket.uploads(self._key)), "")
        if not self._upload:
            return []
        try:
            found = self._bucket.parts(self._key, self._upload)
        except UploadGone:
            self._upload = ""
            return []
        return sorted((part for part in found if self._fits(part)), key=lambda part: part.number)

    def _fits(self, part: Part) -> bool:
        begins = (part.number - 1) * self.part_bytes
        return part.size == min(self.part_bytes, self._size - begins)

    def _is_part(self, number: int, view: memoryview) -> bool:
        begins = number * self.part_bytes
        if not 0 <= number < self._count or view.nbytes != min(self.part_bytes, self._size - begins):
            return False
        first, cuts = begins // CHUNK_SIZE, [*range(0, view.nbytes, CHUNK_SIZE), view.nbytes]
        return all(
            hashlib.sha256(view[start:end]).digest() == self._digests[first + place]
            for place, (start, end) in enumerate(pairwise(cuts))
        )
