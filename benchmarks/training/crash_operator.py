"""An operator who closes lanes, moves the pin and thaws at random, so that training goes back again and again."""

import asyncio
import random
import threading
from collections import Counter

from benchmarks.training.crash_model import MODEL
from martlet.client.channel import CallPolicy
from martlet.client.rollout import RolloutClient
from martlet.errors import MartletError

WHO, WHY = "ada", "a drill"


class Operator:
    """Acts until it is told to end.

    Args:
        pause_s: seconds between two actions, on average.

    Attributes:
        done: how often each action was taken.
    """

    def __init__(self, registry: str, pause_s: float, seed: int) -> None:
        self._registry = registry
        self._pause_s = pause_s
        self._dice = random.Random(seed)  # noqa: S311  a harness's choices are no secret
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.done: Counter[str] = Counter()
        self._thread.start()

    def end(self) -> None:
        """Returns once it acts no more."""
        self._ending.set()
        self._thread.join()

    async def _run(self) -> None:
        client = RolloutClient(self._registry, policy=CallPolicy(timeout=5.0, tries=1))
        while not self._ending.is_set():
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * self._pause_s)
            try:
                await self._act(client)
            except MartletError:  # nothing to close, or nobody to promote, now
                continue
        await self._thaw(client)
        await client.close()

    async def _act(self, client: RolloutClient) -> None:
        view = await client.show(MODEL.name, 0)
        if view.frozen:
            await self._thaw(client)
        elif view.candidate_version and self._dice.random() < 0.5:  # noqa: PLR2004  even chances
            await client.promote(MODEL.name, view.candidate_version, WHO, WHY)
            self.done["promoted"] += 1
        else:
            await client.abort(MODEL.name, WHO, WHY)
            self.done["closed"] += 1

    async def _thaw(self, client: RolloutClient) -> None:
        try:
            await client.thaw(MODEL.name, WHO, WHY)
        except MartletError:  # it is not frozen
            return
        self.done["thawed"] += 1
