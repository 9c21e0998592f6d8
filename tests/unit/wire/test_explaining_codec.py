"""Explanations on the wire."""

import pytest

from martlet.errors import InvalidInput
from martlet.events import Arm
from martlet.explanation import Contribution, Explanation
from martlet.wire.explaining import ExplainQuery, explain_query, explain_request, explain_response, explanation_of

QUERY = ExplainQuery("shop", "s", 3, "ann", {"hour": 1.5}, 7, {"item.price": 2.0, "item.tags": ["a", 1]}, 10, 5)
EXPLANATION = Explanation(
    "shop",
    3,
    "d",
    Arm.PIN,
    0.5,
    -0.25,
    -1.5,
    (Contribution("price", "item.price", 0.5, 0.75, 0.125), Contribution("user", "user_id", -1.0)),
    10,
    exact=False,
)


def test_a_request_comes_back() -> None:
    assert explain_query(explain_request(QUERY)) == QUERY


def test_an_explanation_comes_back() -> None:
    assert explanation_of(explain_response(EXPLANATION)) == EXPLANATION


def test_it_needs_an_item_and_bounded_work() -> None:
    message = explain_request(QUERY)
    message.ClearField("candidate")
    with pytest.raises(InvalidInput, match="the candidate's item_id is missing"):
        explain_query(message)
    for count in (1, 4097):
        message = explain_request(QUERY)
        message.permutations = count
        with pytest.raises(InvalidInput, match="to 4096 are run"):
            explain_query(message)
