"""Learning goes over from one lineage to another: the word for it, and who knows which lineage made a version."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Head:
    """The model's head as the registry said: a version of another lineage than the one that learns."""

    version: int
    digest: str
    epoch: int


class HandOver(Exception):
    """The head is another lineage's version: learning goes on in that lineage.

    Attributes:
        lineage: the name of its folder (see `trainer_svc.strategies.lineage_folders`).
    """

    def __init__(self, lineage: str, head: Head) -> None:
        super().__init__(f"learning goes on from version {head.version}, in lineage {lineage or 'first'}")
        self.lineage = lineage
        self.head = head


class Kin(Protocol):
    """The other lineages of a data directory."""

    def lineage_of(self, digest: str, /) -> str | None:
        """The folder's name of the lineage that made a version; None if none of them did. May read journals."""
        ...


class Alone:
    """There is no other lineage."""

    def lineage_of(self, _digest: str, /) -> str | None:
        """None made it."""
        return None
