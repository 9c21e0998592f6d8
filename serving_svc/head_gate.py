"""The gate before the live lane: what a new head says of recent requests, against what the lane says of them now.

It measures on this replica, with the version as it would answer, so nothing a publisher claims can mislead it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from martlet.answer_shift import logit_shifts, number_shifts
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
        max_mean_shift: most mean |logit difference|; of a regression in standard deviations of what is answered now.

    Raises:
        Conflict: the shift is too large, or a logit of the new version is not finite.
    """
    if new.spec_digest != current.spec_digest or sum(block.rows for block in recent) < LEAST_ROWS:
        return
    block = concatenate(recent)
    answer, before = new.predict(block), current.predict(block).logit
    logits = answer.logit
    if not np.isfinite(logits).all():
        raise Conflict("would give recent requests logits that are not finite")
    comparable = np.isfinite(before)
    if not comparable.any():
        return
    is_number = np.array_equal(answer.score, logits)  # of a regression both are the number
    shifts = (number_shifts if is_number else logit_shifts)(before[comparable], logits[comparable])
    shift, unit = float(shifts.mean()), "standard deviations" if is_number else "logits"
    if shift > max_mean_shift:
        raise Conflict(f"would move recent answers by {shift:.1f} {unit} on average; the limit is {max_mean_shift:g}")
