"""What the strategist knows of the live learner: snapshots that the loop's thread leaves, and the log's ends."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from martlet.clock import Clock
from martlet.errors import NotReady
from martlet.wire.trainer import Erasure, ErasureState
from trainer_svc.strategies.choice import HOUR_US, Situation
from trainer_svc.strategies.run_record import Run

# The usual loss follows the recent one slowly: it forgets about half within so many examples.
USUAL_EXAMPLES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the live lineage stands.

    Attributes:
        lineage: its own name, and `folder` that of its folder.
        pin: digest of the newest version that may be gone back to; "" before the first was published.
        journal_position: how far its journal has taken effect.
        event_time_us: how far event time has come.
        examples: learned by it.
        model_ref: of the model that learns, and `wanted` the one that the settings name.
        began_us: event time at its first example; 0: unknown.
    """

    lineage: str
    folder: str
    pin: str
    journal_position: int
    event_time_us: int
    examples: int
    model_ref: str
    wanted: str
    loss: float = math.nan
    began_us: int = 0


class UsualLoss:
    """The recent loss as it usually is: an exponential average by examples.

    >>> usual = UsualLoss()
    >>> usual.update(0.6, 1_000), usual.update(0.6, 2_000)
    (0.6, 0.6)
    """

    def __init__(self) -> None:
        self.value = math.nan
        self._examples = 0

    def update(self, recent: float, examples: int) -> float:
        """Takes the recent loss in, after so many examples in all; gives the usual one before it."""
        before = self.value
        if math.isnan(recent):
            return before
        share = 1 - 0.5 ** (max(0, examples - self._examples) / USUAL_EXAMPLES)
        self.value = recent if math.isnan(before) else before + share * (recent - before)
        self._examples = examples
        return recent if math.isnan(before) else before


class LiveView:
    """A `LiveLearner`. Called from the strategist's thread.

    Args:
        standing: the newest; None: the trainer is still starting.
        ends: partition → the durable end of the event log now.
        erasures: of users, as far as they have come.
        window_hours: of a fine-tuning.
    """

    def __init__(
        self,
        standing: Callable[[], Standing | None],
        ends: Callable[[], Mapping[str, int]],
        erasures: Callable[[], list[Erasure]],
        window_hours: float,
        clock: Clock,
    ) -> None:
        self._standing = standing
        self._ends = ends
        self._erasures = erasures
        self._window_us = window_hours * HOUR_US
        self._clock = clock
        self._usual = UsualLoss()
        self._examples_at: dict[int, int] = {}

    @property
    def forgetting(self) -> bool:
        """Whether a user is being forgotten."""
        return any(one.state is ErasureState.FORGOTTEN for one in self._erasures())

    def beginning(self, strategy: str) -> Run:
        """See `LiveLearner`."""
        standing = self._standing()
        if standing is None or not standing.pin:
            raise NotReady("nothing was published yet: a run would have nothing to be compared with")
        from_nothing = strategy == "full_retrain"
        return Run(
            strategy=strategy,
            reason="",
            who="",
            asked_us=self._clock.now_us(),
            event_time_us=standing.event_time_us,
            until=dict(self._ends()),
            model_ref=standing.model_ref if strategy == "fine_tune" else standing.wanted,
            parent_name=standing.lineage,
            parent="" if from_nothing else standing.pin,
            parent_lineage=standing.folder,
            journal_position=standing.journal_position,
            live_examples=standing.examples,
        )

    def situation(self, runs: Sequence[Run]) -> Situation:
        """See `LiveLearner`. What a window holds is estimated by the mean rate of examples in event time."""
        standing, last = self._standing(), runs[-1] if runs else None
        if standing is None:
            return Situation(0, 0, 0, 0, 0)
        began_us = last.event_time_us if last is not None else standing.began_us or standing.event_time_us
        # A lineage that has just gone live may have learned less than the one before it.
        before = last.live_examples if last is not None and last.live_examples <= standing.examples else 0
        span_us = max(1, standing.event_time_us - (standing.began_us or standing.event_time_us))
        window = int(standing.examples * min(1.0, self._window_us / span_us))
        usual = self._usual.update(standing.loss, standing.examples)
        return Situation(
            event_time_us=standing.event_time_us,
            last_run_us=began_us,
            log_examples=standing.examples,
            window_examples=window,
            new_examples=standing.examples - before,
            recent_loss=standing.loss,
            usual_loss=usual,
            tuned=last is not None and last.strategy == "fine_tune",
            # Tried once: what has failed, or was found worse, is begun again by hand.
            changed_model=standing.wanted not in {standing.model_ref, *(run.model_ref for run in runs)},
        )
