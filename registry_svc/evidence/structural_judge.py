"""Stub."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from martlet.evidence import EvidenceRow
from martlet.rollouts import EvidencePath


@dataclass(frozen=True, slots=True)
class StructuralPolicy:
    margin: float = 0.001


class StructuralJudgeState(msgspec.Struct):
    version: int = 0


@dataclass(frozen=True, slots=True)
class StructuralFindings:
    worse: str = ""
    certified: bool = False
    labels: int = 0
    guard: str = ""
    paths: tuple[EvidencePath, ...] = ()


class StructuralJudge:
    def __init__(self, policy: StructuralPolicy, state: StructuralJudgeState | None = None) -> None:
        self._state = state or StructuralJudgeState()

    def compare(self, *, version: int, pin: int, phase: str) -> None: ...

    def fold(self, rows: Sequence[EvidenceRow]) -> None: ...

    def findings(self) -> StructuralFindings:
        return StructuralFindings()

    def state(self) -> StructuralJudgeState:
        return self._state
