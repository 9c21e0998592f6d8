"""Retrieval: from very many items to a few hundred that the ranker may like best. Pure.

Any model's ranker is copied by a bilinear form: each item has a short vector, made when nobody waits (see
`serving_svc.retrieval_fit`), and the user's vector is found at request time by asking the answering version itself. It
scores a fixed sample of items, the *landmarks*; the user's vector is the ridge regression of those logits on the
landmarks' vectors. So nothing about the network, or about where the user's values enter it, has to be known, and the
user's side is always as new as the version that answers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from serving_svc.item_columns import Mask

Floats = npt.NDArray[np.float32]

RIDGE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The items that a user is asked about.

    Attributes:
        item_ids: int64[m, item_id_columns]; item_numbers: float32[m, item_number_columns].
        solve: float32[d, m], from the landmarks' logits, less their mean, to the user's vector.
    """

    item_ids: npt.NDArray[np.int64]
    item_numbers: Floats
    solve: Floats

    def user_vector(self, logits: Floats) -> Floats:
        """float32[d], from what the ranker says of the landmarks, float32[m]."""
        return np.asarray(self.solve @ (logits - logits.mean()), np.float32)


def solver(vectors: Floats) -> Floats:
    """`Landmarks.solve` for the landmarks' vectors, float32[m, d]: (X'X + λI)⁻¹X' of the centred ones."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred
    penalty = RIDGE * max(float(np.trace(gram)), 1e-12) / gram.shape[0]
    return np.linalg.solve(gram + penalty * np.eye(gram.shape[0]), centred.T).astype(np.float32)


def nearest(vectors: Floats, user: Floats, allowed: Mask, count: int, scratch: Floats) -> npt.NDArray[np.int64]:
    """The slots of the `count` highest products among the allowed ones, in no order, int64[<= count].

    Args:
        vectors: float32[n, d], contiguous.
        user: float32[d].
        allowed: bool[n].
        count: how many are wanted.
        scratch: float32[>= n]; overwritten.
    """
    scores = scratch[: vectors.shape[0]]
    np.matmul(vectors, user, out=scores)
    if allowed.all():
        return _highest(scores, count)
    slots = np.flatnonzero(allowed)  # put together, since a partition of mostly equal numbers is slow
    return slots[_highest(scores[slots], count)]


def _highest(scores: Floats, count: int) -> npt.NDArray[np.int64]:
    if count >= scores.shape[0]:
        return np.arange(scores.shape[0])
    return np.argpartition(scores, scores.shape[0] - count)[scores.shape[0] - count :]
