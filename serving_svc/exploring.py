"""Orders of answer with chance in them, and the probability of each choice. Pure: the same seed, the same order.

The propensity of the item at position i is its probability there *given the items above it* and the candidates. The
probability of the whole answer is the product.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from martlet.exploration import Exploration
from serving_svc.recommend import best_rows

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Order:
    """What is answered.

    Attributes:
        rows: int64[k], the rows answered, first to last.
        propensities: float32[k]; None: there was no chance in it.
    """

    rows: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float32] | None = None


def order_of(logits: Logits, k: int, exploration: Exploration, prediction_id: str) -> Order:
    """The k rows to answer. Without exploration: the best first, at equal logits the earlier row."""
    if not exploration.on or not logits.shape[0]:
        return Order(best_rows(logits, k))
    # Philox takes its key as it is; other generators spend longer on mixing a seed than on the numbers themselves.
    random = np.random.Generator(np.random.Philox(key=xxhash.xxh3_128_intdigest(prediction_id.encode())))
    k = min(k, logits.shape[0])
    if exploration.temperature:
        return _plackett_luce(logits, k, exploration.temperature, random)
    return _epsilon_greedy(logits, k, exploration.epsilon, random)


def _epsilon_greedy(logits: Logits, k: int, epsilon: float, random: np.random.Generator) -> Order:
    left = best_rows(logits, logits.shape[0]).tolist()
    explores = (random.random(k) < epsilon).tolist()
    places = random.random(k).tolist()
    rows, propensities = [], []
    for explore, place in zip(explores, places, strict=True):
        chosen = int(place * len(left)) if explore else 0
        propensities.append(epsilon / len(left) + (0.0 if chosen else 1.0 - epsilon))
        rows.append(left.pop(chosen))
    return Order(np.array(rows, np.int64), np.array(propensities, np.float32))


def _plackett_luce(logits: Logits, k: int, temperature: float, random: np.random.Generator) -> Order:
    """Adding Gumbel noise and sorting draws without replacement, in proportion to exp(logit / temperature)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max()
    noisy = scaled + random.gumbel(size=scaled.shape[0])
    order = np.argsort(-noisy, kind="stable")
    chosen, rest = scaled[order[:k]], scaled[order[k:]]
    # log of what is left at each position, summed from the last item up: nothing is subtracted, nothing cancels.
    left = np.logaddexp.accumulate(np.concatenate([[_log_sum(rest)], chosen[::-1]]))[1:][::-1]
    return Order(order[:k], np.exp(chosen - left).astype(np.float32))


def _log_sum(values: npt.NDArray[np.float64]) -> float:
    if not values.shape[0]:
        return -np.inf
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
