"""Warm-up: runs of a freshly loaded version before it may answer. Blocking; for the loader thread."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from martlet.errors import Corrupt
from martlet.feature_spec import FeatureBlock, FeatureSpec
from serving_svc.servable import Servable

REQUESTS_KEPT = 8
_ZERO_ROWS = (1, 32)


class RecentRequests:
    """The last few blocks of each feature spec. Appending and copying are atomic, so any thread may call."""

    def __init__(self, kept: int = REQUESTS_KEPT) -> None:
        self._kept = kept
        self._blocks: dict[str, deque[FeatureBlock]] = {}

    def add(self, spec_digest: str, block: FeatureBlock) -> None:
        """Remembers a block."""
        blocks = self._blocks.get(spec_digest)
        if blocks is None:
            blocks = self._blocks.setdefault(spec_digest, deque(maxlen=self._kept))
        blocks.append(block)

    def of(self, spec_digest: str) -> tuple[FeatureBlock, ...]:
        """The remembered blocks, oldest first."""
        blocks = self._blocks.get(spec_digest)
        return tuple(blocks.copy()) if blocks else ()


def warm_up(servable: Servable, recent: Sequence[FeatureBlock]) -> None:
    """Runs empty requests and recent ones, so that pages are mapped and memory is allotted.

    Raises:
        Corrupt: a score is no number, or the number of scores is wrong.
    """
    for block in [*(zeros(servable.spec, rows) for rows in _ZERO_ROWS), *recent]:
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
