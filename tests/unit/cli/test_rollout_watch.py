"""Watching: again and again, through a registry that goes away and comes back."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from rich.console import Console

from martlet.clock import ManualClock
from martlet.errors import MartletError, NotFound, Unavailable
from martlet.rollout_views import RolloutScreen
from martlet.rollout_watch import Refresh, framed, paint, refreshes
from tests.unit.cli.samples import NOW_US, SCREEN, screen


class Looks:
    """A registry that answers what is staged, one answer after another; each takes five seconds."""

    def __init__(self, clock: ManualClock, *staged: RolloutScreen | MartletError) -> None:
        self._clock, self._staged = clock, list(staged)

    async def read(self, model: str, decisions: int) -> RolloutScreen:
        self._clock.advance(5)
        found = self._staged.pop(0)
        if isinstance(found, MartletError):
            raise found
        return found


def looked(*staged: RolloutScreen | MartletError) -> AsyncIterator[Refresh]:
    clock = ManualClock(NOW_US)
    return refreshes(Looks(clock, *staged), "shop", 10, 0.0, clock)


async def test_a_registry_that_is_away_is_waited_for_and_what_stood_stays() -> None:
    newer = screen(revision=10)
    looks = looked(SCREEN, Unavailable("connection\nrefused"), newer)
    first, lost, back = [await anext(looks) for _ in range(3)]
    assert first == Refresh(SCREEN, NOW_US + 5_000_000)
    assert lost == Refresh(SCREEN, NOW_US + 5_000_000, "connection refused")
    assert back == Refresh(newer, NOW_US + 15_000_000)


async def test_a_first_look_that_fails_is_an_error() -> None:
    with pytest.raises(Unavailable):
        await anext(looked(Unavailable("wrong address")))


async def test_a_model_that_is_gone_ends_the_watch() -> None:
    looks = looked(SCREEN, NotFound("no model"))
    await anext(looks)
    with pytest.raises(NotFound):
        await anext(looks)


def console(*, terminal: bool) -> Console:
    size = {"width": 80, "height": 12}
    return Console(file=io.StringIO(), force_terminal=terminal, color_system=None, _environ={}, **size)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_what_is_not_the_newest_says_so_first() -> None:
    to = console(terminal=False)
    to.print(framed(Refresh(SCREEN, NOW_US, "connection refused"), 80, NOW_US + 90_000_000, 10))
    first = " ".join(text(to).splitlines()[0].split())
    assert first == "NO ANSWER for 1m: connection refused. Below: what stood before"
    assert "22:13:20 UTC" in text(to)


async def two_looks() -> AsyncIterator[Refresh]:
    yield Refresh(screen(revision=1), NOW_US)
    yield Refresh(screen(revision=2), NOW_US)
    raise asyncio.CancelledError


async def test_on_a_terminal_each_look_is_one_screenful_and_the_last_one_stays() -> None:
    to = console(terminal=True)
    with pytest.raises(asyncio.CancelledError):
        await paint(two_looks(), to, 10, ManualClock(NOW_US))
    during, _, after = text(to).rpartition("\x1b[?1049l")  # the terminal's own screen is back
    assert "revision 1" in during
    assert "revision 2" in during
    assert "Waiting for" not in during  # line 19 of a terminal of 12 lines
    assert "revision 2" in after
    assert "Waiting for" in after


async def test_on_a_pipe_looks_follow_one_another_without_any_control_characters() -> None:
    to = console(terminal=False)
    with pytest.raises(asyncio.CancelledError):
        await paint(two_looks(), to, 10, ManualClock(NOW_US))
    assert text(to).count("Waiting for") == 2
    assert "\x1b" not in text(to)
