"""The load: rankings and recommendations with what came of them, at a fixed rate, through Martlet's own client."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from random import Random
from typing import Final

from benchmarks.operations.fault_ledger import Asked, Ledger, Told
from benchmarks.training.crash_model import MODEL
from martlet.client.answer import Answer
from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.events import Outcome
from martlet.feature_encoding import ItemId, Value

FIRST_ITEM: Final = 1_000_000  # events' own items; those on offer to everybody are below
ON_OFFER: Final = 50
USERS: Final = 200
RECOMMENDED: Final = 0.25  # so many of the requests are recommendations, of which nothing comes
WANTED: Final = 5
IN_FLIGHT: Final = 400


class Load:
    """Lives on one event loop; bounded by what is in flight.

    Args:
        clock: seconds of the run.
    """

    def __init__(self, target: str, seed: int, clock: Callable[[], float]) -> None:
        self._client = ServingClient(target)
        self._dice = Random(seed)  # noqa: S311  made-up users are no secret
        self._clock = clock
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.ledger = Ledger()

    async def offer_items(self) -> None:
        """Puts the common items on offer; again until a replica takes them."""
        items: dict[ItemId, dict[str, Value]] = {
            item: {"item.price": float(item % 9)} for item in range(1, ON_OFFER + 1)
        }
        while True:
            with contextlib.suppress(MartletError):
                await self._client.upsert_items(MODEL.name, items)
                return
            await asyncio.sleep(0.2)

    async def run(self, rate: float, until: Callable[[], bool]) -> None:
        """Sends at the rate, whatever comes back, and waits for what is in flight."""
        begun, sent = time.monotonic(), 0
        while not until():
            due = int((time.monotonic() - begun) * rate)
            while sent < due:
                sent += 1
                if len(self._tasks) < IN_FLIGHT:
                    self._send()
            await asyncio.sleep(0.5 / rate)
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _send(self) -> None:
        self._number += 1
        recommends = self._dice.random() < RECOMMENDED
        task = asyncio.create_task(self._recommend() if recommends else self._visit(self._number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recommend(self) -> None:
        user, sent_s = self._dice.randrange(USERS), self._clock()
        try:
            answer = await self._client.recommend(MODEL.name, user, WANTED)
        except MartletError as error:
            self._note(sent_s, error)
            return
        self._note(sent_s, answer)

    async def _visit(self, number: int) -> None:
        """A ranking, and an outcome about an item that no other event is about."""
        own, user, sent_s = FIRST_ITEM + number, self._dice.randrange(USERS), self._clock()
        value = float(self._dice.choice((1, 5)))
        beside = [self._dice.randint(1, ON_OFFER) for _ in range(2)]
        candidates: dict[ItemId, dict[str, Value]] = {
            item: {"item.price": float(item % 9)} for item in dict.fromkeys((own, *beside))
        }
        try:
            answer = await self._client.rank(MODEL.name, user, candidates)
        except MartletError as error:
            self._note(sent_s, error)
            return
        self._note(sent_s, answer)
        await self._tell(Outcome(event_of(own), answer.prediction_id, own, "rating", value, 0))

    async def _tell(self, outcome: Outcome) -> None:
        sent_s = self._clock()
        try:
            await self._client.record_outcomes([outcome])
        except MartletError as error:
            self.ledger.told.append(Told(outcome.event_id, sent_s, _said(error)))
            return
        self.ledger.told.append(Told(outcome.event_id, sent_s))

    def _note(self, sent_s: float, came: Answer | MartletError) -> None:
        took_s = self._clock() - sent_s
        if isinstance(came, MartletError):
            self.ledger.asked.append(Asked(sent_s, took_s, _said(came)))
        else:
            self.ledger.asked.append(Asked(sent_s, took_s, "", came.version, came.digest))


def event_of(item: int) -> str:
    """The id of the event about an item."""
    return f"e-{item}"


def item_of(event: str) -> int:
    """And back."""
    return int(event.removeprefix("e-"))


def _said(error: MartletError) -> str:
    return f"{type(error).__name__}: {error}"[:200]
