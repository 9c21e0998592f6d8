"""Keys: one published function from a caller's id to 64 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.feature_spec import GOLDEN_TEXTS
from martlet.keys import MISSING_ID, id_value, space_salt, text_id, wrap_int64

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)

# XXH3-64, seed 0, of the UTF-8 bytes, frozen: a change of this function is a change of every stored key.
FROZEN = {"": 3244421341483603138, "a": -1817709641818812897}


@pytest.mark.parametrize(("text", "value"), FROZEN.items())
def test_text_ids_are_frozen(text: str, value: int) -> None:
    assert text_id(text) == value


def test_golden_texts_differ() -> None:
    assert len({text_id(text) for text in GOLDEN_TEXTS}) == len(GOLDEN_TEXTS)


@given(INT64)
def test_a_number_is_its_own_value(value: int) -> None:
    assert id_value(value) == value


@given(st.integers())
def test_wrapping_agrees_with_numpy(value: int) -> None:
    assert wrap_int64(value) == int(np.array([value & ((1 << 64) - 1)], np.uint64).view(np.int64)[0])


@pytest.mark.parametrize("bad", [1 << 63, -(1 << 63) - 1, True, 1.5, None])
def test_what_is_no_id_is_refused(bad: object) -> None:
    with pytest.raises(InvalidInput):
        id_value(bad)  # type: ignore[arg-type]


def test_spaces_have_salts_of_their_own() -> None:
    assert space_salt("item") != space_salt("user")
    assert space_salt("item") != text_id("item")
    assert id_value("\x00martlet:missing") == MISSING_ID
