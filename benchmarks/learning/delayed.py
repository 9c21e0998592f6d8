"""`python -m benchmarks.learning.delayed`: what delayed positives cost, by method (QUICK=1: a short form).

MovieLens 100K as a stream, an impression a second; positive is a film that got five stars. Real labels, made-up delays:
each item is quick or slow (by its id), and the delay of its positives is exponential, cut at the attribution window.
Each stretch is scored by what has learned the stretches before (Yang et al. 2021: train on hour t, test on t + 1).

The oracle learns true labels at once. The naive learner takes what has no positive after a short wait for a negative,
and never hears of late ones. A method's share of the gap closed = (its AUC - naive) / (oracle - naive). The informed
learner is told real negatives at once and positives when they come: what it does not close is knowledge that nobody has
in time, so a second share is taken of its gap.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.figures import Figures, Target, at_least, at_most
from benchmarks.learning.impressions import SECOND_US, Impressions, inputs, learn, movielens, write
from trainer_svc.prequential import area_under_curve, log_losses

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Size:
    """Seconds are impressions.

    Attributes:
        quick, slow: mean delay of the two kinds of items' positives, in seconds.
    """

    impressions: int
    stretch: int = 100
    window: int = 10_000
    wait: int = 250
    quick: float = 100.0
    slow: float = 4_000.0
    methods: tuple[str, ...] = ("wait", "fnw", "fnw_wait", "fnw_wait_quick", "fnc", "fnc_wait", "es_dfm")

    @property
    def burn_in(self) -> int:
        """Impressions before which nothing counts: learning begins from nothing, and knows no delays."""
        return 2 * self.window


QUICK: Final = Size(40_000, stretch=250, methods=("fnw_wait_quick", "es_dfm"))
FULL: Final = Size(100_000)
ACTIVE: Final = 943  # all users at once: as in shops and ads, one comes again and again
BASES: Final = ("oracle", "informed", "naive")
RECOMMENDED: Final = "fnw_wait_quick"


def methods(size: Size) -> dict[str, ml.Binary]:
    """Labels by name."""
    plain, wait = ml.Binary("click", f"{size.window}s"), f"{size.wait}s"
    return {
        "oracle": ml.Binary("click", "1s"),
        "informed": ml.Binary("click", f"{size.window}s", explicit=True),
        "naive": ml.Binary("click", wait),
        "wait": plain,
        "fnw": replace(plain, delayed=ml.FNW()),
        "fnw_wait": replace(plain, delayed=ml.FNW(wait)),
        "fnw_wait_quick": replace(plain, delayed=ml.FNW(wait, rate=0.5)),
        "fnc": replace(plain, delayed=ml.FNC()),
        "fnc_wait": replace(plain, delayed=ml.FNC(wait)),
        "es_dfm": replace(plain, delayed=ml.ESDFM(wait)),
    }


def delays_us(impressions: Impressions, size: Size, seed: int = 5) -> npt.NDArray[np.int64]:
    """Of each impression's positive, were it one; below the window."""
    random = np.random.default_rng(seed)
    items = np.array([request.item_ids[0] for request in impressions.requests], np.int64)
    means = np.where(items * 2_654_435_761 % 1_000 < 500, size.quick, size.slow)  # noqa: PLR2004  one half of them
    share = 1 - np.exp(-size.window * 0.98 / means)  # of the law that lies below the window: its inverse
    return np.asarray(-means * np.log1p(-random.random(len(items)) * share) * SECOND_US, np.int64)


@dataclass(frozen=True, slots=True)
class Quality:
    """Of scores against true labels, after the burn-in."""

    auc: float
    logloss: float
    bias: float

    @classmethod
    def of(cls, logits: Floats, labels: Floats) -> "Quality":
        """`bias`: predicted over actual positives."""
        predicted = 1 / (1 + np.exp(-logits))
        loss = float(log_losses(logits, labels).mean())
        return cls(area_under_curve(logits, labels), loss, float(predicted.sum() / labels.sum()))


def measure(size: Size, wanted: Mapping[str, ml.Binary], seed: int = 5) -> dict[str, Quality]:
    """Learns the stream once for each label."""
    impressions = movielens(size.impressions, ACTIVE)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        model = ml.linear("delayed", inputs=inputs(), label=methods(size)["wait"])
        delays = delays_us(impressions, size, seed)
        late = write(Path(folder) / "late", model, impressions, delays, size.stretch)
        at_once = write(Path(folder) / "at-once", model, impressions, np.zeros_like(delays), size.stretch)
        told = write(Path(folder) / "told", model, impressions, delays, size.stretch, told=True)
        logs = {"oracle": at_once, "informed": told}
        for name, label in wanted.items():
            model = ml.linear("delayed", inputs=inputs(), label=label)
            logits = learn(model, logs.get(name, late)).logits
            found[name] = Quality.of(logits[size.burn_in :], impressions.labels[size.burn_in :])
    return found


def delayed(figures: Figures, size: Size) -> None:
    """All figures."""
    labels = methods(size)
    found = measure(size, {name: labels[name] for name in (*BASES, *size.methods)})
    oracle, naive = found["oracle"], found["naive"]
    for name, quality in found.items():
        figures.add(f"delayed.{name}.auc", quality.auc, "")
        if name not in {"oracle", "naive"}:
            figures.add(f"delayed.{name}.gap_closed", _closed(quality, naive, oracle), "")
        figures.add(f"delayed.{name}.logloss_over_oracle", quality.logloss / oracle.logloss, "")
        figures.add(f"delayed.{name}.predicted_over_actual", quality.bias, "")
    best = found[RECOMMENDED]
    figures.add("delayed.gap_closed", _closed(best, naive, oracle), "", at_least(0.95))
    closable = _closed(found["informed"], naive, oracle)
    figures.add("delayed.gap_closed_of_informed", _closed(best, naive, oracle) / closable, "", at_least(0.95))
    figures.add("delayed.logloss_over_oracle", best.logloss / oracle.logloss, "", at_most(1.01))
    within = Target(0.02, "within", lambda value: abs(value - 1) <= 0.02)  # noqa: PLR2004
    figures.add("delayed.predicted_over_actual", best.bias, "", within)


def _closed(one: Quality, naive: Quality, oracle: Quality) -> float:
    return (one.auc - naive.auc) / (oracle.auc - naive.auc)


def main() -> None:
    """Prints the figures, and writes out/bench/learning_delayed.json."""
    figures = Figures()
    delayed(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning_delayed.json"))


if __name__ == "__main__":
    main()
