"""What the registry keeps: versions, lanes, and the journal that explains both. The port; SQL implements it."""

from dataclasses import dataclass
from typing import Final, Protocol

from martlet.errors import Conflict
from martlet.versions import VersionRecord
from registry_svc.journal import Decision
from registry_svc.lane import Lane
from registry_svc.lineage import suspects

PAGE: Final = 1_000


class Moved(Conflict):
    """A decision was taken on a standing that is none any more; take it again on the present one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a decision about a model is taken on.

    Attributes:
        decisions: how many were taken before. A decision is written only if it is the next one.
        newest: the highest version number, refused versions included; 0 without any.
    """

    lane: Lane
    decisions: int = 0
    newest: int = 0


class Catalog(Protocol):
    """Versions, lanes and the journal. Calls block briefly; they are made from one thread.

    Every method raises Unavailable when the database does not answer.
    """

    def standing(self, model: str) -> Standing:
        """Where a model stands; an unknown one stands at the beginning."""
        ...

    def lanes(self) -> list[Lane]:
        """The lanes of all models, by name."""
        ...

    def commit(self, decision: Decision, standing: Standing, manifest: bytes = b"") -> None:
        """Writes a decision: lane, added version, state changes and journal entry, all or nothing.

        The only way in which lanes and versions change. `standing` is what the decision was taken on, `manifest` that
        of the version it adds.

        Raises:
            Moved: another decision came first, and nothing was written.
        """
        ...

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
        """At most `limit` versions above a number, oldest first."""
        ...

    def journal(self, model: str, after: int = 0, limit: int | None = None) -> list[Decision]:
        """A model's decisions after the first `after`, oldest first."""
        ...


def above(catalog: Catalog, model: str, version: int) -> list[VersionRecord]:
    """All versions above a number, oldest first, without manifests."""
    found: list[VersionRecord] = []
    while page := catalog.versions(model, found[-1].version if found else version, PAGE, with_manifests=False):
        found += page
    return found


def suspects_of(catalog: Catalog, lane: Lane) -> tuple[int, ...]:
    """The versions that go with the head of a lane when it is taken back."""
    return suspects(above(catalog, lane.model, lane.pin.version), lane.head, lane.pin)
