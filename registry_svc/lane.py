"""A model's rollouts as a value: its live lane (head, pin, candidate, share), its structural road (slot, queue)."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from martlet.versions import CatalogState


@dataclass(frozen=True, slots=True)
class Member:
    """A version in a lane. Version 0 means none."""

    version: int = 0
    digest: str = ""


NOBODY: Final = Member()


class Phase(StrEnum):
    """How far a structural version has come."""

    SHADOW = "shadow"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Trial:
    """The structural version under way.

    Attributes:
        weight: its share of the answers, in buckets of 10,000; 0 in shadow.
        stepped_at: how many labels it had when the weight changed last.
    """

    member: Member
    phase: Phase = Phase.SHADOW
    weight: int = 0
    stepped_at: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a model's versions stand. Before its first version it has no members, epoch 0 and revision 0.

    Attributes:
        epoch: counts the interruptions of the lineage.
        revision: counts the lane's changes within an epoch; (epoch, revision) orders them all.
        head: the newest admitted version of the live lineage.
        pin: last known good.
        candidate: a fixed version on its way to become the pin. There is one whenever the head is not the pin.
        candidate_since_us: when it was chosen, microseconds since 1970-01-01 UTC.
        weight: the head's share of the answers, in buckets of 10,000, where evidence decides.
        stepped_at, pinned_at: how many labels this epoch had when the weight changed, and when the pin moved.
        alarms: since the pin moved last.
        rewinding: training has not gone back to the head of this epoch yet; until then nothing is taken.
        frozen: why nothing is taken until an operator says so, or "".
        trial: the structural version under way.
        waiting: the newest structural version behind it.
    """

    model: str
    epoch: int = 0
    revision: int = 0
    head: Member = NOBODY
    pin: Member = NOBODY
    candidate: Member = NOBODY
    candidate_since_us: int = 0
    weight: int = 0
    stepped_at: int = 0
    pinned_at: int = 0
    alarms: int = 0
    rewinding: bool = False
    frozen: str = ""
    trial: Trial | None = None
    waiting: Member = NOBODY

    @property
    def salt(self) -> str:
        """The traffic split's salt: new in every epoch, so that not always the same users go first."""
        return f"{self.model}/{self.epoch}"

    @property
    def tried(self) -> Member:
        """The structural version under way, or NOBODY."""
        return self.trial.member if self.trial is not None else NOBODY

    def states(self) -> dict[int, CatalogState]:
        """Every version in the lane with its state in the catalog."""
        members = (self.head, self.candidate, self.tried, self.waiting)
        states = dict.fromkeys((member.version for member in members), CatalogState.ADMITTED)
        states[self.pin.version] = CatalogState.PINNED
        states.pop(NOBODY.version, None)
        return states


def next_trial(lane: Lane) -> Lane:
    """The lane after its slot has become free: what waited comes in."""
    return replace(lane, trial=None if lane.waiting == NOBODY else Trial(lane.waiting), waiting=NOBODY)
