"""What is done about outcomes that come long after the impression.

`Wait` learns an impression as a negative when its window is over: never wrong, a window late. The others learn it as a
negative early (after `wait`), and again as a positive when the outcome comes: fresh, and biased towards negatives,
which importance weights take back (`martlet.learn.labels.importance` has the formulas). All of them are judged alike:
by the label at the window's end and the scores that were served.
"""

from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.inputs import seconds


@dataclass(frozen=True, slots=True)
class Wait:
    """Negatives are learned when the window is over, positives as soon as they come."""


@dataclass(frozen=True, slots=True)
class FNW:
    """Fake negative weighted (Ktena et al. 2019, arXiv 1907.06558): weights by the learner's own probability.

    Attributes:
        wait: how long after a prediction its items enter, those without a positive as negatives; "" means at once, and
            all as negatives, as in the paper. With a wait the weights need the share of positives that come after it,
            item by item: a small classifier learns that along, from what is known at the window's end.
        rate: that classifier's learning rate (AdaGrad).
        buckets: its weights, which ids are hashed to.
    """

    wait: str = ""
    rate: float = 0.15
    buckets: int = 1 << 16

    def __post_init__(self) -> None:
        seconds(self.wait)
        _check_classifier(self.rate, self.buckets)


@dataclass(frozen=True, slots=True)
class FNC:
    """Fake negative calibration (Ktena et al. 2019, arXiv 1907.06558), with the calibration inside the likelihood.

    The stream of insertions has b = p / (1 + p) positives. The paper fits b and serves p = b / (1 - b). Here p = σ(f)
    is fitted by the likelihood of b, so what is served is σ(f), a probability, with nothing to correct behind it.

    Attributes:
        wait, rate, buckets: as `FNW` has them.
    """  # noqa: RUF002

    wait: str = ""
    rate: float = 0.15
    buckets: int = 1 << 16

    def __post_init__(self) -> None:
        seconds(self.wait)
        _check_classifier(self.rate, self.buckets)


@dataclass(frozen=True, slots=True)
class ESDFM:
    """Elapsed-time sampling (Yang et al., AAAI'21, arXiv 2012.03245): weights by two classifiers, learned along.

    Attributes:
        wait: how long after a prediction its items enter, those without a positive as negatives. About as long as a
            good part of the positives need; much longer makes learning stale.
        rate: the classifiers' learning rate (AdaGrad).
        buckets: weights of each classifier, which ids are hashed to.
    """

    wait: str = "15m"
    rate: float = 0.05
    buckets: int = 1 << 16

    def __post_init__(self) -> None:
        if seconds(self.wait) == 0:
            raise InvalidInput("ES-DFM needs a wait, such as 15m; without one, take FNW")
        _check_classifier(self.rate, self.buckets)


DelayedFeedback = Wait | FNW | FNC | ESDFM


def _check_classifier(rate: float, buckets: int) -> None:
    if not 0 < rate < 10:  # noqa: PLR2004  beyond any sense
        raise InvalidInput(f"the rate must be between 0 and 10, not {rate}")
    if buckets < 2:  # noqa: PLR2004  one is for the bias
        raise InvalidInput(f"there must be 2 buckets at least, not {buckets}")


def wait_us(method: DelayedFeedback) -> int | None:
    """When items enter as negatives, in microseconds after the prediction; None: at the window's end."""
    return None if isinstance(method, Wait) else seconds(method.wait) * 1_000_000
