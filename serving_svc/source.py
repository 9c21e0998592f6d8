"""Where this replica learns what is aspired: the registry's watched stream.

`receive` is the rule, pure; `RegistrySource` is the hand that watches.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from martlet.clock import Clock
from martlet.errors import MartletError
from martlet.versions import AspiredModel, AspiredSet

_log = logging.getLogger(__name__)

FIRST_SET_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """What is held for one model.

    Attributes:
        lease_until: monotonic seconds; the live lane may be used before it.
    """

    aspired: AspiredModel
    lease_until: float


def receive(held: Mapping[str, Held], received: AspiredSet, now: float) -> dict[str, Held]:
    """What is held after a set arrived at monotonic time `now`.

    The highest (epoch, revision) is kept; the same again renews the lease; an older one does neither: it comes from a
    registry that does not know what this replica knows. A model that a set does not name keeps its versions but not its
    lease: models are not withdrawn, so it can only mean a lost catalog, and the pin keeps answering.
    """
    after = dict(held)
    for aspired in received.models:
        known = held.get(aspired.model)
        lease_until = now + received.lease_ms / 1000
        if known is None or _order(aspired) > _order(known.aspired):
            after[aspired.model] = Held(aspired, lease_until)
        elif _order(aspired) == _order(known.aspired):
            after[aspired.model] = Held(known.aspired, lease_until)
    return after


def _order(aspired: AspiredModel) -> tuple[int, int]:
    return aspired.epoch, aspired.revision


class Watch(Protocol):
    """The part of a registry client that a source needs."""

    def watch(self, models: tuple[str, ...], replica: str) -> AsyncIterator[AspiredSet]:
        """Full sets, until the stream breaks."""
        ...


class RegistrySource:
    """Watches the registry for ever and tells a target what changed. Lives on one event loop.

    Calls `aspire` once for each new (epoch, revision) of a model, and `synced` after each set.
    """

    def __init__(
        self,
        registry: Watch,
        replica: str,
        clock: Clock,
        *,
        aspire: Callable[[AspiredModel], None],
        synced: Callable[[], None],
        retry_seconds: float = 0.5,
    ) -> None:
        self._registry = registry
        self._replica = replica
        self._clock = clock
        self._aspire = aspire
        self._synced = synced
        self._retry_seconds = retry_seconds
        self._held: dict[str, Held] = {}
        self._heard = clock.monotonic()

    @property
    def silence_seconds(self) -> float:
        """Since a set came last; before the first, since this was made. From any thread."""
        return self._clock.monotonic() - self._heard

    def leases(self) -> dict[str, bool]:
        """Whether each model's live lane may be used now. From any thread."""
        return {model: self.lease_open(model) for model in self._held.copy()}

    def lease_open(self, model: str) -> bool:
        """Whether the model's live lane may be used now. Cheap: asked on every request."""
        held = self._held.get(model)
        return held is not None and self._clock.monotonic() < held.lease_until

    async def run(self) -> None:
        """Watches until cancelled; when the stream breaks or falls silent it is opened again.

        A registry sends its set again within each lease. One that does not hangs, and another may not.
        """
        while True:
            try:
                await self._watch()
            except TimeoutError:
                _log.warning("the registry says nothing any more, asking again")
            except (MartletError, OSError) as error:
                _log.warning("the registry cannot be watched, trying again: %s", error)
            await asyncio.sleep(self._retry_seconds)

    async def _watch(self) -> None:
        sets, patience = self._registry.watch((), self._replica), FIRST_SET_SECONDS
        while (received := await asyncio.wait_for(anext(sets, None), patience)) is not None:
            self.accept(received)
            patience = received.lease_ms / 1000

    def accept(self, received: AspiredSet) -> None:
        """Takes one set in."""
        now = self._heard = self._clock.monotonic()
        before, self._held = self._held, receive(self._held, received, now)
        for model, held in self._held.items():
            known = before.get(model)
            if known is None or _order(known.aspired) != _order(held.aspired):
                self._aspire(held.aspired)
        self._synced()
