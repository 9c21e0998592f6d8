"""From a request to a feature block to the graph's inputs."""

from array import array
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.feature_encoding import RankInput, Value, concatenate, encode, feed, signature_of
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side, check_features
from martlet.keys import MISSING_ID, text_id
from tests.unit.core.samples import SPEC

REQUEST = RankInput(
    user_id="ann",
    context={"recent_items": [7, "x", 9, 11], "hour": 13},
    item_ids=[1, "two"],
    item_values=[{"item.price": 2.5}, {}],
)


def test_a_request_is_laid_out_as_the_spec_says() -> None:
    block = encode(SPEC, REQUEST)
    assert block.user_ids.tolist() == [[text_id("ann"), 3, 7, text_id("x"), 9]]
    assert block.user_numbers.tolist() == [[13.0]]
    assert block.item_ids.tolist() == [[1], [text_id("two")]]
    assert block.item_numbers[0, 0] == 2.5
    assert np.isnan(block.item_numbers[1, 0])
    assert block.row_of_user.tolist() == [0, 0]


def test_absent_values_have_a_meaning_of_their_own() -> None:
    block = encode(SPEC, RankInput(None, {}, [5], [{}]))
    assert block.user_ids.tolist() == [[MISSING_ID, 0, 0, 0, 0]]
    assert np.isnan(block.user_numbers).all()


def test_the_feed_bears_the_signatures_names_shapes_and_dtypes() -> None:
    block = encode(SPEC, REQUEST)
    arrays = feed(SPEC, block)
    sizes = {"r": 1, "n": 2}
    signature = signature_of(SPEC)
    assert list(arrays) == [spec.name for spec in signature.inputs]
    for spec in signature.inputs:
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in spec.dims)
        assert arrays[spec.name].shape == shape
        assert str(arrays[spec.name].dtype) == spec.dtype
        assert arrays[spec.name].flags.c_contiguous
    assert arrays["history_mask"].tolist() == [[1.0, 1.0, 1.0]]


def test_padding_is_masked() -> None:
    arrays = feed(SPEC, encode(SPEC, RankInput(1, {"recent_items": [4]}, [5], [{}])))
    assert arrays["history"].tolist() == [[4, 0, 0]]
    assert arrays["history_mask"].tolist() == [[1.0, 0.0, 0.0]]


def test_blocks_of_several_requests_join() -> None:
    first, second = encode(SPEC, REQUEST), encode(SPEC, RankInput("bob", {}, [8, 9, 10], [{}] * 3))
    both = concatenate([first, second])
    assert both.user_ids.shape == (2, 5)
    assert both.row_of_user.tolist() == [0, 0, 1, 1, 1]
    assert both.rows == 5
    assert concatenate([first]) is first


@pytest.mark.parametrize(
    ("context", "source"),
    [
        ({"recent_items": 7}, "recent_items"),
        ({"recent_items": "text"}, "recent_items"),
        ({"recent_items": [1.5]}, "recent_items"),
        ({"hour": "noon"}, "hour"),
        ({"hour": True}, "hour"),
    ],
)
def test_a_wrong_kind_of_value_names_its_source(context: dict[str, object], source: str) -> None:
    with pytest.raises(InvalidInput, match=source):
        encode(SPEC, RankInput(1, context, [5], [{}]))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), 1e39, -(10**40)])
def test_a_number_beyond_32_bits_is_refused(number: float) -> None:
    with pytest.raises(InvalidInput, match=r"'hour' is .* does not fit into 32 bits"):
        encode(SPEC, RankInput("u", {"hour": number}, [1], [{}]))


def test_a_nan_means_missing() -> None:
    block = encode(SPEC, RankInput("u", {"hour": float("nan")}, [1], [{}]))
    assert np.isnan(block.user_numbers).all()


RICH = FeatureSpec(
    (
        Feature("mood", "mood", FeatureKind.VECTOR, Side.USER, max_len=2),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
        Feature("image", "item.image", FeatureKind.VECTOR, Side.ITEM, max_len=3),
        Feature("title", "item.title", FeatureKind.ID_LIST, Side.ITEM, "title", 4, 4, "mean", normalise="words:2"),
        Feature("age", "age", FeatureKind.ID, Side.USER, "age", 4, normalise="buckets:18.0,30.0"),
    ),
    {"title": 0, "age": 0},
)


def rich(context: Mapping[str, Value], *items: Mapping[str, Value]) -> dict[str, list[object]]:
    block = encode(RICH, RankInput(1, context, list(range(len(items))), items))
    arrays = feed(RICH, block)
    assert [spec.name for spec in signature_of(RICH).inputs] == list(arrays)
    return {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.parametrize("vector", [[1.0, 2, 3], array("f", [1, 2, 3]), [1, 2, 3], np.array([1, 2, 3], np.float32)])
def test_a_vector_stands_beside_the_numbers(vector: Value) -> None:
    """Whole numbers of a list may have been sent as ids."""
    arrays = rich({"mood": [0.5, -1.0]}, {"item.image": vector, "item.price": 7.0}, {"item.image": [4.0, 5.0, 6.0]})
    assert arrays["mood"] == [[0.5, -1.0]]
    assert arrays["image"] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert arrays["price"][0] == [7.0]


def test_an_absent_vector_is_missing_throughout() -> None:
    assert np.isnan(rich({}, {})["image"]).all()


@pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0, 4.0], "abc", 3.0, ["a", 1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_another_shape_than_the_specs_is_refused_by_name(vector: Value) -> None:
    with pytest.raises(InvalidInput, match=r"'item\.image' takes a vector of 3 numbers"):
        rich({}, {"item.image": vector})


def test_a_vector_beyond_32_bits_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not fit into 32 bits"):
        rich({}, {"item.image": [1.0, float("inf"), 0.0]})


def test_a_text_becomes_the_ids_of_its_words_and_pairs() -> None:
    arrays = rich({}, {"item.title": "Red WINE, dry"}, {})
    assert arrays["title"] == [[text_id(run) for run in ("red", "wine", "dry", "red wine")], [0, 0, 0, 0]]
    assert arrays["title_mask"] == [[1.0] * 4, [0.0] * 4]
    with pytest.raises(InvalidInput, match=r"'item\.title' takes a text"):
        rich({}, {"item.title": ["red"]})


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_bucket_is_the_count_of_bounds_reached(age: float) -> None:
    assert rich({"age": age}, {})["age"] == [(age >= 18) + (age >= 30)]


def test_an_absent_number_has_a_bucket_of_its_own() -> None:
    assert rich({}, {})["age"] == rich({"age": float("nan")}, {})["age"] == [MISSING_ID]


@pytest.mark.parametrize(
    ("kind", "normalise", "complaint"),
    [
        (FeatureKind.NUMBER, "log", "normalise 'log'"),
        (FeatureKind.VECTOR, "log1p", "normalise 'log1p'"),
        (FeatureKind.ID, "buckets:3,2", "rising bounds"),
        (FeatureKind.ID, "buckets:", "rising bounds"),
        (FeatureKind.ID, "words:2", "rising bounds"),
        (FeatureKind.ID_LIST, "words:9", "words:1 to 4"),
    ],
)
def test_a_spec_from_elsewhere_is_checked(kind: FeatureKind, normalise: str, complaint: str) -> None:
    check_features(RICH)
    with pytest.raises(InvalidInput, match=complaint):
        check_features(FeatureSpec((Feature("f", "s", kind, Side.USER, "a", normalise=normalise),), {"a": 0}))
