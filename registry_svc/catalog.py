"""What the registry keeps. Every change of a lane and its journal entry are one transaction."""

from typing import Protocol

from martlet.measurement import MeasurementBatch
from martlet.versions import VersionRecord
from registry_svc.rollout import Decision, Lane


class Catalog(Protocol):
    """Versions, lanes, the journal of decisions, measurements. Calls block; used from one thread."""

    def find(self, model: str, digest: str) -> VersionRecord | None:
        """The version with this digest, with its manifest."""
        ...

    def get(self, model: str, version: int) -> VersionRecord:
        """A version, with its manifest.

        Raises:
            NotFound: there is none.
        """
        ...

    def versions(self, model: str, after: int, limit: int, *, with_manifests: bool) -> list[VersionRecord]:
        """Versions above a number, oldest first."""
        ...

    def lanes(self) -> list[Lane]:
        """The lanes of all models."""
        ...

    def lane(self, model: str) -> Lane | None:
        """A model's lane, or None before its first version."""
        ...

    def next_version(self, model: str) -> int:
        """The number of the model's next version."""
        ...

    def reject(self, record: VersionRecord) -> None:
        """Records a version that was refused."""
        ...

    def apply(
        self, decision: Decision, before: Lane | None, now_us: int, admitted: VersionRecord | None = None
    ) -> None:
        """Changes a lane, the states of its versions, and the journal, all or nothing.

        Raises:
            Conflict: the lane is no longer as it was `before`.
        """
        ...

    def mark_failed(self, model: str, version: int, reason: str) -> None:
        """Records that replicas cannot load a version."""
        ...

    def journal(self, model: str) -> list[Decision]:
        """All decisions about a model's lane, oldest first."""
        ...

    def add_measurements(self, batch: MeasurementBatch) -> bool:
        """Adds measurements; False when this (producer, sequence) was there already."""
        ...
