"""The second act: three faults, planted at their hour, and what the rollout looked like meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from examples.demo.faulty_trainer import Flip
from examples.demo.sabotage import Saboteur
from martlet.client.rollout import RolloutClient
from martlet.errors import MartletError
from martlet.replay.traffic import MODEL, Traffic
from martlet.rollouts import RolloutView
from martlet.versions import VersionRecord

T = TypeVar("T")

CORRUPT_AT: Final = 0.2
TENFOLD_AT: Final = 0.35
FLIP_AT: Final = 0.5
FLIPPED: Final = 5_000
SHIFT_AT: Final = 0.7
SHIFT: Final = 0.15
SHARES: Final = {"half": 0.5, "flip": 1.0}
# For `--sabotage flip`: the gates only look on, so that the judge is on its own.
NO_GATE: Final = {"MARTLET_REGISTRY_MAX_MEAN_LOGIT_SHIFT": "1e9", "MARTLET_SERVING_MAX_MEAN_LOGIT_SHIFT": "1e9"}


@dataclass(slots=True)
class Planted:
    """What was offered to the registry; None: it was not."""

    corrupt: VersionRecord | None = None
    tenfold: VersionRecord | None = None
    shifted: VersionRecord | None = None


@dataclass(slots=True)
class Watched:
    """The rollout over time: seconds of the monotonic clock, and the view."""

    views: list[tuple[float, RolloutView]] = field(default_factory=list)


def flip_of(sabotage: str, events: int, seed: int) -> Flip | None:
    """The labels' fault of a sabotage."""
    share = SHARES.get(sabotage)
    return None if share is None else Flip(share, int(FLIP_AT * events), FLIPPED, seed)


async def plant(saboteur: Saboteur, traffic: Traffic, events: int, sabotage: str) -> Planted:
    """Offers each fault at its hour. Without sabotage only the damaged artifact, which belongs to the first act."""
    planted = Planted()

    async def at(share: float, act: Callable[[], Awaitable[T]]) -> T:
        while traffic.answers.requests < share * events:  # noqa: ASYNC110  what it waits for is traffic
            await asyncio.sleep(0.05)
        return await act()

    planted.corrupt = await at(CORRUPT_AT, saboteur.corrupt)
    if sabotage == "half":
        planted.tenfold = await at(TENFOLD_AT, saboteur.tenfold)
        planted.shifted = await at(SHIFT_AT, lambda: saboteur.shifted(SHIFT))
    return planted


async def watch(rollouts: RolloutClient, watched: Watched) -> None:
    """Looks at the rollout until it is cancelled."""
    while True:
        with contextlib.suppress(MartletError):  # before the first version there is nothing to show
            watched.views.append((time.monotonic(), await rollouts.show(MODEL, 0)))
        await asyncio.sleep(0.5)
