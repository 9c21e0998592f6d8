"""Texts become ids by one published function; these vectors hold it to its word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.normalising import signed_log, text_ids, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" ,.! ", []),
        ("Red, red wine", ["red", "red", "wine"]),
        ("\uff26\uff2f\uff2f \ufb01ne", ["foo", "fine"]),  # full-width letters, a ligature
        ("Stra\u00dfe STRASSE", ["strasse", "strasse"]),
        ("\u017b\u00f3\u0142w Z\u0307o\u0301\u0142w", ["\u017c\u00f3\u0142w"] * 2),  # composed or not
        ("\u65e5\u672c 42", ["\u65e5\u672c", "42"]),
        ("snake_case don't", ["snake_case", "don", "t"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


GOLDEN = [7471995151418550101, 7471995151418550101, 8510648425367419979, 4723511880275815658, -3505544420301503035]


def test_golden_ids() -> None:
    """What the clients of other languages must reproduce."""
    assert text_ids("Red, red wine", 2) == GOLDEN


@given(st.text(max_size=40), st.integers(1, 4))
def test_runs_are_of_words_in_a_row(text: str, longest: int) -> None:
    words = words_of(text)
    assert len(text_ids(text, longest)) == sum(max(len(words) - run + 1, 0) for run in range(1, longest + 1))
    assert words_of(" ".join(words)) == words  # normalised once is normalised


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_signed_logarithm_is_odd_and_rises(x: float) -> None:
    at = np.array([x, -x], np.float32)
    with np.errstate(over="ignore"):
        logs = signed_log(at)
    assert logs[0] == -logs[1]
    assert np.sign(logs[0]) in (np.sign(np.float32(x)), 0.0)
