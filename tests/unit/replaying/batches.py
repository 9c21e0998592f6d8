"""Batches for tests of replay."""

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock
from trainer_svc.batch import Batch
from trainer_svc.replaying.stored_examples import Origins


def batch_of(numbers: npt.NDArray[np.int64], labels: npt.NDArray[np.floating] | None = None) -> Batch:
    """Example i: item i, price i, made for user i % 10, of which two neighbours share a row. Of `fakes.SPEC`."""
    n = numbers.shape[0]
    block = FeatureBlock(
        (numbers[::2, None] % 10).astype(np.int64),
        np.zeros((-(-n // 2), 0), np.float32),
        numbers[:, None].astype(np.int64),
        numbers[:, None].astype(np.float32),
        np.arange(n) // 2,
    )
    given = np.zeros(n) if labels is None else labels
    return Batch(block, given.astype(np.float32), np.ones(n, np.float32))


def origins(numbers: npt.NDArray[np.int64]) -> Origins:
    return Origins((numbers[::2].repeat(2)[: numbers.shape[0]] % 10).astype(np.uint64), numbers * 1_000_000)
