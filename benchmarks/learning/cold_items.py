"""`python -m benchmarks.learning.cold_items`: items that nobody has tried, with vectors of their titles and without.

WEIGHTS=FOLDER names the sentence encoder's weights (see docs/text.md) and LOGS=FOLDER the retail log, whose titles say
what a thing is. Without the one there are no figures here, without the other those of films alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures, at_least
from benchmarks.learning.retail_log import sales
from examples.text_items.__main__ import films
from examples.text_items.experiment import Tried, cold_logits, mean_group_auc
from examples.text_items.model import WIDTH
from martlet.errors import Unavailable
from trainer_svc.text.encoder import NarrowedEncoder, TextEncoder
from trainer_svc.text.transformer import TransformerEncoder
from trainer_svc.text.vector_cache import CachedEncoder

CACHE: Final = Path(".cache/text")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        seeds: how often, each with other folds of items.
        purchases: of the retail log, drawn at random.
    """

    seeds: int = 5
    folds: int = 5
    passes: int = 3
    purchases: int = 200_000


QUICK: Final = Size(seeds=1, folds=3, passes=2, purchases=30_000)
FULL: Final = Size()


def cold_items(figures: Figures, size: Size) -> None:
    """The area under the curve within each user's cold items, and what the vectors add."""
    encoder = _encoder()
    if encoder is None:
        return
    for name, tried in _logs(encoder, size):
        areas = {
            titles: [_area(tried, size, seed, titles=titles) for seed in range(size.seeds)] for titles in (False, True)
        }
        gains = 100 * (np.array(areas[True]) - np.array(areas[False]))
        figures.add(f"cold_items.{name}.auc_of_ids_alone", float(np.mean(areas[False])), "AUC within users")
        figures.add(f"cold_items.{name}.auc_with_titles", float(np.mean(areas[True])), "AUC within users")
        figures.add(f"cold_items.{name}.gain", float(gains.mean()), "AUC points", at_least(0.0))
        figures.add(f"cold_items.{name}.gain_worst_seed", float(gains.min()), "AUC points")


def _encoder() -> TextEncoder | None:
    folder = os.environ.get("WEIGHTS")
    if not folder:
        return None
    try:
        return NarrowedEncoder(CachedEncoder(TransformerEncoder(Path(folder)), CACHE), WIDTH)
    except Unavailable as error:
        print(error)  # noqa: T201
        return None


def _logs(encoder: TextEncoder, size: Size) -> Iterator[tuple[str, Tried]]:
    yield "movielens", films(encoder)
    log = sales()
    if log is not None:
        yield "retail", _goods(log.users, log.items, log.titles, encoder, size.purchases)


def _goods(
    users: np.ndarray, items: np.ndarray, titles: tuple[str, ...], encoder: TextEncoder, purchases: int
) -> Tried:
    """Purchases, and beside each an item drawn from all of them, so that neither is the more popular one on average."""
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(len(items))[:purchases])
    drawn = items[random.integers(0, len(items), len(chosen))]
    return Tried(
        np.repeat(users[chosen], 2),
        np.column_stack([items[chosen], drawn]).reshape(-1),
        np.tile(np.array([1.0, 0.0], np.float32), len(chosen)),
        encoder.encode(titles),
    )


def _area(tried: Tried, size: Size, seed: int, *, titles: bool) -> float:
    logits, groups = cold_logits(tried, titles=titles, folds=size.folds, passes=size.passes, seed=seed)
    return mean_group_auc(groups, logits, tried.labels)


def main() -> None:
    """Prints the figures and writes out/bench/learning-cold_items.json."""
    figures = Figures()
    cold_items(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-cold_items.json"))


if __name__ == "__main__":
    main()
