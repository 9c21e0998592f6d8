"""Serving's requests and answers survive the wire, and a senseless request is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.events import Arm, LogPosition, Outcome
from martlet.feature_encoding import ItemId, RankInput
from martlet.v1 import events_pb2, serving_pb2
from martlet.wire import serving as wire
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery, ScoredItem
from tests.unit.wire.samples import FEATURES, FLOAT32, IDS, INT64, NUMBERS, UINT64

TEXT = st.text(max_size=8)
NAME = st.text(min_size=1, max_size=8)


@st.composite
def rank_queries(draw: st.DrawFn) -> RankQuery:
    items = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    values = [draw(FEATURES) for _ in items]
    return RankQuery(
        draw(TEXT), draw(TEXT), draw(UINT64), RankInput(draw(st.none() | IDS), draw(FEATURES), items, values)
    )


RECOMMEND_QUERIES = st.builds(
    RecommendQuery, TEXT, TEXT, UINT64, st.none() | IDS, FEATURES, st.integers(1, 1000), st.frozensets(IDS, max_size=4)
)
RANKINGS = st.builds(
    Ranking,
    TEXT,
    TEXT,
    UINT64,
    TEXT,
    st.sampled_from(Arm),
    st.lists(st.builds(ScoredItem, IDS, FLOAT32, FLOAT32), max_size=4).map(tuple),
)
OUTCOMES = st.builds(Outcome, NAME, NAME, IDS, NAME, NUMBERS.filter(np.isfinite), INT64.filter(bool))


@given(rank_queries())
def test_rank_queries_come_back(query: RankQuery) -> None:
    message = serving_pb2.RankRequest.FromString(wire.rank_request(query).SerializeToString())
    assert wire.rank_query(message) == query


@given(RECOMMEND_QUERIES)
def test_recommend_queries_come_back(query: RecommendQuery) -> None:
    message = serving_pb2.RecommendRequest.FromString(wire.recommend_request(query).SerializeToString())
    assert wire.recommend_query(message) == query


@given(RANKINGS)
def test_rankings_come_back(ranking: Ranking) -> None:
    assert wire.ranking_of(wire.rank_response(ranking)) == ranking
    assert wire.ranking_of(wire.recommend_response(ranking)) == ranking


@given(OUTCOMES)
def test_outcomes_come_back(outcome: Outcome) -> None:
    assert wire.outcome_of(wire.outcome_message(outcome), now_us=1) == outcome


def test_log_positions_come_back() -> None:
    position = LogPosition("serving-0", 1 << 60)
    assert wire.position_of(wire.position_message(position)) == position


def sent(event_id: str, item: ItemId, kind: str, value: float = 1.0) -> Outcome:
    message = wire.outcome_message(Outcome(event_id, "p-1", item, kind, value, 0))
    return wire.outcome_of(message, now_us=77)


def test_an_outcome_without_a_time_happened_now() -> None:
    assert sent("e", 5, "click").time_us == 77


def test_the_derived_event_id_tells_outcomes_apart_and_is_the_same_when_sent_again() -> None:
    assert sent("", 5, "click").event_id == sent("", 5, "click", 2.0).event_id
    different = [sent("", 5, "click"), sent("", 6, "click"), sent("", 5, "view"), sent("", "5", "click")]
    assert len({outcome.event_id for outcome in different}) == 4


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (events_pb2.Outcome(prediction_id="p", type="click"), "item_id"),
        (events_pb2.Outcome(item_id=events_pb2.Id(number=1), type="click"), "prediction_id"),
        (events_pb2.Outcome(item_id=events_pb2.Id(number=1), prediction_id="p"), "type"),
        (
            events_pb2.Outcome(item_id=events_pb2.Id(number=1), prediction_id="p", type="rating", value=float("nan")),
            "finite",
        ),
    ],
)
def test_a_senseless_outcome_is_refused(message: events_pb2.Outcome, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        wire.outcome_of(message, now_us=1)


def candidates(*numbers: int) -> list[serving_pb2.Candidate]:
    return [serving_pb2.Candidate(item_id=events_pb2.Id(number=number)) for number in numbers]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (serving_pb2.RankRequest(), "candidates is empty"),
        (serving_pb2.RankRequest(candidates=candidates(1, 2, 1)), "twice"),
        (serving_pb2.RankRequest(candidates=[serving_pb2.Candidate()]), "item_id"),
        (serving_pb2.RankRequest(candidates=candidates(1), context={"hour": events_pb2.FeatureValue()}), "'hour'"),
    ],
)
def test_a_senseless_rank_request_is_refused(message: serving_pb2.RankRequest, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        wire.rank_query(message)


def test_a_recommend_request_for_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="k must"):
        wire.recommend_query(serving_pb2.RecommendRequest(k=0))


def test_scored_items_are_python_numbers_in_order() -> None:
    items = wire.scored_items((3, "a"), np.array([0.5, 0.25], np.float32), np.array([0.0, -1.0], np.float32))
    assert items == (ScoredItem(3, 0.5, 0.0), ScoredItem("a", 0.25, -1.0))
