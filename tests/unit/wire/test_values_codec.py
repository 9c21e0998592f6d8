"""Ids and feature values survive the wire, and what is none is refused by name."""

import pytest
from hypothesis import given

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, Value
from martlet.v1 import events_pb2 as pb
from martlet.wire.values import id_message, id_of, optional_id_of, value_message, value_messages, value_of, values_of
from tests.unit.wire.samples import FEATURES, IDS, VALUES


@given(IDS)
def test_ids_come_back(value: ItemId) -> None:
    message = pb.Id.FromString(id_message(value).SerializeToString())
    back = id_of(message, "item_id")
    assert back == value
    assert type(back) is type(value)


@given(VALUES)
def test_values_come_back(value: Value) -> None:
    back = value_of(pb.FeatureValue.FromString(value_message(value).SerializeToString()), "x")
    assert back == value
    assert type(back) is type(value)


@given(FEATURES)
def test_features_come_back_by_name(values: dict[str, Value]) -> None:
    assert values_of(value_messages(values)) == values


@pytest.mark.parametrize("value", [0, ""])
def test_zero_and_the_empty_text_are_ids(value: ItemId) -> None:
    """They are values, not the absence of one."""
    assert optional_id_of(id_message(value)) == value
    assert optional_id_of(pb.Id()) is None


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_an_id_beyond_64_bits_is_named(value: int) -> None:
    with pytest.raises(InvalidInput, match=str(value)):
        id_message(value)


@pytest.mark.parametrize("value", [True, None, 1.5, b"x"])
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        id_message(value)  # type: ignore[arg-type]


def test_a_missing_id_is_named() -> None:
    with pytest.raises(InvalidInput, match="the candidate"):
        id_of(pb.Id(), "the candidate")


@pytest.mark.parametrize(
    "message",
    [
        pb.FeatureValue(),
        pb.FeatureValue(id=pb.Id()),
        pb.FeatureValue(id_list=pb.IdList(ids=[pb.Id(number=1), pb.Id()])),
    ],
)
def test_an_empty_value_names_its_feature(message: pb.FeatureValue) -> None:
    with pytest.raises(InvalidInput, match=r"'item\.price'"):
        value_of(message, "item.price")
