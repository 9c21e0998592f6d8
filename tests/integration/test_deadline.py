"""Over real gRPC: a call whose deadline is over before the work begins is told so, and the work is not done."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from martlet.clock import SystemClock
from martlet.errors import DeadlinePassed
from tests.integration.test_serving import CONTEXT, ITEMS, World
from tests.integration.tiny_version import MODEL


class LeapingClock(SystemClock):
    """The machine's clock, until it leaps ahead at each look: as if every step took a minute."""

    def __init__(self) -> None:
        self.leap = 0.0
        self._ahead = 0.0

    def monotonic(self) -> float:
        self._ahead += self.leap
        return super().monotonic() + self._ahead


@pytest.fixture
async def late(tmp_path: Path) -> AsyncIterator[tuple[World, LeapingClock]]:
    clock = LeapingClock()
    world = World(tmp_path, clock)
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    yield world, clock
    clock.leap = 0.0
    await world.stop()


async def test_past_its_deadline_nothing_is_scored(late: tuple[World, LeapingClock]) -> None:
    world, clock = late
    before = set(await world.predictions())
    clock.leap = 60.0
    with pytest.raises(DeadlinePassed, match="before the work began"):
        await world.client.rank(MODEL, 1, ITEMS, CONTEXT)
    clock.leap = 0.0
    answer = await world.client.rank(MODEL, 1, ITEMS, CONTEXT)
    assert set(await world.predictions()) == before | {answer.prediction_id}, "the late call must leave no prediction"
