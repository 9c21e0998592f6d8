"""What is decided about a model's versions, as people look at it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvidencePath:
    """One process of the judge.

    Attributes:
        name: which comparison, such as `head-pin`.
        version, comparator: who is compared with whom.
        mean: mean loss difference; positive: the version is worse. In nats; of squared error half of it, in squares of
            the label's range.
        log_evidence, bound: where the process stands, and where it decides.
    """

    name: str
    version: int
    comparator: int
    labels: int
    units: int
    mean: float
    log_evidence: float
    bound: float


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision of the journal."""

    number: int
    kind: str
    detail: str
    time_us: int
    epoch: int
    who: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True)
class RolloutView:
    """Where a model's rollouts stand. Version 0: none.

    Attributes:
        weight: the live lane's share in buckets of 10,000.
        alarms: since the pin moved last.
        rewind: training has not gone back to the pin yet.
        frozen: why nothing may be published, or "".
        warning, warning_level: log of the warning process, and where the share steps back.
        open_gap: bound of the harm that no label has shown so far, in the unit of the paths' means.
        awaited: what the next decision waits for, in words.
        decisions: newest first.
    """

    model: str
    epoch: int
    revision: int
    head_version: int
    pin_version: int
    candidate_version: int
    weight: int
    alarms: int
    rewind: bool
    frozen: str
    structural_version: int
    structural_phase: str
    waiting_version: int
    warning: float
    warning_level: float
    open_gap: float
    paths: tuple[EvidencePath, ...]
    awaited: tuple[str, ...]
    decisions: tuple[DecisionView, ...]
