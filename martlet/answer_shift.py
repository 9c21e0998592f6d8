"""How far a version would move recent answers: what the gates before the live lane look at. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_LEAST_SHARE: Final = 0.01


def logit_shifts(given: Floats, logits: Floats) -> npt.NDArray[np.float64]:
    """|difference| of log-odds, float64[n]."""
    return np.asarray(np.abs(logits.astype(np.float64) - given))


def number_shifts(given: Floats, values: Floats) -> npt.NDArray[np.float64]:
    """|difference| of numbers, float64[n], in standard deviations of what was given.

    Seconds and stars have no unit in common with log-odds, so the spread of the answers is the unit; of answers that
    hardly vary a hundredth of their size is. Answers that are all 0 are no measure: then nothing has moved.
    """
    before = given.astype(np.float64)
    unit = max(float(before.std()), _LEAST_SHARE * float(np.sqrt((before**2).mean())))
    return np.abs(values - before) / unit if unit else np.zeros(before.shape)
