"""The live lane's judge: has the head become worse than the pin, and may the candidate become the pin?

Two comparisons on the same answers. The head changes with every delta while the pin stands still, so an e-detector with
a flat delay watches over head - pin. The candidate and the pin are both frozen, so a certificate of bounded error
decides about candidate - pin. Pure: no clock but the rows' event time, and the same rows give the same state, bit for
bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from martlet.events import Arm
from martlet.evidence import EvidenceRow
from martlet.rollouts import EvidencePath
from registry_svc.evidence.criterion import LOG_LOSS, Criterion
from registry_svc.evidence.lane_policy import LaneJudgePolicy
from registry_svc.evidence.lane_state import CandidateEvidence, HeadEvidence, LaneJudgeState, packed, unpacked
from registry_svc.evidence.pairing import Chooser, UnitStream
from registry_svc.evidence.processes import Certificate, Watch
from registry_svc.evidence.units import Unit

__all__ = ["LaneFindings", "LaneJudge", "LaneJudgePolicy", "LaneJudgeState"]

GUARD_MEMORY = 0.98
"""Weight of the past in the guards' running means: they speak of about the last 50 rows."""


@dataclass(frozen=True, slots=True)
class LaneFindings:
    """What the evidence says. Nothing here decides what is done about it.

    Attributes:
        alarm: the head has become worse than the pin; latched until the epoch or the pin changes.
        warning: log evidence of the warning processes, for the ramp: the head against the pin, or against the
            candidate, over which it has less of a lead to lose; the larger. About 0 while all is well.
        certified: the candidate is surely not worse than the pin by the margin, and old enough.
        undecided: the candidate had its labels and is not certified, or gave no number: a newer one should follow.
        labels: of head - pin in this epoch.
        candidate_labels: of candidate - pin.
        guard: why the lane must close at once, without labels; or "".
        unit: of the paths' means and of the gaps.
    """

    alarm: bool
    warning: float
    certified: bool
    undecided: bool
    labels: int
    candidate_labels: int
    guard: str
    paths: tuple[EvidencePath, ...]
    unit: str = LOG_LOSS.unit


class LaneJudge:
    """Folds evidence, answers with findings. Not thread-safe; about 20 microseconds a row.

    Args:
        criterion: what the rows are compared by; the policy is one for it (`LaneJudgePolicy.for_numbers`).
    """

    def __init__(
        self, policy: LaneJudgePolicy, state: LaneJudgeState | None = None, criterion: Criterion = LOG_LOSS
    ) -> None:
        self._policy = policy
        self._criterion = criterion
        self._state = LaneJudgeState() if state is None else unpacked(packed(state))

    def compare(self, *, epoch: int, pin: int, candidate: int, alarms: int) -> None:
        """Says who is compared from now on; candidate 0: nobody. Idempotent.

        A new epoch forgets everything. A new pin starts the watch anew; what was seen against the candidate that
        became the pin counts on. A new candidate, or a new pin under it, starts a new certificate.
        """
        state = self._state
        candidate = 0 if candidate == pin else candidate
        if epoch != state.epoch:
            state = self._state = LaneJudgeState(epoch=epoch)
        state.alarms = alarms
        if (pin, candidate) == (state.pin, state.candidate):
            return
        if pin != state.pin:
            heir = state.heir if state.heir is not None and state.heir.comparator == pin else None
            state.head = heir or self._watched(pin)
            state.alarm = state.head.watch.detector.crossed
        if pin != state.pin or candidate != state.candidate:
            state.certificate = self._new_certificate(candidate)
        if candidate != state.candidate:
            state.heir = self._watched(candidate) if candidate else None
        state.pin, state.candidate = pin, candidate

    def fold(self, rows: Sequence[EvidenceRow]) -> None:
        """Takes rows in, in order. Rows that are no evidence for a comparison are passed over by it."""
        for row in rows:
            if (
                row.epoch == self._state.epoch
                and row.arm not in {None, Arm.EXPLICIT}
                and self._criterion.counts(row.label)
            ):
                self._fold_head(row)
                self._fold_candidate(row)

    def findings(self) -> LaneFindings:
        """What the evidence says now."""
        state = self._state
        candidate = state.certificate
        return LaneFindings(
            alarm=state.alarm,
            warning=max((0.0, *(held.watch.cusum.log_evidence for held in (state.head, state.heir) if held))),
            certified=self._certified(candidate),
            undecided=self._undecided(candidate),
            labels=state.labels,
            candidate_labels=candidate.stream.labels if candidate else 0,
            guard=state.guard,
            paths=self._paths(),
            unit=self._criterion.unit,
        )

    def state(self) -> LaneJudgeState:
        """A copy of all that is known; a judge that starts from it goes on bit for bit."""
        return unpacked(packed(self._state))

    def _watched(self, comparator: int) -> HeadEvidence:
        return HeadEvidence(comparator, self._policy.stream(), self._policy.watch())

    def _new_certificate(self, candidate: int) -> CandidateEvidence | None:
        state = self._state
        if state.certificate is not None and state.certificate.certificate.bound.mean_square > 0:
            state.spread = state.certificate.certificate.bound.mean_square
        if not candidate:
            return None
        return CandidateEvidence(self._policy.stream(), self._policy.certificate(state.spread))

    def _fold_head(self, row: EvidenceRow) -> None:
        state = self._state
        head = row.logits.get(row.head) if row.head else None
        if head is None:
            return
        if not isfinite(head):
            state.guard = state.guard or f"version {row.head} gave the score {head}"
            return
        for evidence in (state.head, state.heir):
            pin = row.logits.get(evidence.comparator) if evidence else None
            if evidence is None or pin is None or not isfinite(pin) or row.head == evidence.comparator:
                continue
            self._watch(evidence, row, head, pin)
            if evidence is state.head:
                state.labels += 1
                state.alarm = state.alarm or evidence.watch.detector.crossed
                state.guard = state.guard or self._gap_guard(evidence, abs(head - pin))

    def _watch(self, evidence: HeadEvidence, row: EvidenceRow, head: float, pin: float) -> None:
        gap, bound = abs(head - pin), self._policy.logit_bound
        evidence.head = row.head
        evidence.gap += (1.0 - GUARD_MEMORY) * (gap - evidence.gap)
        evidence.excess += (1.0 - GUARD_MEMORY) * (max(gap - bound, 0.0) - evidence.excess)
        for unit in self._units(evidence.stream, row, head, pin):
            evidence.watch.update(unit)

    def _units(self, stream: UnitStream, row: EvidenceRow, version: float, comparator: float) -> list[Unit]:
        difference = self._criterion.difference(version, comparator, row.label, self._policy.logit_bound)
        allowed = self._criterion.allowed(comparator, row.label)
        return stream.add(row.user, row.time_us, difference, self._chooser(row), allowed)

    def _gap_guard(self, evidence: HeadEvidence, gap: float) -> str:
        if gap > self._policy.logit_cap:
            return f"version {evidence.head} is {gap:.1f} {self._criterion.distance} from the pin on one row"
        if evidence.excess > self._policy.excess_cap:
            return f"version {evidence.head} is {evidence.gap:.2f} {self._criterion.distance} from the pin on average"
        return ""

    def _fold_candidate(self, row: EvidenceRow) -> None:
        state = self._state
        evidence = state.certificate
        score, pin = row.logits.get(state.candidate), row.logits.get(state.pin)
        if evidence is None or score is None or pin is None or not isfinite(pin):
            return
        if not isfinite(score):
            evidence.failed = True
            return
        evidence.excess += self._criterion.hidden(score, pin, self._policy.logit_bound)
        for unit in self._units(evidence.stream, row, score, pin):
            evidence.certificate.update(unit)

    def _chooser(self, row: EvidenceRow) -> Chooser:
        # With no traffic on the lane there is nothing to pair with: the pin's own answers must do.
        if not self._policy.pair_arms or row.weight == 0:
            return Chooser.ANYONE
        return Chooser.JUDGED if row.arm is Arm.LIVE else Chooser.COMPARATOR

    def _certified(self, evidence: CandidateEvidence | None) -> bool:
        policy = self._policy
        age = policy.min_labels_after_alarm if self._state.alarms else policy.min_labels
        if evidence is None or evidence.failed or evidence.stream.labels < max(age, 1):
            return False
        # What the bound hides, without labels: at most the margin again, or less than the gain that is in sight.
        hidden = evidence.excess / evidence.stream.labels
        return evidence.certificate.process.crossed and hidden <= max(policy.margin, -evidence.stream.mean)

    def _undecided(self, evidence: CandidateEvidence | None) -> bool:
        if evidence is None:
            return False
        old = evidence.stream.labels >= self._policy.give_up_labels
        return evidence.failed or (old and not self._certified(evidence))

    def _paths(self) -> tuple[EvidencePath, ...]:
        state, paths = self._state, []
        for name, watched in (("head-pin", state.head), ("head-candidate", state.heir)):
            if watched is not None:
                paths.append(_path(name, watched.head, watched.comparator, watched.stream, watched.watch))
        if state.certificate is not None:
            held = state.certificate
            paths.append(_path("candidate-pin", state.candidate, state.pin, held.stream, held.certificate))
        return tuple(paths)


def _path(name: str, version: int, comparator: int, stream: UnitStream, process: Watch | Certificate) -> EvidencePath:
    return EvidencePath(
        name,
        version,
        comparator,
        stream.labels,
        stream.units,
        stream.mean,
        process.log_evidence,
        process.threshold,
    )
