from collections.abc import Mapping, Sequence

import pytest

from martlet.client.serving import ServingClient
from martlet.errors import Unavailable
from martlet.events import Arm, LogPosition, Outcome
from martlet.feature_encoding import Value
from martlet.replay.datasets import Dataset, Rating
from martlet.replay.traffic import RECENT, Traffic, Users
from martlet.wire.serving import Ranking, ScoredItem

ITEMS: dict[int, dict[str, Value]] = {item: {"item.year": str(item)} for item in range(1, 31)}
Candidates = Mapping[int, Mapping[str, Value]]


def dataset(*ratings: Rating) -> Dataset:
    return Dataset("tiny", ratings, {1: {"gender": "M"}, 2: {"gender": "F"}}, ITEMS)


class PlayedServing(ServingClient):
    """Answers from memory: the logit of an item is its number; version 7 of the live lane."""

    def __init__(self, *, failing: Sequence[int] = ()) -> None:
        self.asked: list[tuple[int, Candidates, Mapping[str, Value]]] = []
        self.told: list[Outcome] = []
        self._failing = failing

    async def rank(
        self, model: str, user_id: object, candidates: object, context: object = None, **_: object
    ) -> Ranking:
        self.asked.append((user_id, candidates, context))  # type: ignore[arg-type]
        if len(self.asked) in self._failing:
            raise Unavailable("staged")
        best_first = sorted(candidates, reverse=True)  # type: ignore[call-overload]
        items = tuple(ScoredItem(item, 0.5, float(item)) for item in best_first)
        return Ranking(f"p{len(self.asked)}", model, 7, "d", Arm.LIVE, items)

    async def record_outcomes(self, outcomes: Sequence[Outcome]) -> LogPosition:
        self.told.extend(outcomes)
        return LogPosition("serving-0", 100 * len(self.told))


async def test_the_rated_item_is_ranked_among_others_and_its_logit_is_kept() -> None:
    serving, event = PlayedServing(), Rating(1, 5, 4.0, 0)
    traffic = Traffic(serving, dataset(event), others=4, rate=1e6)
    await traffic.run(iter([event]), 1)
    (_, candidates, _), answers = serving.asked[0], traffic.answers
    assert 5 in candidates
    assert 4 <= len(candidates) <= 5
    assert candidates[5] == ITEMS[5]
    assert (answers.logit, answers.label, answers.version, answers.live) == ([5.0], [1.0], [7], [True])
    assert (answers.partition, answers.offset) == (["serving-0"], [100])
    assert answers.answered_at[0] <= answers.acknowledged_at[0]


async def test_the_outcome_is_the_rating_itself() -> None:
    serving, event = PlayedServing(), Rating(1, 5, 3.0, 0)
    traffic = Traffic(serving, dataset(event), 2, 1e6)
    await traffic.run(iter([event]), 1)
    told = serving.told[0]
    assert (told.prediction_id, told.item_id, told.type, told.value) == ("p1", 5, "rating", 3.0)
    assert traffic.answers.label == [0.0]


async def test_a_request_knows_earlier_likes_and_never_its_own_rating() -> None:
    events = [Rating(1, 5, 5.0, 0), Rating(1, 6, 2.0, 1), Rating(1, 7, 4.0, 2), Rating(2, 5, 5.0, 3)]
    serving = PlayedServing()
    await Traffic(serving, dataset(*events), 2, 1e6).run(iter(events), 1)
    recent = [context["recent_items"] for _, _, context in serving.asked]
    assert recent == [[], [5], [5], []]


def test_recent_likes_are_newest_first_and_bounded() -> None:
    users = Users(dataset())
    for item in range(1, RECENT + 4):
        users.remember(Rating(1, item, 5.0, 0))
    recent = users.context(Rating(1, 1, 5.0, 0))["recent_items"]
    assert recent == list(range(RECENT + 3, 3, -1))


async def test_a_failed_request_is_counted_and_leaves_no_answer() -> None:
    events = [Rating(1, 5, 5.0, 0), Rating(1, 6, 5.0, 1), Rating(1, 7, 5.0, 2)]
    serving = PlayedServing(failing=(2,))
    traffic = Traffic(serving, dataset(*events), 2, 1e6)
    await traffic.run(iter(events), 1)
    assert (traffic.answers.requests, traffic.answers.failures) == (3, ["Unavailable: staged"])
    assert len(traffic.answers.logit) == len(serving.told) == 2
    assert serving.asked[2][2]["recent_items"] == [5]  # what failed was not seen by the user


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_every_event_is_sent_once(concurrency: int) -> None:
    events = [Rating(1, item, 5.0, item) for item in ITEMS]
    serving = PlayedServing()
    await Traffic(serving, dataset(*events), 0, 1e6).run(iter(events), concurrency)
    assert sorted(outcome.item_id for outcome in serving.told) == list(ITEMS)


async def test_the_rate_is_kept() -> None:
    events = [Rating(1, item, 5.0, item) for item in range(1, 21)]
    serving = PlayedServing()
    traffic = Traffic(serving, dataset(*events), 0, 200.0)
    await traffic.run(iter(events), 4)
    assert traffic.answers.acknowledged_at[-1] - traffic.answers.answered_at[0] >= 19 / 200.0 - 0.02
