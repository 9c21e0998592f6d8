"""What any artifact store does."""

# How an object store fits: an upload is a multipart upload whose object key is the digest, so that any process finds it
# again by listing; a part is one or more chunks (its least part may be larger than a chunk), sent with its checksum.

from typing import Protocol

from typing_extensions import Buffer

from martlet.manifest import BlobRef


class UploadSession(Protocol):
    """One blob on its way into a store, in parts of whole chunks of its tree. Not thread-safe.

    It belongs to the blob's digest, not to a process: whoever opens it again goes on where it stood.
    """

    @property
    def part_bytes(self) -> int:
        """Bytes of each part but the last: a multiple of the tree's chunks."""
        ...

    def missing(self) -> tuple[int, ...]:
        """Numbers of the parts that are not there, from 0, ascending."""
        ...

    def put_part(self, number: int, data: Buffer) -> None:
        """Stores a part, verified against the tree.

        Raises:
            Corrupt: not the part that the tree names.
        """
        ...

    def complete(self) -> BlobRef:
        """Makes the blob durable and readable, whole.

        Raises:
            Corrupt: a part is missing or damaged; the others stay.
        """
        ...


class ArtifactStore(Protocol):
    """Blobs by tree digest, manifests by manifest digest. All calls block: use them from an executor. Thread-safe."""

    def put(self, data: Buffer) -> BlobRef:
        """Stores a blob durably; storing it again does no harm."""
        ...

    def get(self, blob: BlobRef) -> bytes:
        """The blob's bytes, verified against its digest and size.

        Raises:
            NotFound: no such blob.
            Corrupt: the stored bytes are not what the digest says.
        """
        ...

    def put_manifest(self, encoded: bytes) -> str:
        """Stores a manifest's canonical JSON durably and returns its digest."""
        ...

    def get_manifest(self, digest: str) -> bytes:
        """A manifest's canonical JSON, verified against its digest.

        Raises:
            NotFound: no such manifest.
            Corrupt: the stored bytes are not what the digest says.
        """
        ...


class SignatureStore(Protocol):
    """Where the signatures of manifests stand, beside them. Calls block. Thread-safe."""

    def put_signature(self, digest: str, encoded: bytes) -> None:
        """Stores the signature of the manifest of this digest durably; it takes the place of the one before."""
        ...

    def get_signature(self, digest: str) -> bytes:
        """A manifest's signature, as it was put: whether it is any good, `martlet.manifest_signatures` tells.

        Raises:
            NotFound: it is not signed.
        """
        ...


class ResumableStore(ArtifactStore, Protocol):
    """A store whose uploads survive the process that began them."""

    def upload(self, tree: bytes) -> UploadSession:
        """Begins to store the blob of this tree (see `martlet.digest`), or goes on with it.

        Raises:
            InvalidInput: not a tree.
        """
        ...


class ClearableStore(ArtifactStore, Protocol):
    """A store whose owner may also remove things. Nobody is asked whether they are still needed."""

    def delete(self, blob: BlobRef) -> bool:
        """Removes a blob; False when it was not there."""
        ...

    def delete_manifest(self, digest: str) -> bool:
        """Removes a manifest; False when it was not there."""
        ...
