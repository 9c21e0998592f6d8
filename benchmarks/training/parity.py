"""`python -m benchmarks.training.parity`: what serving answers is what the trainer computes, over a million answers.

A DeepFM of twenty ids, a list and two numbers learns; bases and chains of deltas are published and loaded by serving's
own loader, and known, frequent and unknown ids are scored by both sides. Law: probabilities within 1e-6, logits within
1e-5 * max(1, |logit|).
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

import martlet.learn as ml
from benchmarks.figures import Figures, at_most
from benchmarks.serving.stage import HIDDEN, WIDTH, Versions
from martlet.artifacts import FolderStore
from martlet.manifest import encode_manifest, manifest_digest
from martlet.runtime.config import Config
from serving_svc.onnx_loader import OnnxLoaders, OnnxServable
from serving_svc.servable import ServableId
from serving_svc.tables_here import table_views
from trainer_svc.made_up import made_up_block

BUCKETS: Final = 1 << 17
VERSIONS: Final = 10
ROWS: Final = 1000  # of a request
USERS: Final = 10
BOUND: Final = 1e-6


@dataclass(slots=True)
class Worst:
    """The largest distances so far, the logits' in units of their bound."""

    answers: int = 0
    beyond: int = 0
    score: float = 0.0
    logit: float = 0.0


def parity(figures: Figures, answers: int) -> None:
    """`parity.answers`, `parity.probability` and `parity.logit`."""
    worst = Worst()
    with tempfile.TemporaryDirectory() as name:
        versions = Versions(_model(), Path(name), BUCKETS)
        random = np.random.default_rng(3)
        for servable in _served(versions, Path(name)):
            while worst.answers < answers * versions.learner.steps // _steps():
                _compare(versions, servable, random, worst)
    figures.add("parity.answers", worst.answers, "answers")
    figures.add("parity.probability", worst.score, "largest distance", at_most(BOUND))
    figures.add("parity.probabilities_beyond", worst.beyond, "answers further off than that", at_most(0))
    figures.add("parity.logit", worst.logit, "largest distance by max(1, |logit|)", at_most(1e-5))


def _served(versions: Versions, folder: Path) -> Iterator[OnnxServable]:
    """A snapshot, and deltas that follow it, each loaded as a replica loads it."""
    tables = table_views(Config(data_dir=folder), folder / "arena")
    loaders = OnnxLoaders(FolderStore(folder / "artifacts"), tables, folder / "graphs", 1)
    generation = -1
    for number in range(VERSIONS):
        versions.learn()
        grown, generation = versions.learner.generation != generation, versions.learner.generation
        manifest = versions.snapshot() if grown else versions.delta(versions.newest)
        digest = FolderStore(folder / "artifacts").put_manifest(encode_manifest(manifest))
        assert digest == manifest_digest(encode_manifest(manifest))
        loader = loaders.loader(ServableId(versions.model.name, number + 1, digest))
        yield loader.load()
        loader.unload()


def _compare(versions: Versions, servable: OnnxServable, random: np.random.Generator, worst: Worst) -> None:
    block = made_up_block(versions.model.spec, random, ROWS, USERS)
    own, served = versions.learner.predict(block).astype(np.float64), servable.predict(block)
    size = np.maximum(1.0, np.abs(own))
    worst.logit = max(worst.logit, float((np.abs(served.logit - own) / size).max()))
    apart = np.abs(served.score - 1 / (1 + np.exp(-own)))
    worst.score, worst.beyond = max(worst.score, float(apart.max())), worst.beyond + int((apart > BOUND).sum())
    worst.answers += ROWS


def _model() -> ml.Model:
    users = {f"u{i}": ml.Id(f"c{i}" if i else "user_id") for i in range(10)}
    items = {f"i{i}": ml.Id(f"item.a{i}" if i else "item_id") for i in range(10)}
    others = {
        "recent": ml.IdList("recent_items", max_len=20, pool="mean"),
        "price": ml.Number("item.price", normalise="running"),
        "age": ml.Number("age"),
    }
    return ml.model_of(
        "parity", ml.DeepFM, inputs=users | items | others, label=ml.Binary("click", "30m"), dim=WIDTH - 1,
        hidden=HIDDEN,
    )  # fmt: skip


def _steps() -> int:
    """Batches that the last version has learned."""
    return VERSIONS * 20


def main() -> None:
    """Prints the figures, and writes out/bench/parity.json."""
    figures = Figures()
    parity(figures, 100_000 if os.environ.get("QUICK", "") not in {"", "0"} else 1_000_000)
    figures.write(Path("out/bench/parity.json"))


if __name__ == "__main__":
    main()
