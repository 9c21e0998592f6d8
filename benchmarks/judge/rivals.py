"""Shapes of the rules that rollout tools offer, tuned to the judge's own false-rollback rate: a luxury no user has.

They see what they could see: the log-loss of each arm's own answers, in windows. The shape of the rule is emulated, not
the product.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.judge.worlds import SESSION, Array, Labels
from registry_svc.evidence.loss import log_loss

WINDOW_SESSIONS = 40
Z_5_PERCENT = 1.645


@dataclass(frozen=True, slots=True)
class Rule:
    """It stops at the `failures`-th window whose statistic is beyond a threshold; 0: Mann-Whitney at the end."""

    name: str
    failures: int


RULES = (Rule("argo", 4), Rule("flagger", 5), Rule("kayenta", 0))


def windows(seen: Labels, rng: np.random.Generator, share: float) -> tuple[Array, Array]:
    """Mean loss of each window in the version's arm and in the pin's, by user: float64[runs, windows]."""
    runs, sessions, _ = seen.label.shape
    kept = sessions // WINDOW_SESSIONS * WINDOW_SESSIONS
    served = rng.random((runs, kept)) < share
    means = []
    for logits, mine in ((seen.version, served), (seen.pin, ~served)):
        loss = log_loss(logits[:, :kept], seen.label[:, :kept]).mean(axis=2)
        total = np.where(mine, loss, 0.0).reshape(runs, -1, WINDOW_SESSIONS).sum(axis=2)
        count = mine.reshape(runs, -1, WINDOW_SESSIONS).sum(axis=2)
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return means[0], means[1]


def _scores(rule: Rule, version: Array, pin: Array) -> Array:
    """Running statistic, float64[runs, windows]: the rule stops when it passes its threshold."""
    if rule.failures:
        ratio = np.nan_to_num(version / pin, nan=0.0)
        largest = np.full((*ratio.shape, rule.failures), -np.inf)
        held = np.full((len(ratio), rule.failures), -np.inf)
        for window in range(ratio.shape[1]):
            held = np.sort(np.concatenate([held, ratio[:, window : window + 1]], axis=1), axis=1)[:, 1:]
            largest[:, window] = held
        return largest[:, :, 0]
    both = np.concatenate([version, pin], axis=1)
    both = np.where(np.isnan(both), np.nanmedian(both, axis=1, keepdims=True), both)
    ranks = both.argsort(axis=1).argsort(axis=1)[:, : version.shape[1]].sum(axis=1)
    scores = np.full(version.shape, -np.inf)
    scores[:, -1] = ranks
    return scores


def compare(healthy: tuple[Array, Array], bad: tuple[Array, Array], rate: float) -> dict[str, tuple[float, float]]:
    """Of each rule at that false-rollback rate: power and restricted mean delay in labels."""
    answer = {}
    for rule in RULES:
        threshold = float(np.quantile(_scores(rule, *healthy)[:, -1], 1.0 - rate))
        stopped: npt.NDArray[np.bool_] = _scores(rule, *bad) > threshold
        caught = stopped.any(axis=1)
        first = np.where(caught, stopped.argmax(axis=1) + 1, stopped.shape[1])
        answer[rule.name] = (float(caught.mean()), float(first.mean()) * WINDOW_SESSIONS * SESSION)
    return answer


def naive(seen: Labels, looks_from: int = 20) -> npt.NDArray[np.bool_]:
    """Which runs are stopped by a z-test at 5 % on loss, absolute and squared error.

    It looks after every session and takes labels as independent, as a dashboard does.
    """
    chance, other = (1.0 / (1.0 + np.exp(-logits)) for logits in (seen.version, seen.pin))
    metrics = (
        log_loss(seen.version, seen.label) - log_loss(seen.pin, seen.label),
        np.abs(chance - seen.label) - np.abs(other - seen.label),
        (chance - seen.label) ** 2 - (other - seen.label) ** 2,
    )
    stopped = np.zeros(len(seen.label), dtype=bool)
    count = np.arange(1, seen.label.shape[1] + 1) * SESSION
    for value in metrics:
        mean = value.sum(axis=2).cumsum(axis=1) / count
        square = (value * value).sum(axis=2).cumsum(axis=1) / count
        z = mean / np.sqrt(np.maximum(square - mean * mean, 1e-12) / count)
        stopped |= (z[:, looks_from:] > Z_5_PERCENT).any(axis=1)
    return stopped
