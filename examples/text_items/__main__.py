"""`python -m examples.text_items --weights FOLDER`: films that nobody has rated, ranked with and without their titles.

The folder is a sentence encoder's, such as all-MiniLM-L6-v2's (see docs/text.md).
"""

import argparse
from pathlib import Path

import numpy as np

from examples.text_items.experiment import Tried, cold_logits, mean_group_auc
from examples.text_items.model import WIDTH
from martlet.replay.datasets import movielens_100k, titles_of_movielens
from trainer_svc.text.encoder import NarrowedEncoder, TextEncoder
from trainer_svc.text.transformer import TransformerEncoder
from trainer_svc.text.vector_cache import CachedEncoder

CACHE = Path(".cache")
LIKED = 4.0


def films(encoder: TextEncoder) -> Tried:
    """MovieLens 100K with the vectors of its films' titles."""
    ratings, titles = movielens_100k(CACHE / "datasets").ratings, titles_of_movielens(CACHE / "datasets")
    numbers = {item: number for number, item in enumerate(titles)}
    return Tried(
        np.array([one.user for one in ratings]),
        np.array([numbers[one.item] for one in ratings]),
        np.array([one.rating >= LIKED for one in ratings], np.float32),
        encoder.encode(list(titles.values())),
    )


def main() -> None:
    """Prints the areas under the curve."""
    parser = argparse.ArgumentParser(description="Cold items with and without the vectors of their titles.")
    parser.add_argument("--weights", type=Path, required=True, help="folder of a sentence encoder")
    encoder = CachedEncoder(TransformerEncoder(parser.parse_args().weights), CACHE / "text")
    tried = films(NarrowedEncoder(encoder, WIDTH))
    for titles in (False, True):
        logits, groups = cold_logits(tried, titles=titles, folds=5, passes=3, seed=0)
        words = "with titles" if titles else "ids alone"
        area = mean_group_auc(groups, logits, tried.labels)
        print(f"{words:12} AUC within users, of films that no example had: {area:.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
