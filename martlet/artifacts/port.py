"""What any artifact store does."""

from typing import Protocol

from typing_extensions import Buffer

from martlet.manifest import BlobRef


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
