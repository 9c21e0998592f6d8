"""Warm-up: runs of a freshly loaded version before it may answer. Blocking; for the loader thread."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from martlet.errors import Corrupt
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.signature import Signature
from serving_svc.servable import Servable, Tensors
from serving_svc.tensor_types import TEXT, type_of

REQUESTS_KEPT = 64
ROWS_KEPT = 2048
_REQUESTS_RUN = 8
_ZERO_ROWS = (1, 32)


class RecentRequests:
    """The last few blocks of each feature spec, bounded in requests and in item rows.

    Appending and copying are atomic: one thread may add, any thread may read.
    """

    def __init__(self, kept: int = REQUESTS_KEPT, rows_kept: int = ROWS_KEPT) -> None:
        self._kept = kept
        self._rows_kept = rows_kept
        self._blocks: dict[str, deque[FeatureBlock]] = {}
        self._rows: dict[str, int] = {}

    def add(self, spec_digest: str, block: FeatureBlock) -> None:
        """Remembers a block; one that is larger than all that may be kept is not worth it."""
        if block.rows > self._rows_kept:
            return
        blocks = self._blocks.setdefault(spec_digest, deque())
        blocks.append(block)
        rows = self._rows.get(spec_digest, 0) + block.rows
        while len(blocks) > self._kept or rows > self._rows_kept:
            rows -= blocks.popleft().rows
        self._rows[spec_digest] = rows

    def of(self, spec_digest: str) -> tuple[FeatureBlock, ...]:
        """The remembered blocks, oldest first."""
        blocks = self._blocks.get(spec_digest)
        return tuple(blocks.copy()) if blocks else ()


def warm_up(servable: Servable, recent: Sequence[FeatureBlock]) -> None:
    """Runs empty requests and the last few recent ones, so that pages are mapped and memory is allotted.

    A version without features runs once, on zeros of its signature: what it gives is its own affair.

    Raises:
        Corrupt: a score is no number, or the number of scores is wrong.
    """
    if not servable.spec.features:
        signature = servable.signature
        servable.infer(zero_tensors(signature), [spec.name for spec in signature.outputs])
        return
    for block in [*(zeros(servable.spec, rows) for rows in _ZERO_ROWS), *recent[-_REQUESTS_RUN:]]:
        scores = servable.predict(block)
        if scores.logit.shape != (block.rows,) or scores.score.shape != (block.rows,):
            raise Corrupt(f"warm-up: {block.rows} rows gave logits of shape {list(scores.logit.shape)}")
        if not scores.finite:
            raise Corrupt("warm-up: the version gives scores that are not finite")


def zeros(spec: FeatureSpec, rows: int) -> FeatureBlock:
    """A block of one request with `rows` candidates: ids 0, lists empty, numbers 0."""
    layout = spec.layout
    return FeatureBlock(
        np.zeros((1, layout.user_id_columns), np.int64),
        np.zeros((1, layout.user_number_columns), np.float32),
        np.zeros((rows, layout.item_id_columns), np.int64),
        np.zeros((rows, layout.item_number_columns), np.float32),
        np.zeros(rows, np.int64),
    )


def zero_tensors(signature: Signature) -> Tensors:
    """Inputs of zeros, or empty texts; a dimension of any size is 1."""
    tensors: Tensors = {}
    for spec in signature.inputs:
        shape = [dim if isinstance(dim, int) else 1 for dim in spec.dims]
        dtype = type_of(spec.dtype).dtype
        tensors[spec.name] = np.full(shape, "", TEXT) if dtype is TEXT else np.zeros(shape, dtype)
    return tensors
