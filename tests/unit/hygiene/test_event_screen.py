"""Bots and near duplicates, by event time."""

from martlet.runtime.learning_config import HygieneConfig
from tests.unit.trainer.streams import SECOND, outcome
from trainer_svc.hygiene.event_screen import EventScreen

MINUTE = 60 * SECOND
BASE = 28_000_000 * MINUTE


def test_a_user_above_the_limit_is_a_bot_until_a_quiet_window_has_passed() -> None:
    screen = EventScreen(HygieneConfig(bot_events=3))
    assert [screen.is_bot(1, BASE + second * SECOND) for second in range(5)] == [False, False, False, True, True]
    assert screen.is_bot(1, BASE + MINUTE)  # the window behind it
    assert not screen.is_bot(1, BASE + 2 * MINUTE)
    assert not screen.is_bot(2, BASE)


def test_a_steady_user_at_the_limit_is_never_a_bot() -> None:
    screen = EventScreen(HygieneConfig(bot_events=3))
    for window in range(50):
        screen.advance(BASE + window * MINUTE)
        assert not any(screen.is_bot(1, BASE + window * MINUTE + second) for second in range(3))


def test_the_same_again_within_a_moment_is_a_repetition() -> None:
    screen = EventScreen(HygieneConfig(near_duplicate_ms=500))
    first = outcome("a", 1, item=7, time_us=BASE)
    soon, late = (outcome("b", 2, item=7, time_us=BASE + ms * 1000) for ms in (500, 1100))
    assert not screen.is_near_duplicate(1, first)
    assert screen.is_near_duplicate(1, soon)
    assert not screen.is_near_duplicate(1, late)
    assert screen.is_near_duplicate(1, outcome("c", 3, item=7, time_us=BASE + 900_000))  # it came late
    assert not screen.is_near_duplicate(2, first)
    assert not screen.is_near_duplicate(1, outcome("d", 1, item=8, time_us=BASE))
    assert not screen.is_near_duplicate(1, outcome("e", 1, item=7, time_us=BASE, type_="view"))
    assert not screen.is_near_duplicate(1, outcome("f", 1, item="7", time_us=BASE))


def test_what_says_nothing_any_more_is_dropped_and_the_rest_comes_back() -> None:
    settings = HygieneConfig(bot_events=3, near_duplicate_ms=500)
    screen, other = EventScreen(settings), EventScreen(settings)
    for user in range(100):
        screen.is_bot(user, BASE)
        screen.is_near_duplicate(user, outcome("a", 1, time_us=BASE))
    for _ in range(4):
        screen.is_bot(7, BASE + 5 * MINUTE)
    screen.advance(BASE + 6 * MINUTE)
    state = screen.state()
    assert state["users"].tolist() == [7]
    assert state["names"].size == 0
    other.restore(state)
    assert other.is_bot(7, BASE + 6 * MINUTE)
    assert {name: array.tolist() for name, array in other.state().items()} != {
        name: array.tolist() for name, array in state.items()
    }
