"""What the structural judge remembers: values that go into a store and come back bit for bit."""

import msgspec

from registry_svc.evidence.calibration import CalibrationEvidence
from registry_svc.evidence.pairing import UnitStream
from registry_svc.evidence.processes import Certificate


class StructuralEvidence(msgspec.Struct):
    """What has been seen since the logit bound was fixed.

    Attributes:
        bound: B; it stays, whoever the pin is.
        rollback: lives as long as the version does.
        promotion: starts anew with each pin; so does `excess`, the sum of what lies beyond the bound.
    """

    bound: float
    stream: UnitStream
    rollback: Certificate
    calibration: CalibrationEvidence
    promotion_stream: UnitStream
    promotion: Certificate
    excess: float = 0.0


class StructuralJudgeState(msgspec.Struct):
    """Everything a StructuralJudge knows. Bounded: open sessions are capped.

    Attributes:
        prefix: |dlogit| of the first labels; empty once the bound is fixed.
        worse: what condemned the version, or "".
    """

    version: int = 0
    pin: int = 0
    phase: str = ""
    labels: int = 0
    prefix: list[float] = []
    evidence: StructuralEvidence | None = None
    worse: str = ""
    guard: str = ""


def packed(state: StructuralJudgeState) -> bytes:
    """The state as msgpack; `unpacked` returns it bit for bit."""
    return msgspec.msgpack.encode(state)


def unpacked(raw: bytes) -> StructuralJudgeState:
    """What `packed` wrote.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return msgspec.msgpack.decode(raw, type=StructuralJudgeState)
