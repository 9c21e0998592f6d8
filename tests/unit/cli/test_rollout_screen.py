"""What an operator reads of a model's rollouts, and that nothing loud is lost in it."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from martlet.rollout_screen import condensed, rollout_screen
from martlet.rollout_views import RolloutScreen, document, standings
from martlet.rollouts import EvidencePath
from tests.unit.cli.samples import CALM, HEAD_PIN, NOW_US, SCREEN, decision, screen


def drawn(what: RenderableType, width: int = 120, *, colours: bool = False) -> str:
    to = Console(file=io.StringIO(), width=width, force_terminal=colours, color_system="standard" if colours else None)
    to.print(what)
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def shown(of: RolloutScreen, width: int = 120, decisions: int = 10, *, colours: bool = False) -> str:
    return drawn(rollout_screen(of, width, NOW_US, decisions), width, colours=colours)


def words(text: str) -> str:
    return " ".join(text.split())


def row(text: str, start: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(start))


def test_a_version_may_be_several_things() -> None:
    assert standings(CALM) == {
        7: ("head",),
        5: ("pin",),
        6: ("candidate",),
        8: ("structural, in shadow",),
        9: ("structural, waiting",),
    }
    one = screen(head_version=5, candidate_version=0, structural_version=0, structural_phase="", waiting_version=0)
    assert standings(one.view) == {5: ("head", "pin")}


def test_the_first_line_says_where_the_lineage_stands_and_when() -> None:
    first = shown(SCREEN).splitlines()[0]
    assert first.startswith("shop: head 7, pin 5, epoch 2, revision 9 ")
    assert first.endswith(" 22:13:20 UTC")


def test_everyone_with_a_place_stands_under_answers_with_the_live_share() -> None:
    text = shown(SCREEN)
    assert row(text, "7  head")[:4] == ["7", "head", "90", "%"]
    assert row(text, "5  pin")[:4] == ["5", "pin", "10", "%"]
    assert row(text, "8  structural, in shadow")[4] == "-"
    assert "9 structural, waiting" in words(text)


def test_each_path_shows_its_mean_with_its_sign_and_its_evidence_against_the_bound() -> None:
    text = shown(SCREEN)
    assert row(text, "head 7 vs pin 5")[5:7] == ["600", "-0.0041"]
    assert "4.2 / 9.9 alarm" in words(text)
    assert "none / 3.0 new pin" in words(text)  # a process whose wealth is gone
    assert "0.5 / 3.0 step back" in words(text)
    assert "open gap 12.2: harm" in text


def test_a_bar_is_full_exactly_if_the_bound_is_reached() -> None:
    def bar_of(evidence: float) -> str:
        path = EvidencePath("head-pin", 7, 5, 600, 120, 0.01, evidence, 9.9)
        return row(shown(screen(paths=(path,))), "head 7 vs pin 5")[7]

    assert "░" in bar_of(9.89)
    assert bar_of(9.9) == "█" * 20
    assert bar_of(0.01) == bar_of(-7.0) == "░" * 20
    assert bar_of(0.06) == "█" + "░" * 19


def test_nothing_is_minus_nothing() -> None:
    text = shown(screen(paths=(EvidencePath("head-pin", 7, 5, 600, 120, -1e-9, -1e-9, 9.9),)))
    assert row(text, "head 7 vs pin 5")[6] == "+0.0000"
    assert "0.0 / 9.9" in text
    assert "-0.0" not in text


def test_a_path_that_nobody_knows_here_is_shown_all_the_same() -> None:
    path = EvidencePath("latency", 8, 5, 70, 70, 0.25, 1.0, 4.6)
    assert "latency: 8 vs 5 70 +0.2500" in words(shown(screen(paths=(path,))))


def test_a_comparison_of_nobody_is_none() -> None:
    path = EvidencePath("head-pin", 0, 5, 0, 0, 0.0, 0.0, 9.9)
    assert "nothing is compared now" in shown(screen(paths=(path,)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"frozen": "4 alarms before the pin moved"}, "FROZEN nothing can be published until `martlet rollout thaw`"),
        ({"rewind": True}, "REWINDING no version is taken until training is back at version 7"),
        ({"alarms": 2}, "ALARMS 2 since the pin moved last"),
    ],
)
def test_what_is_wrong_comes_first_and_in_words(changes: dict[str, object], told: str) -> None:
    assert words("".join(shown(screen(**changes)).splitlines()[1:2])).startswith(told)
    assert told not in words(shown(SCREEN))


def test_what_is_awaited_is_told() -> None:
    assert "- candidate 6: its certificate" in shown(SCREEN)


def test_decisions_show_when_what_and_who() -> None:
    decisions = (
        decision(9, "pinned", "back to version 5: broken [again] (by ana)", seconds_ago=75),
        decision(8, "alarm", "versions 6 to 7 are taken back", seconds_ago=90_000),
    )
    text = words(shown(screen(decisions=decisions)))
    assert "22:12:05 1m pinned ana back to version 5: broken [again]" in text
    assert "11-13 21:13 1d alarm registry versions 6 to 7 are taken back" in text


def test_heads_in_a_row_take_one_line_and_no_alarm_drowns_in_them() -> None:
    heads = [decision(n, "head", f"version {n} after {n - 1}") for n in range(30, 10, -1)]
    alarm = decision(10, "alarm", "versions 8 to 9 are taken back")
    kept = condensed([*heads, alarm, decision(9, "head", "version 9 after 8")], 3)
    assert [one.detail for one in kept] == ["version 30 after 29 (and 19 before it)", alarm.detail, "version 9 after 8"]
    assert condensed([*heads, alarm], 1) == kept[:1]
    assert condensed([], 3) == []


LONGEST = screen(
    alarms=12,
    rewind=True,
    frozen="4 alarms before the pin moved; the last one: worse than the pin: " + "x" * 300,
    head_version=1_234_567,
    paths=(EvidencePath("head-candidate", 1_234_567, 1_234_566, 1_000_000, 200_000, -1.2345, 690.0, 9.9), HEAD_PIN),
    decisions=(decision(1, "promoted", "y" * 200 + f" (by {'z' * 400})"),),
)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("make", [lambda: SCREEN, lambda: LONGEST])
def test_no_line_is_longer_than_the_terminal_is_wide(make: Callable[[], RolloutScreen], width: int) -> None:
    text = shown(make(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "x" * 40 in text or make() is SCREEN


def test_colours_only_where_they_can_be_shown() -> None:
    assert "\x1b[" in shown(SCREEN, colours=True)
    assert "\x1b[" not in shown(SCREEN)


def test_the_document_has_no_number_that_json_does_not_know() -> None:
    told = document(SCREEN)
    assert told["paths"][1]["log_evidence"] is None
    assert (told["head_digest"], told["pin_digest"]) == ("g" * 64, "e" * 64)
    assert [one["role"] for one in told["versions"]] == ["head", "pin", "candidate", "canary"]
