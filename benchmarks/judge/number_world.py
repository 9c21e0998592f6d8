"""Labels that are numbers, in [0, 1], with versions whose outputs are off by errors of half a session's own making."""

import numpy as np
import numpy.typing as npt

from martlet.events import Arm
from martlet.evidence import EvidenceRow

Floats = npt.NDArray[np.float64]
SESSION = 10
SPREAD = 4.0
"""Labels are Beta(m · spread, (1 - m) · spread): mean m, variance m (1 - m) / (spread + 1)."""


def errors(rng: np.random.Generator, count: int, deviation: float) -> Floats:
    """Half of their variance is the session's."""
    session = np.repeat(rng.standard_normal(count // SESSION), SESSION)
    return deviation * np.sqrt(0.5) * (session + rng.standard_normal(count))


def number_rows(
    seed: int,
    count: int,
    *,
    pin: float = 0.05,
    version: float = 0.05,
    bias: float = 0.0,
    weight: int = 0,
    head: int = 0,
) -> list[EvidenceRow]:
    """Pin 1 and version 2 with errors of these deviations; version 2 is off by the bias, too. Outputs stay in range."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(0.3, 0.7, count)
    labels = rng.beta(means * SPREAD, (1 - means) * SPREAD)
    own = means + bias + errors(rng, count, version)
    other = means + errors(rng, count, pin)
    return [
        EvidenceRow(
            user=i // SESSION,
            time_us=i * 60_000_000,
            epoch=0,
            arm=Arm.CANARY if (i // SESSION * 7919) % 10_000 < weight else Arm.PIN,
            weight=weight,
            version=1,
            head=head,
            label=float(labels[i]),
            logits={1: float(other[i]), 2: float(own[i])},
        )
        for i in range(count)
    ]


def deviation_at_margin(pin: float, share: float) -> float:
    """The deviation of errors with which a version's squared error is (1 + share) times that of the pin."""
    mean_product = 0.5 * 0.5 - 0.4**2 / 12  # E[m (1 - m)] of a uniform m in [0.3, 0.7]
    variance = mean_product / (SPREAD + 1)
    return float(np.sqrt(share * variance + (1 + share) * pin**2))
