"""How a live lane is judged."""

from dataclasses import dataclass, replace

from registry_svc.evidence.bound import RunningBound
from registry_svc.evidence.criterion import NO_MARGIN, SHARE_OF_LOSS
from registry_svc.evidence.pairing import UnitStream
from registry_svc.evidence.processes import Certificate, Watch


@dataclass(frozen=True, slots=True)
class LaneJudgePolicy:
    """How a live lane is judged. Losses and logits in nats, counts in labels.

    Of labels that are numbers the loss is squared error, and logit_cap and excess_cap are in ranges of the label.

    Attributes:
        block_labels: labels of one user that make a unit.
        logit_bound: B: logits are clipped to within B of the pin's.
        margin: by how much the head may be worse than the pin, and a new pin than the old one.
        margin_share: the same of squared error: a share of the pin's own.
        labels_to_false_alarm: A: as many labels pass on average until equal versions raise an alarm, or more.
        clip_multiple, memory: a unit counts up to so many running deviations of earlier units.
        certificate_level: probability that a candidate is certified which is worse by the margin.
        min_labels, min_labels_after_alarm: a younger candidate is not certified; after an alarm an older one is needed.
        give_up_labels: a candidate that so many labels do not decide is dropped.
        pair_arms: the served arm chooses the impressions, so labels of both arms are paired; they starve otherwise.
        idle_us: a user without a label for so long has left (event time).
        open_blocks: most users whose blocks are open, for each comparison.
        logit_cap: one row on which head and pin differ by more closes the lane at once.
        excess_cap: so does a running mean of what the bound B hides.
    """

    block_labels: int = 5
    logit_bound: float = 2.0
    margin: float = 0.003
    margin_share: float = SHARE_OF_LOSS
    labels_to_false_alarm: float = 1e5
    clip_multiple: float = 4.0
    memory: float = 0.98
    certificate_level: float = 0.05
    min_labels: int = 1500
    min_labels_after_alarm: int = 2500
    give_up_labels: int = 3000
    pair_arms: bool = False
    idle_us: int = 30 * 60 * 1_000_000
    open_blocks: int = 2048
    logit_cap: float = 50.0
    excess_cap: float = 1.0

    def __post_init__(self) -> None:
        if self.block_labels < 1 or self.open_blocks < 1 or not 0 < self.certificate_level < 1:
            raise ValueError("block_labels and open_blocks must be at least 1, certificate_level inside (0, 1)")
        if not self.give_up_labels >= max(self.min_labels, self.min_labels_after_alarm):
            raise ValueError("give_up_labels must not be below the age that a certificate needs")
        if min(self.logit_bound, self.margin, self.clip_multiple) <= 0 or not 0 < self.memory < 1:
            raise ValueError("logit_bound, margin and clip_multiple must be positive, memory inside (0, 1)")
        if not 0 < self.margin_share <= 1:
            raise ValueError("margin_share must be above 0 and at most 1")
        if self.labels_to_false_alarm < self.block_labels:
            raise ValueError("labels_to_false_alarm must be at least one unit")

    def for_numbers(self) -> "LaneJudgePolicy":
        """The same for squared error: differences lie in [-1, 1], the margin is the criterion's."""
        return replace(self, logit_bound=1.0, margin=NO_MARGIN)

    def stream(self) -> UnitStream:
        """Units of a fresh comparison."""
        return UnitStream(self.block_labels, self.idle_us, self.open_blocks)

    def watch(self) -> Watch:
        """A fresh watch over head - pin."""
        running = RunningBound(self.logit_bound, self.clip_multiple, self.memory)
        return Watch.of(self.logit_bound, self.margin, self.labels_to_false_alarm / self.block_labels, running)

    def certificate(self, mean_square: float) -> Certificate:
        """A fresh certificate; `mean_square` of units that an earlier one saw, negative: none."""
        running = RunningBound(self.logit_bound, self.clip_multiple, self.memory, mean_square)
        return Certificate.of(self.logit_bound, self.margin, self.certificate_level, running)
