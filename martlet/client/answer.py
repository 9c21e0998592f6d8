"""What serving answered, with the way back: `await answer.clicked(item)` tells what came of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from martlet.client.serving_requests import outcome_for
from martlet.clock import SystemClock
from martlet.events import LogPosition, Outcome
from martlet.feature_encoding import ItemId
from martlet.wire.serving import Ranking

CLICK = "click"
PURCHASE = "purchase"

Tell = Callable[[Sequence[Outcome]], Awaitable[LogPosition]]
BlockingTell = Callable[[Sequence[Outcome]], LogPosition]


def now_us() -> int:
    """Event time of what happens now."""
    return SystemClock().now_us()


@dataclass(frozen=True, slots=True)
class Answer(Ranking):
    """A ranking, best first. Its calls return when the outcome is on disk; repeating one does no harm."""

    tell: Tell = field(repr=False, compare=False)

    async def record(
        self, item: ItemId, kind: str, value: float = 1.0, *, event_id: str = "", time_us: int = 0
    ) -> LogPosition:
        """Tells that the user did something about an item of this answer.

        Args:
            item: one of the answered items.
            kind: the outcome's type, such as the model's label reads: click, favourite, purchase, rating, ...
            value: how much of it, for example a rating.
            event_id: names what may happen more than once, such as each of two purchases of one item. Empty: made of
                prediction, item and kind, so that telling it again is not a second outcome.
            time_us: when, microseconds since 1970-01-01 UTC; 0: now.

        Raises:
            InvalidInput: the item is not in the answer.
        """
        return await self.tell([outcome_for(self, item, kind, value, event_id, time_us or now_us())])

    async def clicked(self, item: ItemId) -> LogPosition:
        """The user clicked it."""
        return await self.record(item, CLICK)

    async def purchased(self, item: ItemId, value: float = 1.0, *, event_id: str = "") -> LogPosition:
        """The user bought it."""
        return await self.record(item, PURCHASE, value, event_id=event_id)


@dataclass(frozen=True, slots=True)
class BlockingAnswer(Ranking):
    """`Answer` for a thread."""

    tell: BlockingTell = field(repr=False, compare=False)

    def record(
        self, item: ItemId, kind: str, value: float = 1.0, *, event_id: str = "", time_us: int = 0
    ) -> LogPosition:
        """See `Answer.record`."""
        return self.tell([outcome_for(self, item, kind, value, event_id, time_us or now_us())])

    def clicked(self, item: ItemId) -> LogPosition:
        """The user clicked it."""
        return self.record(item, CLICK)

    def purchased(self, item: ItemId, value: float = 1.0, *, event_id: str = "") -> LogPosition:
        """The user bought it."""
        return self.record(item, PURCHASE, value, event_id=event_id)


def answer_of(ranking: Ranking, tell: Tell) -> Answer:
    """The ranking, with the way back."""
    return Answer(
        ranking.prediction_id, ranking.model, ranking.version, ranking.digest, ranking.arm, ranking.items, tell
    )


def blocking_answer_of(ranking: Ranking, tell: BlockingTell) -> BlockingAnswer:
    """The ranking, with the way back, for a thread."""
    return BlockingAnswer(
        ranking.prediction_id, ranking.model, ranking.version, ranking.digest, ranking.arm, ranking.items, tell
    )
