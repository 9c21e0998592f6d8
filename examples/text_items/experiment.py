"""How well are items ranked that no example had? With the vectors of their titles, and without."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from examples.text_items.model import model_of
from martlet.feature_spec import FeatureBlock
from martlet.learn import Model
from trainer_svc.batch import Batch
from trainer_svc.learner import Learner
from trainer_svc.prequential import area_under_curve

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
_BATCH = 256
_NOW_US = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """Who tried what, and whether they liked it.

    Attributes:
        users, items: int64[n]; items are numbers from 0 on.
        labels: float32[n], 0 or 1.
        vectors: float32[items, width], of each item's title.
    """

    users: Int64s
    items: Int64s
    labels: Floats
    vectors: Floats

    def batch(self, model: Model, places: Int64s) -> Batch:
        """Some of them as the model reads them."""
        n, titles = len(places), "title" in model.spec.layout.first_column
        none = np.zeros((n, 0), np.float32)
        numbers = self.vectors[self.items[places]] if titles else none
        block = FeatureBlock(
            self.users[places, None], none, self.items[places, None], np.ascontiguousarray(numbers), np.arange(n)
        )
        return Batch(block, self.labels[places], np.ones(n, np.float32))


def cold_logits(tried: Tried, *, titles: bool, folds: int, passes: int, seed: int) -> tuple[Floats, Int64s]:
    """Logits of all examples, each by a model that has learned no example of its item: float32[n]; and its group.

    The items are dealt into folds; for each fold a model learns the examples of all other items and scores the fold's.
    A group is what one model scored of one user, int64[n]: only there logits can be compared, since what is left out of
    a user's examples moves the user's own weight.
    """
    random = np.random.default_rng(seed)
    fold = random.integers(0, folds, tried.vectors.shape[0])[tried.items]
    logits = np.empty(len(tried.items), np.float32)
    for left_out in range(folds):
        model = model_of(titles=titles, seed=seed + 1)
        learner = Learner(model)
        for _ in range(passes):
            known = random.permutation(np.flatnonzero(fold != left_out))
            for start in range(0, len(known), _BATCH):
                learner.learn(tried.batch(model, known[start : start + _BATCH]), _NOW_US)
        places = np.flatnonzero(fold == left_out)
        logits[places] = learner.predict(tried.batch(model, places).block)
    return logits, tried.users * folds + fold


def mean_group_auc(groups: Int64s, scores: Floats, labels: Floats) -> float:
    """The mean over groups that have both labels of the area under the ROC curve within the group."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    parts = np.split(order, starts[1:])
    areas = [area_under_curve(scores[part], labels[part]) for part in parts]
    return float(np.nanmean(areas))
