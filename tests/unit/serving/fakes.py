"""Toy versions, named after what they stage."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt

from martlet.errors import OverCapacity
from martlet.events import LogPosition
from martlet.feature_encoding import RankInput, encode, signature_of
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.manifest import spec_digest
from martlet.signature import Signature
from martlet.versions import AspiredModel, AspiredVersion, Role
from serving_svc.loader import Loader, Trial
from serving_svc.manager import Manager, Swap
from serving_svc.servable import Scores, Servable, ServableId, Tensors
from serving_svc.warm_up import warm_up
from tests.unit.core.samples import SPEC

MODEL = "shop"


class SumServable:
    """logit = sum of the item's ids + its price (missing: 0) + the version's shift; score = logit / 2."""

    spec: FeatureSpec = SPEC
    spec_digest: str = spec_digest(SPEC)
    learned_us: int = 0
    signature: Signature = signature_of(SPEC)

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift
        self.batches: list[int] = []

    def predict(self, block: FeatureBlock) -> Scores:
        self.batches.append(block.rows)
        prices = np.nan_to_num(block.item_numbers).sum(axis=1)
        logit = (block.item_ids.sum(axis=1) + prices + self.shift).astype(np.float32)
        return Scores(logit / np.float32(2), logit)

    def infer(self, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]) -> Tensors:
        logit = (inputs["item"].astype(np.float32) + np.float32(self.shift)).astype(np.float32)
        return dict.fromkeys(outputs, logit)


class NanServable(SumServable):
    """Gives scores that are no numbers, from the `after`-th run on."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self._after = after

    def predict(self, block: FeatureBlock) -> Scores:
        scores = super().predict(block)
        if len(self.batches) > self._after:
            scores.logit[-1] = np.nan
        return scores

    def infer(self, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]) -> Tensors:
        return {name: np.full(inputs["item"].shape, np.nan, np.float32) for name in outputs}


class RaisingServable(SumServable):
    """Passes warm-up, then raises."""

    def predict(self, block: FeatureBlock) -> Scores:
        if len(self.batches) >= 2:
            raise RuntimeError("the runtime gave up")
        return super().predict(block)


class FakeLoader:
    """Gives a servable, and counts."""

    def __init__(self, servable: Servable | None = None) -> None:
        self.servable = servable or SumServable()
        self.loads = 0
        self.unloads = 0

    def load(self) -> Servable:
        self.loads += 1
        return self.servable

    def unload(self) -> None:
        self.unloads += 1


class SlowLoader(FakeLoader):
    """Loads when it is let go."""

    def __init__(self, servable: Servable | None = None) -> None:
        super().__init__(servable)
        self.go = threading.Event()

    def load(self) -> Servable:
        assert self.go.wait(10)
        return super().load()


class BrokenLoader(FakeLoader):
    """Raises, the first `times` times."""

    def __init__(self, error: Exception, times: int = 1_000_000) -> None:
        super().__init__()
        self._error = error
        self._times = times

    def load(self) -> Servable:
        self.loads += 1
        if self.loads <= self._times:
            raise self._error
        return self.servable


class Shelf:
    """Loaders by version number; those not staged give a `SumServable` shifted by their number."""

    def __init__(self, staged: Mapping[int, Loader] | None = None) -> None:
        self.staged: dict[int, Loader] = dict(staged or {})
        self.made: list[int] = []

    def loader(self, servable: ServableId) -> Loader:
        self.made.append(servable.version)
        return self.staged.setdefault(servable.version, FakeLoader(SumServable(servable.version)))


class MemoryWriter:
    """An event log in memory. `hold`: appends are not durable until `release`."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.payloads: list[bytes] = []
        self.limit = limit
        self.hold = False
        self._held: list[tuple[Future[LogPosition], LogPosition]] = []

    def offer(self, payload: bytes) -> bool:
        if len(self.payloads) >= self.limit:
            return False
        self.payloads.append(payload)
        return True

    def append(self, payload: bytes) -> "Future[LogPosition]":
        future: Future[LogPosition] = Future()
        if not self.offer(payload):
            future.set_exception(OverCapacity("the queue is full"))
            return future
        self._held.append((future, LogPosition("memory", len(self.payloads))))
        if not self.hold:
            self.release()
        return future

    def waiting(self) -> int:
        return len(self._held)

    def release(self) -> None:
        for future, position in self._held:
            future.set_result(position)
        self._held.clear()

    def close(self) -> None:
        self.release()


def sid(version: int) -> ServableId:
    return ServableId(MODEL, version, f"digest-{version}")


def aspired(revision: int, *roles: tuple[Role, int, int], epoch: int = 1) -> AspiredModel:
    """A set of (role, version, weight)."""
    versions = tuple(AspiredVersion(version, f"digest-{version}", role, weight) for role, version, weight in roles)
    return AspiredModel(MODEL, epoch, revision, f"salt-{epoch}", versions)


def head_and_pin(revision: int, head: int, pin: int, weight: int = 9000, epoch: int = 1) -> AspiredModel:
    return aspired(revision, (Role.HEAD, head, weight), (Role.PIN, pin, 10_000 - weight), epoch=epoch)


def block_of(*items: int) -> FeatureBlock:
    return encode(SPEC, RankInput("user-1", {}, items, [{} for _ in items]))


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for what other tasks and threads do."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for knows nothing of the test
            await asyncio.sleep(0.001)


@asynccontextmanager
async def managed(
    shelf: Shelf,
    gate: Callable[[Servable, Servable], None] = lambda _new, _current: None,
    swapped: Callable[[Swap], None] = lambda _swap: None,
) -> AsyncIterator[Manager]:
    """A manager that is closed in order."""
    with ThreadPoolExecutor(1) as executor:
        manager = Manager(shelf, Trial(lambda servable: warm_up(servable, ()), gate), executor, swapped=swapped)
        yield manager
        await manager.close()
