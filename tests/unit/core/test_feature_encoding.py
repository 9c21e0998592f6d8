"""From a request to a feature block to the graph's inputs."""

import numpy as np
import pytest

from martlet.errors import InvalidInput
from martlet.feature_encoding import RankInput, concatenate, encode, feed, signature_of
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
