"""`martlet rollout show --watch`: the same screen again and again, in place, until Ctrl-C."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live

from martlet.clock import Clock
from martlet.errors import DeadlinePassed, MartletError, OverCapacity, Unavailable
from martlet.rollout_screen import alert, rollout_screen
from martlet.rollout_views import RolloutScreen
from martlet.tables import age

PASSING: Final = (Unavailable, DeadlinePassed, OverCapacity)
"""A registry that restarts is no reason to stop watching."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What was seen last.

    Attributes:
        seen_us: when, microseconds since 1970-01-01 UTC.
        lost: why nothing newer was seen this time, or "".
    """

    screen: RolloutScreen
    seen_us: int
    lost: str = ""


class Reader(Protocol):
    """Where looks come from."""

    async def read(self, model: str, decisions: int) -> RolloutScreen:
        """A model's rollouts with so many of the newest decisions. Raises MartletError."""
        ...


async def refreshes(
    reader: Reader, model: str, decisions: int, seconds: float, clock: Clock
) -> AsyncGenerator[Refresh, None]:
    """Looks again `seconds` after each look.

    Raises:
        MartletError: the first look failed, or the model is gone; a registry that is away later on is waited for.
    """
    seen = Refresh(await reader.read(model, decisions), clock.now_us())
    while True:
        yield seen
        await asyncio.sleep(seconds)
        try:
            seen = Refresh(await reader.read(model, decisions), clock.now_us())
        except PASSING as error:
            seen = Refresh(seen.screen, seen.seen_us, _line(error))


async def paint(looks: AsyncIterator[Refresh], to: Console, decisions: int, clock: Clock) -> None:
    """Draws each look over the one before it; on what is no terminal, below it. Ends only by being cancelled.

    On a terminal the last look stays behind when it ends.
    """
    look: Refresh | None = None
    opened, draw = _canvas(to)
    try:
        with opened:
            async for look in looks:
                draw(framed(look, to.width, clock.now_us(), decisions))
    finally:
        if look is not None and to.is_terminal:
            to.print(framed(look, to.width, clock.now_us(), decisions))


def framed(look: Refresh, width: int, now_us: int, decisions: int) -> RenderableType:
    """A look as it is drawn: with a warning above it if it is not the newest."""
    drawn = rollout_screen(look.screen, width, look.seen_us, decisions)
    if not look.lost:
        return drawn
    since = age((now_us - look.seen_us) / 1e6)
    return Group(alert("NO ANSWER", f"for {since}: {look.lost}. Below: what stood before"), drawn)


def _canvas(to: Console) -> tuple[AbstractContextManager[object], Callable[[RenderableType], None]]:
    if not to.is_terminal:
        return nullcontext(), to.print
    live = Live(console=to, screen=True, auto_refresh=False, vertical_overflow="crop")
    return live, lambda drawn: live.update(drawn, refresh=True)


def _line(error: MartletError) -> str:
    return " ".join(str(error).split())
