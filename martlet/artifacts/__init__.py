"""The artifact store: content-addressed blobs that trainer, registry and serving share."""

from martlet.artifacts.folder import FolderStore
from martlet.artifacts.port import ArtifactStore, ResumableStore, UploadSession
from martlet.artifacts.upload import send

__all__ = ["ArtifactStore", "FolderStore", "ResumableStore", "UploadSession", "send"]
