"""A data set as live traffic: asks for a ranking, then tells what the user thought of it."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.events import Arm, LogPosition, Outcome
from martlet.feature_encoding import Value
from martlet.replay.datasets import Dataset, Rating

MODEL = "movielens"
RECENT = 10
LIKED = 4.0


@dataclass(slots=True)
class Answers:
    """One row for each answered event, in the order of asking. Times are seconds of the monotonic clock."""

    label: list[float] = field(default_factory=list)
    logit: list[float] = field(default_factory=list)
    version: list[int] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    acknowledged_at: list[float] = field(default_factory=list)
    partition: list[str] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    requests: int = 0

    def add(
        self, label: float, logit: float, version: int, arm: Arm, times: tuple[float, float], at: LogPosition
    ) -> None:
        """One answered event with its acknowledged outcome."""
        self.label.append(label)
        self.logit.append(logit)
        self.version.append(version)
        self.live.append(arm is Arm.LIVE)
        self.answered_at.append(times[0])
        self.acknowledged_at.append(times[1])
        self.partition.append(at.partition)
        self.offset.append(at.offset)


class Users:
    """What the client knows of its users: their last liked items. They travel with each request."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._recent: dict[int, deque[int]] = {}

    def context(self, event: Rating) -> dict[str, Value]:
        """The request's context."""
        moment = time.gmtime(event.time)
        recent = list(self._recent.get(event.user, ()))[::-1]
        return {
            **self._dataset.users[event.user],
            "hour": moment.tm_hour,
            "weekday": moment.tm_wday,
            "recent_items": recent,
        }

    def remember(self, event: Rating) -> None:
        """The user has seen the item."""
        if event.rating >= LIKED:
            self._recent.setdefault(event.user, deque(maxlen=RECENT)).append(event.item)


class Traffic:
    """Replays events against serving, several at a time.

    Args:
        others: how many candidates stand beside the one that was rated.
        rate: events a second at most.
    """

    def __init__(self, client: ServingClient, dataset: Dataset, others: int, rate: float, seed: int = 3) -> None:
        self._client = client
        self._dataset = dataset
        self._users = Users(dataset)
        self._others = others
        self._rate = rate
        self._items = np.array(list(dataset.items))
        self._random = np.random.default_rng(seed)
        self.answers = Answers()

    async def run(self, events: Iterator[Rating], concurrency: int) -> None:
        """Sends all events; returns when each is answered and its outcome acknowledged, or counted as failed."""
        started, sent = time.monotonic(), 0

        async def worker() -> None:
            nonlocal sent
            for event in events:
                sent += 1
                ahead = started + sent / self._rate - time.monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                await self._one(event)

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def _one(self, event: Rating) -> None:
        self.answers.requests += 1
        try:
            answer = await self._client.rank(MODEL, event.user, self._candidates(event), self._users.context(event))
            answered_at = time.monotonic()
            outcome = Outcome("", answer.prediction_id, event.item, "rating", event.rating, 0)
            position = await self._client.record_outcomes([outcome])
        except MartletError as error:
            self.answers.failures.append(f"{type(error).__name__}: {error}")
            return
        self._users.remember(event)
        logit = next(item.logit for item in answer.items if item.item_id == event.item)
        times = (answered_at, time.monotonic())
        self.answers.add(float(event.rating >= LIKED), logit, answer.version, answer.arm, times, position)

    def _candidates(self, event: Rating) -> Mapping[int | str, Mapping[str, Value]]:
        beside = self._random.choice(self._items, self._others, replace=False).tolist()
        return {item: self._dataset.items[item] for item in dict.fromkeys([event.item, *beside])}
