"""What the lane's judge remembers: values that go into a store and come back bit for bit."""

import msgspec

from registry_svc.evidence.pairing import UnitStream
from registry_svc.evidence.processes import Certificate, Watch


class HeadEvidence(msgspec.Struct):
    """The changing head against one fixed comparator.

    Attributes:
        comparator: the version.
        head: the newest head that was seen.
        gap, excess: running means of |dlogit| and of what lies beyond the bound.
    """

    comparator: int
    stream: UnitStream
    watch: Watch
    head: int = 0
    gap: float = 0.0
    excess: float = 0.0


class CandidateEvidence(msgspec.Struct):
    """One candidate against one pin.

    Attributes:
        excess: sum of what lies beyond the bound.
        failed: the candidate gave a score that is no number.
    """

    stream: UnitStream
    certificate: Certificate
    excess: float = 0.0
    failed: bool = False


class LaneJudgeState(msgspec.Struct):
    """Everything a LaneJudge knows. Bounded: open blocks are capped.

    Attributes:
        head: evidence against the pin. heir: against the candidate; it becomes `head` if the candidate becomes the pin.
        spread: mean square of the units that candidates showed; negative: none yet.
    """

    epoch: int = -1
    pin: int = 0
    candidate: int = 0
    alarms: int = 0
    labels: int = 0
    alarm: bool = False
    guard: str = ""
    head: HeadEvidence | None = None
    heir: HeadEvidence | None = None
    certificate: CandidateEvidence | None = None
    spread: float = -1.0


def packed(state: LaneJudgeState) -> bytes:
    """The state as msgpack; `unpacked` returns it bit for bit."""
    return msgspec.msgpack.encode(state)


def unpacked(raw: bytes) -> LaneJudgeState:
    """What `packed` wrote.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return msgspec.msgpack.decode(raw, type=LaneJudgeState)
