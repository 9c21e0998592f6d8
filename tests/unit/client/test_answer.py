"""The way back from an answer."""

import time
from collections.abc import Sequence

import pytest

from martlet.client.answer import answer_of, blocking_answer_of
from martlet.errors import InvalidInput
from martlet.events import Arm, LogPosition, Outcome
from martlet.v1 import events_pb2
from martlet.wire.serving import Ranking, ScoredItem, outcome_of
from martlet.wire.values import id_message

RANKING = Ranking("p-1", "shop", 3, "d", Arm.LIVE, (ScoredItem(5, 0.5, 0.0), ScoredItem("5", 0.4, -0.1)))


class Told:
    """Keeps outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcomes: Sequence[Outcome]) -> LogPosition:
        self.outcomes.extend(outcomes)
        return LogPosition("log", len(self.outcomes))

    async def later(self, outcomes: Sequence[Outcome]) -> LogPosition:
        return self(outcomes)


async def test_all_that_an_outcome_needs_is_filled_in() -> None:
    told = Told()
    answer = answer_of(RANKING, told.later)
    assert (answer.items, answer.version, answer.arm) == (RANKING.items, 3, Arm.LIVE)
    assert await answer.clicked("5") == LogPosition("log", 1)
    await answer.purchased(5, 20.0, event_id="line-7")
    await answer.record(5, "rating", 4.0, time_us=77)
    click, purchase, rating = told.outcomes
    assert (click.event_id, click.prediction_id, click.item_id) == ("p-1/'5'/click", "p-1", "5")
    assert (click.type, click.value) == ("click", 1.0)
    assert abs(click.time_us - time.time() * 1e6) < 10e6
    assert (purchase.event_id, purchase.type, purchase.value) == ("line-7", "purchase", 20.0)
    assert (rating.time_us, rating.event_id) == (77, "p-1/5/rating")


def test_the_client_names_an_outcome_as_the_server_would() -> None:
    told = Told()
    blocking_answer_of(RANKING, told).clicked(5)
    blocking_answer_of(RANKING, told).clicked("5")
    for outcome in told.outcomes:
        bare = events_pb2.Outcome(prediction_id="p-1", item_id=id_message(outcome.item_id), type="click")
        assert outcome_of(bare, now_us=1).event_id == outcome.event_id


def test_what_was_not_answered_cannot_be_clicked() -> None:
    told = Told()
    with pytest.raises(InvalidInput, match="item 6 is not in the answer 'p-1'"):
        blocking_answer_of(RANKING, told).purchased(6)
    assert told.outcomes == []
