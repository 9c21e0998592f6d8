"""What the joiner asks before an outcome counts: whether it teaches nothing, or is kept to measure with."""

from martlet.events import Outcome
from martlet.runtime.learning_config import LearningConfig
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.drift.cohort_choice import CohortChoice
from trainer_svc.hygiene.event_screen import Arrays, EventScreen
from trainer_svc.outcome_account import DeadReason, Excluded


class Screening:
    """Bots, near duplicates, and who is held out. Not thread-safe.

    Args:
        screen: rules on events, if the settings ask for it.
        choice: whose examples are held out, if the settings ask for it.
    """

    def __init__(self, screen: EventScreen | None, choice: CohortChoice | None) -> None:
        self._screen = screen
        self._choice = choice

    def turns_away_prediction(self, prediction: RecordedPrediction) -> bool:
        """Whether it is a bot's."""
        if self._choice is not None:
            self._choice.came(prediction)
        screen = self._screen
        if screen is None or not screen.counts_events:
            return False
        return screen.is_bot(prediction.user_key, prediction.time_us)

    def turns_away(self, prediction: RecordedPrediction, outcome: Outcome) -> DeadReason | Excluded | None:
        """Why an outcome is not learned, if so."""
        if self._screen is None:
            return None
        user = prediction.user_key
        if self._screen.is_bot(user, outcome.time_us):
            return DeadReason.BOT
        return Excluded.NEAR_DUPLICATE if self._screen.is_near_duplicate(user, outcome) else None

    def holds_out(self, prediction: RecordedPrediction) -> bool:
        """Whether its examples are kept to measure with."""
        return self._choice is not None and self._choice.number(prediction) >= 0

    def advance(self, watermark_us: int) -> None:
        """Event time has come so far."""
        if self._screen is not None:
            self._screen.advance(watermark_us)

    def forget(self, user: int) -> None:
        """Drops what is known of a user."""
        if self._screen is not None:
            self._screen.forget(user)

    def state(self) -> Arrays:
        """What is counted of events; the choice's state is its cohort's."""
        return {} if self._screen is None else self._screen.state()

    def restore(self, state: Arrays) -> None:
        """Takes a state over."""
        if self._screen is not None and state:
            self._screen.restore(state)


def screening_of(learning: LearningConfig, choice: CohortChoice | None) -> Screening | None:
    """The screening that the settings ask for."""
    hygiene = learning.hygiene
    screen = EventScreen(hygiene) if hygiene.bot_events or hygiene.near_duplicate_ms else None
    return None if screen is None and choice is None else Screening(screen, choice)
