"""Keeps item vectors fresh, beside the requests: all of them on a schedule, those of changed items within a second.

The vectors are as old as the last refresh; nothing else is. The user's vector comes from the answering version at
request time and the ranker has the last word, so deltas between refreshes cost a little recall, never a wrong score.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.clock import Clock
from martlet.errors import NotFound, NotReady
from martlet.feature_encoding import ItemId
from serving_svc.item_store import ItemStore
from serving_svc.item_vectors import ANCHORS, SAMPLE, ItemVectors, Users, fitted
from serving_svc.loader import ServableHandle
from serving_svc.servable import Servable, ServableId
from serving_svc.traffic_split import Route
from serving_svc.warm_up import RecentRequests, zeros

_logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
REST: Final = 4.0  # a refresh that took t seconds is followed by none for 4 t: at most a fifth of a core goes into them
_RUN_ITEMS: Final = 2048
_LOOKED_AT: Final = 256  # items encoded in one turn of the event loop

Ids = npt.NDArray[np.int64]
T = TypeVar("T")


class Versions(Protocol):
    """The part of a manager that the retriever needs."""

    def route(self, model: str) -> Route:
        """The model's route as it stands."""
        ...

    def handle(self, servable: ServableId) -> ServableHandle:
        """A counted reference."""
        ...


@dataclass(slots=True)
class _Kept:
    """One model's vectors by spec digest.

    Attributes:
        due: monotonic seconds of each one's next refresh.
        changed: for each, the slots changed since its vectors were made.
    """

    vectors: dict[str, ItemVectors] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    changed: dict[str, set[int]] = field(default_factory=dict)

    def note(self, slot: int, item: ItemId | None) -> None:
        """An item came, changed or went. What went has no vector: its slot will be another's."""
        for slots in self.changed.values():
            slots.add(slot)
        for vectors in self.vectors.values():
            if item is None and slot < vectors.ready.shape[0]:
                vectors.ready[slot] = False

    def keep(self, digests: frozenset[str]) -> None:
        """Drops what belongs to other specs."""
        for kept in (self.vectors, self.due, self.changed):
            for digest in kept.keys() - digests:
                del kept[digest]


class Retriever:
    """Lives on one event loop; scores items in the executor (one thread of its own).

    Args:
        above: models with more items than this have vectors.
        refresh_seconds: all vectors of a model are made anew about this often.
    """

    def __init__(
        self,
        items: ItemStore,
        versions: Versions,
        recent: RecentRequests,
        executor: Executor,
        clock: Clock,
        collectors: CollectorRegistry,
        *,
        above: int,
        refresh_seconds: float,
    ) -> None:
        self._items = items
        self._versions = versions
        self._recent = recent
        self._executor = executor
        self._clock = clock
        self._above = above
        self._refresh_seconds = refresh_seconds
        self._models: dict[str, _Kept] = {}
        self._random = np.random.default_rng(0)
        self._took = Gauge(
            "martlet_serving_retrieval_refresh_seconds",
            "How long the last refresh of all item vectors took",
            ["model"],
            registry=collectors,
        )
        self._refreshes = Counter(
            "martlet_serving_retrieval_refreshes", "Refreshes of all item vectors", ["model"], registry=collectors
        )

    def vectors(self, model: str, spec_digest: str) -> ItemVectors | None:
        """The model's vectors under a spec; None if there are none yet."""
        kept = self._models.get(model)
        return kept.vectors.get(spec_digest) if kept else None

    async def run(self) -> None:
        """Refreshes until cancelled. What goes wrong is logged, and tried again."""
        while True:
            try:
                await self.refresh()
            except Exception:
                _logger.exception("item vectors could not be refreshed")
            await asyncio.sleep(TICK_SECONDS)

    async def refresh(self) -> None:
        """Makes what is due."""
        for model in self._items.models():
            if len(self._items.shelf(model)) <= self._above:
                continue
            handles = list(self._handles(model))
            try:
                for handle in handles:
                    await self._refresh(model, handle.servable)
            finally:
                for handle in handles:
                    handle.leave()

    def _handles(self, model: str) -> Iterator[ServableHandle]:
        """Of the head, else the pin, for each feature spec in use."""
        try:
            route = self._versions.route(model)
        except (NotFound, NotReady):
            return
        digests: set[str] = set()
        for servable in (route.head, route.pin, route.canary):
            try:
                handle = self._versions.handle(servable) if servable is not None else None
            except NotReady:
                continue
            if handle is None:
                continue
            if handle.servable.spec_digest in digests:
                handle.leave()
                continue
            digests.add(handle.servable.spec_digest)
            yield handle
        self._kept(model).keep(frozenset(digests))

    async def _refresh(self, model: str, servable: Servable) -> None:
        kept, digest = self._kept(model), servable.spec_digest
        vectors = kept.vectors.get(digest)
        outgrown = vectors is not None and vectors.ready.shape[0] < self._items.shelf(model).capacity
        now = self._clock.monotonic()
        if vectors is None or outgrown or now >= kept.due[digest]:
            await self._renew(model, kept, servable)
            took = self._clock.monotonic() - now
            self._took.labels(model).set(took)
            self._refreshes.labels(model).inc()
            kept.due[digest] = self._clock.monotonic() + max(self._refresh_seconds, REST * took)
            vectors = kept.vectors[digest]
        changed = kept.changed[digest]
        slots = np.array(sorted(changed), np.int64)
        changed.clear()
        await self._put(model, servable, vectors, slots)

    async def _renew(self, model: str, kept: _Kept, servable: Servable) -> None:
        """All vectors from nothing; the old ones answer until the new ones are whole."""
        shelf, index = self._items.shelf(model), self._items.index(model, servable.spec, servable.spec_digest)
        kept.changed[servable.spec_digest] = set()
        sample = np.flatnonzero(shelf.on_offer)
        if sample.shape[0] > SAMPLE:
            sample = np.unique(sample[self._random.integers(0, sample.shape[0], SAMPLE)])
        await self._encoded(model, servable, sample)
        sample = sample[shelf.on_offer[sample]]
        values, users = index.values(sample), self._users(servable)
        capacity = shelf.capacity
        vectors = await self._run(lambda: fitted(servable, users, *values, capacity, self._random))
        await self._put(model, servable, vectors, np.flatnonzero(shelf.on_offer[:capacity]))
        for slot in kept.changed[servable.spec_digest]:
            if slot < capacity:
                vectors.ready[slot] = False
        kept.vectors[servable.spec_digest] = vectors

    async def _put(self, model: str, servable: Servable, vectors: ItemVectors, slots: Ids) -> None:
        """Makes the vectors of these slots, a few thousand at a time."""
        shelf, index = self._items.shelf(model), self._items.index(model, servable.spec, servable.spec_digest)
        for start in range(0, slots.shape[0], _RUN_ITEMS):
            part = slots[start : start + _RUN_ITEMS]
            await self._encoded(model, servable, part)
            part = part[(part < vectors.ready.shape[0]) & shelf.on_offer[part]]
            if part.shape[0]:
                await self._run(partial(vectors.put, servable, part, *index.values(part)))

    async def _encoded(self, model: str, servable: Servable, slots: Ids) -> None:
        """Encodes items a few at a time, so that requests are answered in between."""
        shelf, index = self._items.shelf(model), self._items.index(model, servable.spec, servable.spec_digest)
        for start in range(0, slots.shape[0], _LOOKED_AT):
            part = slots[start : start + _LOOKED_AT]
            if index.encode(part[shelf.on_offer[part]]):
                await asyncio.sleep(0)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _users(self, servable: Servable) -> Users:
        """The users of recent requests, the newest first; nobody in particular where there were none."""
        blocks = [*reversed(self._recent.of(servable.spec_digest)), zeros(servable.spec, 1)]
        users = Users(
            np.concatenate([block.user_ids for block in blocks]),
            np.concatenate([block.user_numbers for block in blocks]),
        )
        return users.first(ANCHORS)

    def _kept(self, model: str) -> _Kept:
        kept = self._models.get(model)
        if kept is None:
            kept = self._models[model] = _Kept()
            self._items.listen(model, kept.note)
        return kept
