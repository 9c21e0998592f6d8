"""Simulated labels in whole sessions: arrays [runs, sessions, labels of a session], float64."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SESSION = 10
ERROR = 0.29
"""Deviation of a version's error in logits; with the labels' spread it gives sd(D) of .1 and less."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a run sees: logits of the version and of the pin, and labels: float64[runs, sessions, SESSION]."""

    version: Array
    pin: Array
    label: Array


def _errors(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """A version's error in logits; half of its variance is the session's, so labels of a session cluster."""
    session = rng.standard_normal((*shape[:2], 1))
    errors: Array = ERROR * np.sqrt(0.5) * (session + rng.standard_normal(shape))
    return errors


def _truth(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    logits = -1.6 + 0.7 * rng.standard_normal(shape) + 0.6 * rng.standard_normal((*shape[:2], 1))
    return logits, (rng.random(shape) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)


def equal(rng: np.random.Generator, runs: int, sessions: int, shift: float = 0.0) -> Labels:
    """Two versions, unequal and equally good, but for a shift of all logits of the judged one."""
    shape = (runs, sessions, SESSION)
    truth, label = _truth(rng, shape)
    return Labels(truth + shift + _errors(rng, shape), truth + _errors(rng, shape), label)


def exaggerating(rng: np.random.Generator, runs: int, sessions: int, factor: float) -> Labels:
    """The version makes the pin's errors times a factor."""
    shape = (runs, sessions, SESSION)
    truth, label = _truth(rng, shape)
    error = _errors(rng, shape)
    return Labels(truth + factor * error, truth + error, label)


def shifted(rng: np.random.Generator, runs: int, sessions: int, shift: float) -> Labels:
    """A pin that is right, and a version that is shifted and else nearly the same."""
    shape = (runs, sessions, SESSION)
    truth, label = _truth(rng, shape)
    return Labels(truth + shift + 0.1 * _errors(rng, shape), truth, label)


def choosing(
    rng: np.random.Generator, runs: int, sessions: int, share: float, worse: float, choices: int = 8
) -> tuple[Labels, Flags]:
    """Each arm shows what it likes best: the winner's curse. Also returns which sessions the version served."""
    shape = (runs, sessions, SESSION)
    served = rng.random((runs, sessions)) < share
    best = np.full(shape, -np.inf)
    chosen = [np.zeros(shape) for _ in range(3)]
    for _ in range(choices):
        truth = -1.6 + 0.7 * rng.standard_normal(shape)
        logits = (truth, truth + np.sqrt(1.0 + worse) * _errors(rng, shape), truth + _errors(rng, shape))
        liked = np.where(served[:, :, None], logits[1], logits[2])
        for kept, one in zip(chosen, logits, strict=True):
            np.copyto(kept, one, where=liked > best)
        best = np.maximum(best, liked)
    truth, version, pin = chosen
    label = (rng.random(shape) < 1.0 / (1.0 + np.exp(-truth))).astype(np.float64)
    return Labels(version, pin, label), served
