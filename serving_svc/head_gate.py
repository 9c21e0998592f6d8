"""The gate before the live lane: what a new head says of recent requests, against what the lane says of them now.

It measures on this replica, with the version as it would answer, so nothing a publisher claims can mislead it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from martlet.errors import Conflict
from martlet.feature_encoding import concatenate
from martlet.feature_spec import FeatureBlock
from serving_svc.servable import Servable

LEAST_ROWS: Final = 32


def check_head(new: Servable, current: Servable, recent: Sequence[FeatureBlock], max_mean_shift: float) -> None:
    """Refuses a head that would move recent answers too far. Blocking: one run of each version.

    Nothing is compared across feature specs, nor on fewer than 32 item rows. Rows on which the current version gives no
    number say nothing against the new one.

    Args:
        new: the version that is to take the lane.
        current: the one whose answers it would replace.
        recent: blocks of the new version's feature spec.
        max_mean_shift: most mean |logit difference|.

    Raises:
        Conflict: the shift is too large, or a logit of the new version is not finite.
    """
    if new.spec_digest != current.spec_digest or sum(block.rows for block in recent) < LEAST_ROWS:
        return
    block = concatenate(recent)
    logits, before = new.predict(block).logit, current.predict(block).logit
    if not np.isfinite(logits).all():
        raise Conflict("would give recent requests logits that are not finite")
    comparable = np.isfinite(before)
    if not comparable.any():
        return
    shift = float(np.abs(logits - before)[comparable].mean(dtype=np.float64))
    if shift > max_mean_shift:
        raise Conflict(f"would move recent answers by {shift:.1f} logits on average; the limit is {max_mean_shift:g}")
