"""A model's live lane as a value: its head, its pin, its candidate, and where in time it stands."""

from dataclasses import dataclass
from typing import Final

from martlet.versions import CatalogState


@dataclass(frozen=True, slots=True)
class Member:
    """A version in a lane. Version 0 means none."""

    version: int = 0
    digest: str = ""


NOBODY: Final = Member()


@dataclass(frozen=True, slots=True)
class Lane:
    """A model's lane. Before its first version it has no members, epoch 0 and revision 0.

    Attributes:
        epoch: counts the interruptions of the lineage.
        revision: counts the lane's changes within an epoch; (epoch, revision) orders them all.
        head: the newest admitted version.
        pin: last known good.
        candidate: a fixed version on its way to become the pin. There is one whenever the head is not the pin.
        candidate_since_us: when it was chosen, microseconds since 1970-01-01 UTC.
    """

    model: str
    epoch: int = 0
    revision: int = 0
    head: Member = NOBODY
    pin: Member = NOBODY
    candidate: Member = NOBODY
    candidate_since_us: int = 0

    @property
    def salt(self) -> str:
        """The traffic split's salt: new in every epoch, so that not always the same users go first."""
        return f"{self.model}/{self.epoch}"

    def states(self) -> dict[int, CatalogState]:
        """Every version in the lane with its state in the catalog."""
        states = dict.fromkeys((self.head.version, self.candidate.version), CatalogState.ADMITTED)
        states[self.pin.version] = CatalogState.PINNED
        states.pop(NOBODY.version, None)
        return states
