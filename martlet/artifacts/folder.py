"""The embedded artifact store: a folder, one file a blob, verified whole on reading."""

from pathlib import Path

from typing_extensions import Buffer

from martlet.artifacts.folder_upload import FolderUpload
from martlet.artifacts.upload import send
from martlet.digest import CHUNK_SIZE, digest_of_tree, is_digest, tree_of
from martlet.durable import sync_folder, write_durably
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.manifest import BlobRef, manifest_digest


class FolderStore:
    """Blobs in `blobs/ab/<digest>`, manifests in `manifests/<digest>.json`, signatures in `signatures/<digest>.json`.

    Thread-safe and safe across processes: a file appears whole (written aside, fsynced, renamed) and never changes.
    What an interrupted upload of a large blob has stored waits in `uploads/<digest>`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: Buffer) -> BlobRef:
        """Stores a blob durably. A large one goes by an upload: what an earlier try has stored is not written again."""
        view = memoryview(data).cast("B")
        tree = tree_of(view)
        digest = digest_of_tree(tree)
        path = self.blob_path(digest)
        if path.exists():
            return BlobRef(digest, view.nbytes)
        if view.nbytes > CHUNK_SIZE:
            return send(view, self.upload(tree))
        write_durably(path, view)
        return BlobRef(digest, view.nbytes)

    def upload(self, tree: bytes) -> FolderUpload:
        """Begins to store a large blob, or goes on with it: its parts gather in `uploads/<digest>`."""
        digest = digest_of_tree(tree)
        return FolderUpload(tree, self._root / "uploads" / digest, self.blob_path(digest))

    def get(self, blob: BlobRef) -> bytes:
        """The blob's bytes, verified."""
        path = self.blob_path(blob.digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {blob.digest}") from None
        if len(data) != blob.size or digest_of_tree(tree_of(data)) != blob.digest:
            raise Corrupt(f"blob {blob.digest} does not match its digest ({len(data)} bytes, expected {blob.size})")
        return data

    def put_manifest(self, encoded: bytes) -> str:
        """Stores a manifest durably and returns its digest."""
        digest = manifest_digest(encoded)
        path = self._manifest_path(digest)
        if not path.exists():
            write_durably(path, memoryview(encoded))
        return digest

    def get_manifest(self, digest: str) -> bytes:
        """A manifest's bytes, verified."""
        try:
            encoded = self._manifest_path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no manifest {digest}") from None
        if manifest_digest(encoded) != digest:
            raise Corrupt(f"manifest {digest} does not match its digest")
        return encoded

    def put_signature(self, digest: str, encoded: bytes) -> None:
        """Stores a manifest's signature durably."""
        write_durably(self._signature_path(digest), memoryview(encoded))

    def get_signature(self, digest: str) -> bytes:
        """A manifest's signature."""
        try:
            return self._signature_path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"manifest {digest} is not signed") from None

    def delete(self, blob: BlobRef) -> bool:
        """Removes a blob. Who has it open or mapped keeps what it sees."""
        return _remove(self.blob_path(blob.digest))

    def delete_manifest(self, digest: str) -> bool:
        """Removes a manifest, and its signature."""
        _remove(self._signature_path(digest))
        return _remove(self._manifest_path(digest))

    def blob_path(self, digest: str) -> Path:
        """Where a blob stands."""
        _check(digest)
        return self._root / "blobs" / digest[4:6] / digest

    def _manifest_path(self, digest: str) -> Path:
        _check(digest)
        return self._root / "manifests" / f"{digest}.json"

    def _signature_path(self, digest: str) -> Path:
        _check(digest)
        return self._root / "signatures" / f"{digest}.json"


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise InvalidInput(f"{digest!r} is not a digest")


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True
