"""The bits must not depend on which thread learns."""

import threading

import numpy as np
import torch

from tests.unit.learn.shop import MODEL
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch


def test_a_learner_brings_its_threads_along() -> None:
    """A new thread has torch's default count, and sums made by several threads have other last bits."""
    learner = Learner(MODEL, 1024, threads=1)
    batch = made_up_batch(MODEL.spec, np.random.default_rng(5), 8)
    counts: list[int] = []

    def learn() -> None:
        torch.set_num_threads(2)
        learner.learn(batch, 1_700_000_000_000_000)
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=learn)
    thread.start()
    thread.join()
    assert counts == [1]
