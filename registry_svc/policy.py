"""How a model's rollouts are run: every knob, as values. `policy_file` reads them from YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry_svc.evidence.lane_judge import LaneJudgePolicy
from registry_svc.evidence.structural_judge import StructuralPolicy
from registry_svc.lane import Lane


@dataclass(frozen=True, slots=True)
class EvidencePolicy:
    """How the live lane follows its evidence. Labels are those of head against pin, in the epoch.

    Attributes:
        burn_in_labels: a model's first labels, which are not judged: a newborn learner may well be worse than the
            constant that it began as, and meanwhile its lane is in shadow.
        steps: the lane's shares, in buckets of 10,000, ascending; the first is shadow. The pin keeps the rest.
        labels_per_step: labels between two steps up.
        warning_level: log evidence of the warning process at which the share steps back. On healthy replays it stayed
            below 1.
        harm_budget: nats of possible harm without labels yet (see `EvidenceBatch.open_gap`); above it the share
            steps back.
        number_harm_budget: the same where labels are numbers, in ranges of the label.
        pin_lag_labels: a pin that has not moved for so many labels holds the share at the first step above shadow.
        head_errors: so many failures of one head to answer close the lane, labels or not.
        shadow_after_alarms: so many alarms before the pin moves keep the lane in shadow until it does.
        freeze_after_alarms: so many freeze the model until an operator thaws it.
    """

    burn_in_labels: int = 2_000
    steps: tuple[int, ...] = (0, 500, 2500, 9000)
    labels_per_step: int = 500
    warning_level: float = 2.0
    harm_budget: float = 100.0
    number_harm_budget: float = 5.0
    pin_lag_labels: int = 20_000
    head_errors: int = 20
    shadow_after_alarms: int = 2
    freeze_after_alarms: int = 4
    judge: LaneJudgePolicy = field(default_factory=LaneJudgePolicy)


@dataclass(frozen=True, slots=True)
class TrialPolicy:
    """How a structural version comes to serve. Labels are its own against the pin.

    Attributes:
        shadow_labels: least labels in shadow; it leaves the shadow with its certificate alone.
        steps: its shares as a canary, in buckets of 10,000, ascending.
        labels_per_step: labels between two steps.
        give_up_labels: without a verdict after so many it is inconclusive and leaves.
    """

    shadow_labels: int = 1_000
    steps: tuple[int, ...] = (100, 500, 2500)
    labels_per_step: int = 500
    give_up_labels: int = 50_000
    judge: StructuralPolicy = field(default_factory=StructuralPolicy)


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a model is rolled out.

    Attributes:
        lane_weight: the live lane's share where quality does not decide, in buckets of 10,000.
        pin_min_seconds: how long a candidate must have been READY on every replica that reports.
        pin_min_requests: how many answers without error it takes where quality does not decide.
        evidence: how quality decides; None: health alone does.
        trial: the structural road.
        certified: every version takes the structural road.
    """

    lane_weight: int
    pin_min_seconds: float
    pin_min_requests: int
    evidence: EvidencePolicy | None = None
    trial: TrialPolicy = field(default_factory=TrialPolicy)
    certified: bool = False

    def weight_of(self, lane: Lane) -> int:
        """The live lane's share in buckets of 10,000."""
        return self.lane_weight if self.evidence is None else lane.weight


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of every model; a model that is not named has the default one."""

    default: LanePolicy
    models: Mapping[str, LanePolicy] = field(default_factory=dict)

    def of(self, model: str) -> LanePolicy:
        """A model's policy."""
        return self.models.get(model, self.default)
