"""A model's item vectors under one feature spec: how they are made of a version, and how they are searched."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock
from martlet.item_filter import ItemFilter
from serving_svc.item_columns import ColumnView, Mask
from serving_svc.item_filtering import filter_mask
from serving_svc.retrieval import Landmarks, nearest, solver
from serving_svc.retrieval_fit import WIDTH, Projection, fit_projection
from serving_svc.servable import Servable

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

SAMPLE: Final = 4096
LANDMARKS: Final = 128
ANCHORS: Final = 32
BASE_USERS: Final = 4


@runtime_checkable
class KnowsItemRows(Protocol):
    """A servable that can say which table rows items have. One that cannot is known by its logits alone."""

    def item_rows(self, item_ids: Ids) -> Floats:
        """float32[n, f] of int64[n, item_id_columns]."""
        ...


@dataclass(frozen=True, slots=True)
class Users:
    """User rows that items are scored for.

    Attributes:
        ids: int64[u, user_id_columns]; numbers: float32[u, user_number_columns]. At least one.
    """

    ids: Ids
    numbers: Floats

    def first(self, count: int) -> "Users":
        """At most so many of them."""
        return Users(self.ids[:count], self.numbers[:count])


@dataclass(frozen=True, slots=True)
class ItemVectors:
    """Vectors by slot. `vectors` and `ready` are written in place as items change; a search may see either state.

    Attributes:
        vectors: float32[n, WIDTH]; ready: bool[n], which slots have theirs.
        base: the users whose logits are among an item's features.
    """

    vectors: Floats
    ready: Mask
    projection: Projection
    base: Users
    landmarks: Landmarks

    @property
    def nbytes(self) -> int:
        """Memory of the vectors."""
        return self.vectors.nbytes + self.ready.nbytes

    def put(self, servable: Servable, slots: Ids, item_ids: Ids, item_numbers: Floats) -> None:
        """Gives these slots the vectors of these items. Blocks for as long as the version takes to score them."""
        self.vectors[slots] = self.projection.vectors(features_of(servable, self.base, item_ids, item_numbers))
        self.ready[slots] = True


@dataclass(frozen=True, slots=True)
class Search:
    """One search over all items, as they stood when it was made. For any thread.

    Attributes:
        on_offer: bool[capacity]; excluded: int64[e], slots.
        filter: with the columns of its attributes; None: all on offer.
        count: how many slots are wanted; up to `exact` allowed slots are all given.
    """

    vectors: ItemVectors
    user: Floats
    on_offer: Mask
    excluded: Ids
    filter: ItemFilter | None
    columns: Mapping[str, ColumnView]
    count: int
    exact: int

    def run(self, scratch: "Scratch") -> Ids:
        """The slots found, in no order."""
        allowed = self.on_offer.copy()
        allowed[self.excluded] = False
        if self.filter is not None:
            allowed &= filter_mask(self.filter, self.columns, allowed.shape[0])
            if np.count_nonzero(allowed) <= self.exact:
                return np.flatnonzero(allowed)
        n = self.vectors.ready.shape[0]
        allowed = allowed[:n] & self.vectors.ready
        return nearest(self.vectors.vectors, self.user, allowed, self.count, scratch.of(n))


class Scratch(threading.local):
    """Each thread's own memory for scores: allotting megabytes anew each time costs as much as the search."""

    def __init__(self) -> None:
        self._scores = np.empty(0, np.float32)

    def of(self, size: int) -> Floats:
        """float32[>= size], with anything in it."""
        if self._scores.shape[0] < size:
            self._scores = np.empty(size, np.float32)
        return self._scores


def features_of(servable: Servable, users: Users, item_ids: Ids, item_numbers: Floats) -> Floats:
    """What is known of items, float32[n, f]: table rows, numbers, the users' logits. Always finite."""
    logits = logits_of(servable, users, item_ids, item_numbers)
    parts = [item_numbers, logits]
    if isinstance(servable, KnowsItemRows):
        parts.append(servable.item_rows(item_ids))
    return np.nan_to_num(np.concatenate(parts, axis=1), posinf=0.0, neginf=0.0)


def logits_of(servable: Servable, users: Users, item_ids: Ids, item_numbers: Floats) -> Floats:
    """What ranks, float32[n, u], user by user: one run for each."""
    n = item_ids.shape[0]
    columns = [
        servable.predict(FeatureBlock(ids, numbers, item_ids, item_numbers, np.zeros(n, np.int64))).rank
        for ids, numbers in _one_by_one(users)
    ]
    return np.stack(columns, axis=1)


def fitted(
    servable: Servable, users: Users, item_ids: Ids, item_numbers: Floats, slots: int, random: np.random.Generator
) -> ItemVectors:
    """Vectors for so many slots, none of them ready. Blocks while the version scores the sample for the users.

    Args:
        servable: the version.
        users: recent ones; the more different, the better the fit.
        item_ids: int64[m, item_id_columns], of a sample of the items.
        item_numbers: float32[m, item_number_columns], of the same.
        slots: how many there are.
        random: chooses the landmarks among the sample.
    """
    base = users.first(BASE_USERS)
    features = features_of(servable, base, item_ids, item_numbers)
    logits = np.nan_to_num(logits_of(servable, users, item_ids, item_numbers), posinf=0.0, neginf=0.0)
    projection = fit_projection(features, logits)
    chosen = random.permutation(item_ids.shape[0])[:LANDMARKS]
    solve = solver(projection.vectors(features[chosen]))
    landmarks = Landmarks(item_ids[chosen], item_numbers[chosen], solve)
    return ItemVectors(np.zeros((slots, WIDTH), np.float32), np.zeros(slots, np.bool_), projection, base, landmarks)


def _one_by_one(users: Users) -> Iterator[tuple[Ids, Floats]]:
    for row in range(users.ids.shape[0]):
        yield users.ids[row : row + 1], users.numbers[row : row + 1]
