"""Quality of tested examples as it runs on, in fixed memory: over a window of event time, and fading.

A *window* of event time is made of panes: each takes what was tested in its part of the time, the oldest is dropped.
It answers what quality is now, whatever the traffic. The *fading* figures weigh an example that is n examples old by
alpha^n (prequential evaluation with fading factors: Gama, Sebastião and Rodrigues 2013): no memory of single examples,
no edge, the same after as many examples whatever the time.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.score_sums import BINS, SUMS, ScoreSums, figures_of, sums_of

WINDOW_US: Final = 3_600_000_000
PANES: Final = 6
FADING_EXAMPLES: Final = 20_000  # 1 / (1 - alpha): a fading mean is about as sure as one over so many examples
_NEVER: Final = -1
Arrays = dict[str, npt.NDArray[np.generic]]


class RunningQuality:
    """See the module's docstring. Not thread-safe; a function of what it was updated with, bit for bit.

    Args:
        numbers: labels are numbers, not yes or no.
        window_us: the window, at least one microsecond for each pane. What it holds reaches back between window_us less
            a pane and window_us.
        panes: of the window.
        fading_examples: 1 / (1 - alpha).
    """

    def __init__(
        self,
        *,
        numbers: bool = False,
        window_us: int = WINDOW_US,
        panes: int = PANES,
        fading_examples: float = FADING_EXAMPLES,
    ) -> None:
        self._numbers = numbers
        self._pane_us = max(1, window_us // panes)
        self._alpha = 1.0 - 1.0 / fading_examples
        bins = 0 if numbers else BINS
        self._panes = np.full(panes, _NEVER, np.int64)
        self._sums = np.zeros((panes + 1, SUMS))  # the last one fades
        self._histograms = np.zeros((panes + 1, 2, bins))

    def update(
        self,
        logits: npt.NDArray[np.floating],
        labels: npt.NDArray[np.floating],
        time_us: int,
        weights: npt.NDArray[np.floating] | None = None,
    ) -> None:
        """Adds examples, floating[n] each, that were tested at an event time; one before the newest counts as it."""
        size = logits.shape[0]
        if not size:
            return
        weights = np.ones(size) if weights is None else weights
        self._add(self._slot(time_us), sums_of(logits, labels, weights, numbers=self._numbers), 1.0)
        faded = weights * self._alpha ** np.arange(size - 1, -1, -1.0)
        self._add(-1, sums_of(logits, labels, faded, numbers=self._numbers), self._alpha**size)

    def get(self) -> dict[str, float]:
        """Figures named `window_…` and `fading_…`; one that has no value is left out."""
        newest = int(self._panes.max())
        held = self._panes > max(_NEVER, newest - self._panes.shape[0])
        window = ScoreSums(self._sums[:-1][held].sum(axis=0), self._histograms[:-1][held].sum(axis=0))
        fading = ScoreSums(self._sums[-1], self._histograms[-1])
        named = {"window": window, "fading": fading}
        return {f"{kind}_{name}": value for kind, sums in named.items() for name, value in figures_of(sums).items()}

    def state(self) -> Arrays:
        """Arrays, not copies."""
        return {"panes": self._panes, "sums": self._sums, "histograms": self._histograms}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies); one of other sizes, or none, is that of the beginning."""
        own = self.state()
        fits = all(name in state and state[name].shape == array.shape for name, array in own.items())
        for name, array in own.items():
            array[...] = state[name] if fits else (_NEVER if name == "panes" else 0)

    def _slot(self, time_us: int) -> int:
        pane = max(time_us // self._pane_us, int(self._panes.max()), 0)
        slot = pane % self._panes.shape[0]
        if self._panes[slot] != pane:
            self._panes[slot] = pane
            self._sums[slot], self._histograms[slot] = 0.0, 0.0
        return slot

    def _add(self, slot: int, found: ScoreSums, keep: float) -> None:
        self._sums[slot] = self._sums[slot] * keep + found.sums
        self._histograms[slot] = self._histograms[slot] * keep + found.histogram
