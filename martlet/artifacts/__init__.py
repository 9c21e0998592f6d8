"""The artifact store: content-addressed blobs that trainer, registry and serving share."""

from martlet.artifacts.folder import FolderStore
from martlet.artifacts.port import ArtifactStore, ClearableStore, ResumableStore, UploadSession
from martlet.artifacts.upload import send

__all__ = ["ArtifactStore", "ClearableStore", "FolderStore", "ResumableStore", "UploadSession", "send"]
