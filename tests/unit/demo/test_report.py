import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from examples.demo.charts import round_ticks
from examples.demo.promises import Promise
from examples.demo.report import render_report
from examples.demo.second_act import Watched
from martlet.events import Arm, LogPosition
from martlet.replay.traffic import Answers
from martlet.rollouts import EvidencePath, RolloutView
from registry_svc.journal import Decision, DecisionKind
from registry_svc.lane import Lane
from tests.unit.demo.test_promises import second

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


def view(second: int) -> RolloutView:
    path = EvidencePath("head-pin", 5, 3, 100 * second, 20 * second, 0.01, 1.1 * second, 9.9)
    return RolloutView(
        "m", 0, second, 5 + second, 3, 4, 9000, 0, False, "", 0, "", 0, 0.3 * second, 3.0, 0.0, (path,), (), ()
    )


def page(curve: list[tuple[int, float]], waits: "np.ndarray[Any, Any]") -> str:
    answers = Answers()
    for n in range(50):
        answers.add(1.0, 0.1, 1 + n // 10, Arm.PIN if n % 9 == 0 else Arm.LIVE, (n * 1.0, n + 0.1), LogPosition("p", n))
    shown = second() | {"flip_from": 500, "dataset": "<movielens>", "order": "interleaved"}
    shown["auc"]["retrained_passes"] = 2.0
    decisions = [Decision(DecisionKind.ALARM, "worse <than> the pin", 7_000_000, Lane("m"))]
    curves = {
        "online": curve, "frozen": curve, "retrained": curve, "freshness": waits, "answers": answers,
        "watched": Watched([(float(n), view(n)) for n in range(9)]), "decisions": decisions,
    }  # fmt: skip
    return render_report(shown, curves, KEPT)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    text = page([(10, 0.7), (20, 0.75)], np.linspace(100, 900, 50))
    tags = Tags()
    tags.feed(text)
    assert (tags.open, tags.links) == ([], [])
    assert text.count("<svg") == 6
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


def test_the_judge_has_its_part() -> None:
    text = page([(0, 0.5), (1, 0.6)], np.array([1.0, 2.0]))
    assert "worse &lt;than&gt; the pin" in text
    assert "The pin moved 20 times" in text
    assert "from event 500 on" in text
