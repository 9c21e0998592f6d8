import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from examples.demo.promises import Promise
from examples.demo.report import render_report, round_ticks
from martlet.events import Arm, LogPosition
from martlet.replay.traffic import Answers
from tests.unit.demo.test_promises import summary

KEPT = [
    Promise("swaps", "120", ">= 50", kept=True),
    Promise("duration_s", "250", "<= 240", kept=False, timing=True),
    Promise("parity", "<b>1", "<= 1e-6", kept=False),
]


class Tags(HTMLParser):
    """Checks that tags close, and keeps what could load something from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(curve: list[tuple[int, float]], waits: "np.ndarray[Any, Any]") -> str:
    answers = Answers()
    for n in range(50):
        answers.add(1.0, 0.1, 1 + n // 10, Arm.PIN if n % 9 == 0 else Arm.LIVE, (n * 1.0, n + 0.1), LogPosition("p", n))
    shown = summary() | {"dataset": "<movielens>", "order": "interleaved"}
    shown["auc"]["retrained_passes"] = 2.0
    curves = {"online": curve, "frozen": curve, "retrained": curve, "freshness": waits, "answers": answers}
    return render_report(shown, curves, KEPT)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    text = page([(10, 0.7), (20, 0.75)], np.linspace(100, 900, 50))
    tags = Tags()
    tags.feed(text)
    assert (tags.open, tags.links) == ([], [])
    assert text.count("<svg") == 3
    assert re.search(r"\bnan\b", text) is None


def test_what_is_shown_is_escaped() -> None:
    text = page([(10, 0.7), (20, 0.75)], np.array([5.0]))
    assert "<movielens>" not in text
    assert "&lt;movielens&gt;" in text
    assert "&lt;b&gt;1" in text


def test_kept_late_and_broken_are_told_apart() -> None:
    text = page([(10, 0.7), (20, 0.75)], np.array([5.0]))
    assert [text.count(f'class="{kind}"') for kind in ("kept", "late", "broken")] == [1, 1, 1]


def test_a_run_too_short_for_curves_says_so() -> None:
    text = page([], np.array([]))
    assert "Too few events" in text
    assert "No outcome" in text


@pytest.mark.parametrize(
    ("low", "high", "about", "ticks"),
    [(0.0, 148.0, 6, [0.0, 20, 40, 60, 80, 100, 120, 140]), (0.61, 0.79, 4, [0.65, 0.7, 0.75]), (3.0, 3.0, 5, [3.0])],
)
def test_ticks_are_round_and_inside(low: float, high: float, about: int, ticks: list[float]) -> None:
    assert round_ticks(low, high, about) == ticks
