"""How a structural version is judged."""

from dataclasses import dataclass, replace

from registry_svc.evidence.bound import RunningBound
from registry_svc.evidence.calibration import CalibrationEvidence
from registry_svc.evidence.criterion import NO_MARGIN, SHARE_OF_LOSS
from registry_svc.evidence.pairing import UnitStream
from registry_svc.evidence.processes import Certificate


@dataclass(frozen=True, slots=True)
class StructuralPolicy:
    """How a structural version is judged. Losses and logits in nats, counts in labels.

    Attributes:
        session_labels: a unit is a user's session (until idle_us pass without a label), cut after so many labels.
        margin: delta: by how much the version may be worse than the pin.
        margin_share: the same of squared error: a share of the pin's own.
        rollback_level: probability that a version is ever called worse that is not.
        promotion_level: probability that a version is ever certified that is worse by the margin.
        prefix_labels: so many first labels are no evidence; they fix how far logits may differ.
        largest_bound: B is never larger.
        clip_multiple, memory: a unit counts up to so many running deviations of earlier units.
        min_labels: a younger version is not certified.
        calibration_tolerance: how far the mean logit may lie from the pin's without any question.
        number_tolerance: the same of labels that are numbers, in ranges of the label.
        shifted_min_labels: a version beyond that tolerance is not certified sooner: a bias takes labels to be seen.
        pair_arms: the served arm chooses the impressions: the certificate takes pairs of arms only, so none in shadow.
        open_sessions: most users whose sessions are open, for each comparison.
        logit_cap: one row on which version and pin differ by more is a fault.
    """

    session_labels: int = 20
    margin: float = 0.003
    margin_share: float = SHARE_OF_LOSS
    rollback_level: float = 0.01
    promotion_level: float = 0.05
    prefix_labels: int = 200
    largest_bound: float = 2.0
    clip_multiple: float = 4.0
    memory: float = 0.98
    min_labels: int = 1000
    calibration_tolerance: float = 0.05
    number_tolerance: float = 0.01
    shifted_min_labels: int = 12_000
    pair_arms: bool = False
    idle_us: int = 30 * 60 * 1_000_000
    open_sessions: int = 2048
    logit_cap: float = 50.0

    def __post_init__(self) -> None:
        if min(self.session_labels, self.open_sessions, self.prefix_labels) < 1:
            raise ValueError("session_labels, open_sessions and prefix_labels must be at least 1")
        if not (0 < self.rollback_level < 1 and 0 < self.promotion_level < 1 and 0 < self.memory < 1):
            raise ValueError("rollback_level, promotion_level and memory must be inside (0, 1)")
        if min(self.margin, self.largest_bound, self.clip_multiple, self.calibration_tolerance) <= 0:
            raise ValueError("margin, largest_bound, clip_multiple and calibration_tolerance must be positive")
        if not (0 < self.margin_share <= 1 and self.number_tolerance > 0):
            raise ValueError("margin_share must be above 0 and at most 1, number_tolerance above 0")

    def for_numbers(self) -> "StructuralPolicy":
        """The same for squared error: the margin is the criterion's, a bias is told in ranges of the label."""
        return replace(self, margin=NO_MARGIN, calibration_tolerance=self.number_tolerance)

    def stream(self) -> UnitStream:
        """Units of a fresh comparison."""
        return UnitStream(self.session_labels, self.idle_us, self.open_sessions)

    def rollback(self, bound: float) -> Certificate:
        """Evidence that the version is worse than the margin."""
        return Certificate.of(bound, self.margin, self.rollback_level, self._running(), sign=-1.0)

    def promotion(self, bound: float) -> Certificate:
        """Evidence that it is not worse by the margin."""
        return Certificate.of(bound, self.margin, self.promotion_level, self._running())

    def calibration(self) -> CalibrationEvidence:
        """Evidence that its bias is above 0, in the direction in which it differs from the pin."""
        process = Certificate.of(1.0, 0.0, self.rollback_level, self._running(), sign=-1.0)
        return CalibrationEvidence(self.calibration_tolerance, self.stream(), process)

    def _running(self) -> RunningBound:
        return RunningBound(self.largest_bound, self.clip_multiple, self.memory)
