"""What the `martlet` command shows of a model's rollouts: gathered from the registry, as values and as JSON."""

import asyncio
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from martlet.client.registry import RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.errors import Unavailable
from martlet.rollouts import RolloutView
from martlet.versions import AspiredSet, AspiredVersion
from martlet.views import POLICY, Places, plain

TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class RolloutScreen:
    """A model's rollouts as they stood at a moment.

    Attributes:
        versions: its aspired set: who answers how much.
        salt: the traffic split's.
        lease_ms: how long replicas trust the set without hearing of it again.
    """

    view: RolloutView
    versions: tuple[AspiredVersion, ...]
    salt: str
    lease_ms: int

    def aspired(self, version: int) -> AspiredVersion | None:
        """A version as replicas are told of it, or None if they are not."""
        return next((one for one in self.versions if one.version == version), None)


def standings(view: RolloutView) -> dict[int, tuple[str, ...]]:
    """What each version that counts is now, the lane before the structural road; a version may be several things."""
    phase = f"structural, in {view.structural_phase}" if view.structural_phase else "structural"
    found: dict[int, tuple[str, ...]] = {}
    for version, what in (
        (view.head_version, "head"),
        (view.pin_version, "pin"),
        (view.candidate_version, "candidate"),
        (view.structural_version, phase),
        (view.waiting_version, "structural, waiting"),
    ):
        if version:
            found[version] = (*found.get(version, ()), what)
    return found


def document(screen: RolloutScreen) -> dict[str, Any]:
    """The screen as one JSON document."""
    view = screen.view
    digests = {one.version: one.digest for one in screen.versions}
    return {
        **plain(asdict(view)),
        "head_digest": digests.get(view.head_version, ""),
        "pin_digest": digests.get(view.pin_version, ""),
        "lease_ms": screen.lease_ms,
        "salt": screen.salt,
        "versions": [plain(asdict(version)) for version in screen.versions],
    }


class RolloutReader:
    """Asks one registry as often as one likes, over the same connections. Async context manager."""

    def __init__(self, places: Places) -> None:
        self._registry = RegistryClient(places.registry, places.token, POLICY, places.tls)
        self._rollouts = RolloutClient(places.registry, places.token, POLICY, places.tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._registry.close(), self._rollouts.close())

    async def read(self, model: str, decisions: int) -> RolloutScreen:
        """A model's rollouts with so many of the newest decisions.

        Raises:
            NotFound: no such model.
            Unavailable: the registry does not answer.
        """
        view, aspired = await self._view_and_set(model, decisions)
        for _ in range(TRIES - 1):
            if _agree(view, aspired):
                break
            view, aspired = await self._view_and_set(model, decisions)
        own = next((one for one in aspired.models if one.model == model), None)
        if own is None:
            return RolloutScreen(view, (), "", aspired.lease_ms)
        return RolloutScreen(view, own.versions, own.salt, aspired.lease_ms)

    async def _view_and_set(self, model: str, decisions: int) -> tuple[RolloutView, AspiredSet]:
        # One after the other: an unknown model ends here, and no half-read stream is left behind.
        return await self._rollouts.show(model, decisions), await self._aspired(model)

    async def _aspired(self, model: str) -> AspiredSet:
        """The watched stream's first set."""
        try:
            async with asyncio.timeout(POLICY.timeout), aclosing(self._registry.watch([model], "")) as sets:
                async for aspired in sets:
                    return aspired
        except TimeoutError:
            raise Unavailable("the registry sent no aspired set") from None
        raise Unavailable("the registry ended the stream without an aspired set")


def _agree(view: RolloutView, aspired: AspiredSet) -> bool:
    """Whether both tell of the same moment; a decision may come between two calls."""
    return any(
        (one.model, one.epoch, one.revision) == (view.model, view.epoch, view.revision) for one in aspired.models
    )
