"""The journal of decisions: each one a value that says what changed, and the replay that leads to the catalog again.

A catalog is nothing but the sum of its decisions: whoever replays them from the first on gets the lane and the state of
every version, as they stand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from martlet.errors import Corrupt
from martlet.rollouts import EvidencePath
from martlet.versions import CatalogState, VersionRecord
from registry_svc.lane import Lane


class DecisionKind(StrEnum):
    """What was decided.

    REFUSED: admission refused a version. HEAD: a version was admitted. CANDIDATE: another prefix is on its way to
    become the pin. PIN: the candidate became the pin. FAILED: a replica could not load a version. SHARE: the live lane
    answers more or less. ALARM: evidence took the lane back to the pin. REWOUND: training stands at the head again.
    TRIAL: the structural road moved: a version entered, took a step, or left. PROMOTED: a structural version became
    pin and head. ABORTED, PINNED, THAWED: an operator's word. EXPIRED: artifacts of versions were removed.
    """

    REFUSED = "refused"
    HEAD = "head"
    CANDIDATE = "candidate"
    PIN = "pin"
    FAILED = "failed"
    SHARE = "share"
    ALARM = "alarm"
    REWOUND = "rewound"
    TRIAL = "trial"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    PINNED = "pinned"
    THAWED = "thawed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Move:
    """A known version's new state, and why."""

    version: int
    state: CatalogState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one model.

    Attributes:
        detail: for people.
        time_us: when it was taken, microseconds since 1970-01-01 UTC.
        lane: the lane after it.
        added: the version that enters the catalog with it. Without its manifest: the digest names that.
        moves: known versions whose state changes, ascending.
        evidence: where the judge's processes stood.
        batches: how many batches of evidence had been judged.
        who: the operator whose word it was, or "".
        caller: whose token or certificate it came with, as verified; "" where nobody is asked, and for what the
            registry decides by itself.
    """

    kind: DecisionKind
    detail: str
    time_us: int
    lane: Lane
    added: VersionRecord | None = None
    moves: tuple[Move, ...] = ()
    evidence: tuple[EvidencePath, ...] = ()
    batches: int = 0
    who: str = ""
    caller: str = ""


LEGAL: Final[Mapping[CatalogState, frozenset[CatalogState]]] = {
    # A head that is overtaken retires; one that cannot be loaded is rejected; a candidate becomes the pin; evidence
    # takes a version back, and its descendants with it.
    CatalogState.ADMITTED: frozenset(
        {
            CatalogState.PINNED,
            CatalogState.RETIRED,
            CatalogState.REJECTED,
            CatalogState.ROLLED_BACK,
            CatalogState.QUARANTINED,
        }
    ),
    # An operator who goes back to an older pin takes the present one back.
    CatalogState.PINNED: frozenset({CatalogState.RETIRED, CatalogState.ROLLED_BACK, CatalogState.QUARANTINED}),
    # The parent of a head that could not be loaded is the head again; an older pin is the pin again.
    CatalogState.RETIRED: frozenset(
        {CatalogState.ADMITTED, CatalogState.PINNED, CatalogState.QUARANTINED, CatalogState.EXPIRED}
    ),
    # What may not be served can only lose its artifacts.
    CatalogState.REJECTED: frozenset({CatalogState.EXPIRED}),
    CatalogState.ROLLED_BACK: frozenset({CatalogState.EXPIRED}),
    CatalogState.QUARANTINED: frozenset({CatalogState.EXPIRED}),
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a model's decisions lead to. `versions` by number, without manifests."""

    lane: Lane
    versions: Mapping[int, VersionRecord] = field(default_factory=dict)

    def after(self, decision: Decision) -> "Replayed":
        """What stands after one more decision.

        Raises:
            Corrupt: the decision does not follow from what stands.
        """
        versions = dict(self.versions)
        for move in decision.moves:
            versions[move.version] = _moved(versions.get(move.version), move)
        if decision.added is not None:
            if decision.added.version != max(versions, default=0) + 1:
                raise Corrupt(f"version {decision.added.version} does not follow {max(versions, default=0)}")
            versions[decision.added.version] = decision.added
        return Replayed(decision.lane, versions)


def replay(model: str, decisions: Iterable[Decision]) -> Replayed:
    """What a model's decisions, oldest first, lead to.

    >>> replay("shop", []).lane.epoch
    0
    """
    state = Replayed(Lane(model))
    for decision in decisions:
        state = state.after(decision)
    return state


def _moved(record: VersionRecord | None, move: Move) -> VersionRecord:
    if record is None or move.state not in LEGAL.get(record.state, frozenset()):
        before = "absent" if record is None else record.state.name
        raise Corrupt(f"version {move.version} cannot become {move.state.name}: it is {before}")
    return replace(record, state=move.state, reason=move.reason or record.reason)
