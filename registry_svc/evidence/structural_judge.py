"""The structural road's judge: is this version worse than the pin, and is it surely not?

A structural version stands still, so each question is one e-process with a bounded error, however often one looks. Its
pin may move while it runs:

- *Rollback goes on.* A bet's comparator need only be known before the label. What is rejected is then "it was never
  worse, by more than the margin, than the pin of the moment".
- *Promotion starts anew*, for it would replace the present pin: what was shown against an older one proves nothing.
- *The logit bound stays*: the past fixed it.

Pure: no clock but the rows' event time, and the same rows give the same state, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log

from martlet.events import Arm
from martlet.evidence import EvidenceRow
from martlet.rollouts import EvidencePath
from registry_svc.evidence.criterion import LOG_LOSS, Criterion
from registry_svc.evidence.pairing import Chooser
from registry_svc.evidence.structural_policy import StructuralPolicy
from registry_svc.evidence.structural_state import StructuralEvidence, StructuralJudgeState, packed, unpacked

__all__ = ["StructuralFindings", "StructuralJudge", "StructuralJudgeState", "StructuralPolicy"]

SMALLEST_BOUND = 0.05
BOUND_QUANTILE = 0.99
BOUND_SLACK = 1.5
"""B is so many times that quantile of the prefix's |dlogit|: a prefix of some hundred rows knows no rare ones."""


@dataclass(frozen=True, slots=True)
class StructuralFindings:
    """What the evidence says. Nothing here decides what is done about it.

    Attributes:
        worse: which metric shows that the version is worse than the pin; latched; "" while none does.
        certified: the version is surely not worse than the pin by the margin, and old enough.
        labels: of version - pin, those that fixed the bound among them.
        guard: why it must end at once, without labels; or "".
    """

    worse: str
    certified: bool
    labels: int
    guard: str
    paths: tuple[EvidencePath, ...]


class StructuralJudge:
    """Folds evidence, answers with findings. Not thread-safe; about 10 microseconds a row.

    Args:
        criterion: what the rows are compared by; the policy is one for it (`StructuralPolicy.for_numbers`).
    """

    def __init__(
        self, policy: StructuralPolicy, state: StructuralJudgeState | None = None, criterion: Criterion = LOG_LOSS
    ) -> None:
        self._policy = policy
        self._criterion = criterion
        self._state = StructuralJudgeState() if state is None else unpacked(packed(state))

    def compare(self, *, version: int, pin: int, phase: str) -> None:
        """Says who is compared from now on, and in which phase ("shadow", "canary"). Idempotent.

        Another version forgets everything. Another pin: see above.
        """
        state = self._state
        if version != state.version:
            state = self._state = StructuralJudgeState(version=version, pin=pin)
        state.phase = phase
        if pin != state.pin and state.evidence is not None:
            state.evidence.promotion_stream = self._policy.stream()
            state.evidence.promotion = self._policy.promotion(state.evidence.bound)
            state.evidence.excess = 0.0
        state.pin = pin

    def fold(self, rows: Sequence[EvidenceRow]) -> None:
        """Takes rows in, in order. Rows that are no evidence are passed over."""
        state = self._state
        for row in rows:
            version, pin = row.logits.get(state.version), row.logits.get(state.pin)
            if version is None or pin is None or row.arm in {None, Arm.EXPLICIT}:
                continue
            if not self._criterion.counts(row.label):
                continue
            if not isfinite(version) or abs(version - pin) > self._policy.logit_cap:
                state.guard = (
                    state.guard or f"version {state.version} gave the score {version} where the pin gave {pin}"
                )
            elif isfinite(pin):
                self._fold(row, version, pin)

    def findings(self) -> StructuralFindings:
        """What the evidence says now."""
        state = self._state
        return StructuralFindings(state.worse, self._certified(), state.labels, state.guard, self._paths())

    def state(self) -> StructuralJudgeState:
        """A copy of all that is known; a judge that starts from it goes on bit for bit."""
        return unpacked(packed(self._state))

    def _fold(self, row: EvidenceRow, version: float, pin: float) -> None:
        state = self._state
        state.labels += 1
        if state.evidence is None:
            self._prefix(abs(version - pin))
            return
        held, chooser = state.evidence, self._chooser(row)
        difference = self._criterion.difference(version, pin, row.label, held.bound)
        allowed = self._criterion.allowed(pin, row.label)
        for unit in held.stream.add(row.user, row.time_us, difference, chooser, allowed):
            held.rollback.update(unit)
        if chooser is not Chooser.JUDGED:  # a version that chose an item says too much about it, calibrated or not
            held.calibration.add(row.user, row.time_us, version, pin, row.label, self._criterion.expected)
        if chooser is not Chooser.ANYONE or not self._policy.pair_arms:
            held.excess += self._criterion.hidden(version, pin, held.bound)
            for unit in held.promotion_stream.add(row.user, row.time_us, difference, chooser, allowed):
                held.promotion.update(unit)
        state.worse = state.worse or self._worse(held)

    def _chooser(self, row: EvidenceRow) -> Chooser:
        # What the pin alone chose flatters the version: in shadow that does no harm to rollback, and certifies nothing.
        if not self._policy.pair_arms or (row.weight == 0 and row.arm is not Arm.CANARY):
            return Chooser.ANYONE
        return Chooser.JUDGED if row.arm is Arm.CANARY else Chooser.COMPARATOR

    def _prefix(self, gap: float) -> None:
        state, policy = self._state, self._policy
        state.prefix.append(gap)
        if len(state.prefix) < policy.prefix_labels:
            return
        quantile = sorted(state.prefix)[int(BOUND_QUANTILE * (len(state.prefix) - 1))]
        bound = self._criterion.bound or min(max(BOUND_SLACK * quantile, SMALLEST_BOUND), policy.largest_bound)
        state.prefix = []
        state.evidence = StructuralEvidence(
            bound,
            policy.stream(),
            policy.rollback(bound),
            policy.calibration(),
            policy.stream(),
            policy.promotion(bound),
        )

    def _worse(self, held: StructuralEvidence) -> str:
        """Metrics are averaged: valid however they depend on one another."""
        loss = held.rollback.log_evidence
        bias = held.calibration.process.log_evidence if held.calibration.condemns else -1e9
        most = max(loss, bias)
        evidence = most + log((exp(loss - most) + exp(bias - most)) / 2.0)
        if evidence < log(1.0 / self._policy.rollback_level):
            return ""
        return self._criterion.name if loss >= bias else "calibration"

    def _certified(self) -> bool:
        state, policy, held = self._state, self._policy, self._state.evidence
        if held is None or state.worse or state.guard:
            return False
        labels = held.promotion_stream.labels
        age = policy.shifted_min_labels if held.calibration.shifted else policy.min_labels
        if labels < policy.min_labels or state.labels < age:
            return False
        return held.promotion.process.crossed and held.excess <= policy.margin / 4 * labels

    def _paths(self) -> tuple[EvidencePath, ...]:
        state, held = self._state, self._state.evidence
        if held is None:
            return ()
        streams = (
            (f"{self._criterion.name} worse", held.stream, held.rollback),
            (f"{self._criterion.name} not worse", held.promotion_stream, held.promotion),
            ("calibration worse", held.calibration.stream, held.calibration.process),
        )
        return tuple(
            EvidencePath(
                name,
                state.version,
                state.pin,
                stream.labels,
                stream.units,
                stream.mean,
                process.log_evidence,
                process.threshold,
            )
            for name, stream, process in streams
        )
