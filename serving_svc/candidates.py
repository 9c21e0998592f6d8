"""Which items a recommendation is made from: all that are allowed, or those that retrieval found among very many."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureBlock
from martlet.item_filter import ItemFilter, attributes_of
from serving_svc.batcher import Batcher
from serving_svc.item_filtering import filter_at
from serving_svc.item_index import ItemIndex, Offer
from serving_svc.item_shelf import ItemShelf
from serving_svc.item_store import ItemStore
from serving_svc.item_vectors import ItemVectors, Scratch, Search
from serving_svc.loader import ServableHandle
from serving_svc.retriever import Retriever

Ids = npt.NDArray[np.int64]

_SLOTS_PER_ROW: Final = 256  # searching so many items costs about what scoring one does


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may be recommended.

    Attributes:
        filter: None: all on offer.
    """

    model: str
    exclude: frozenset[ItemId]
    filter: ItemFilter | None = None


class Candidates:
    """Lives on one event loop.

    Args:
        limit: up to so many allowed items are all candidates.
        retrieved: how many are retrieved of more.
        newest: how many of the newest allowed items are candidates in any case, so that new ones are ever seen.
    """

    def __init__(
        self, items: ItemStore, retriever: Retriever, batcher: Batcher, *, limit: int, retrieved: int, newest: int
    ) -> None:
        self._items = items
        self._retriever = retriever
        self._batcher = batcher
        self._limit = limit
        self._retrieved = min(retrieved, limit)
        self._newest = newest
        self._scratch = Scratch()

    async def offer(self, handle: ServableHandle, wanted: Wanted, user: FeatureBlock, deadline: float | None) -> Offer:
        """The candidates; maybe none. `user`: one user row, laid out for this version, and no item rows."""
        servable = handle.servable
        shelf = self._items.shelf(wanted.model)
        index = self._items.index(wanted.model, servable.spec, servable.spec_digest)
        vectors = self._retriever.vectors(wanted.model, servable.spec_digest) if len(shelf) > self._limit else None
        if vectors is None:
            return _allowed_of(shelf, index.newest(self._limit), wanted)
        found = await self._searched(handle, vectors, shelf, wanted, user, deadline)
        return self._looked_up(shelf, index, found, wanted)

    async def _searched(
        self,
        handle: ServableHandle,
        vectors: ItemVectors,
        shelf: ItemShelf,
        wanted: Wanted,
        user: FeatureBlock,
        deadline: float | None,
    ) -> Ids:
        landmarks = vectors.landmarks
        rows = np.zeros(landmarks.item_ids.shape[0], np.int64)
        block = FeatureBlock(user.user_ids, user.user_numbers, landmarks.item_ids, landmarks.item_numbers, rows)
        scores = await self._batcher.predict(handle, block, deadline)
        search = Search(
            vectors=vectors,
            user=landmarks.user_vector(scores.rank),
            on_offer=shelf.on_offer,
            excluded=shelf.slots_of(wanted.exclude),
            filter=wanted.filter,
            columns=shelf.columns.views(attributes_of(wanted.filter)) if wanted.filter is not None else {},
            count=self._retrieved,
            exact=self._limit,
        )
        cost = shelf.capacity // _SLOTS_PER_ROW
        return await self._batcher.run(handle, cost, lambda: search.run(self._scratch), deadline)

    def _looked_up(self, shelf: ItemShelf, index: ItemIndex, found: Ids, wanted: Wanted) -> Offer:
        """What was found, and the newest, as they stand now: since the search began items may have gone."""
        slots = np.unique(np.concatenate([found, shelf.newest(self._newest)]))
        return index.offer(slots[_allowed(shelf, slots, wanted)])


def _allowed_of(shelf: ItemShelf, offer: Offer, wanted: Wanted) -> Offer:
    allowed = _allowed(shelf, offer.slots, wanted)
    return offer if allowed.all() else offer.rows(np.flatnonzero(allowed))


def _allowed(shelf: ItemShelf, slots: Ids, wanted: Wanted) -> npt.NDArray[np.bool_]:
    """Which of these slots hold an item that may be answered."""
    allowed = shelf.on_offer.copy()
    allowed[shelf.slots_of(wanted.exclude)] = False
    mask = allowed[slots]
    if wanted.filter is not None:
        mask &= filter_at(wanted.filter, shelf.columns.views(attributes_of(wanted.filter)), slots)
    return mask
