"""Models of every kind of label, that several tests share."""

from collections.abc import Mapping

import torch
from torch import nn

import martlet.learn as ml
from tests.unit.learner.samples import INPUTS, LABEL

STAY = ml.Regression("dwell", "30m")
STAGE = ml.MultiClass(("click", "cart", "purchase"), "1h")
STARS = ml.MultiClass("rating", "1h", classes=5)
TASKS = ml.MultiTask({"click": LABEL, "stage": STAGE, "stay": STAY, "purchase": ml.Binary("purchase", "1d")})
SCORE = ml.Product({"click": 1.0, "purchase": 0.5})


class Towers(nn.Module):
    """A shared part and a tower for each task; gives the logits by name."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 4), nn.Embedding(1, 4)
        self.shared = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.towers = nn.ModuleDict(
            {"click": nn.Linear(8, 1), "stage": nn.Linear(8, 4), "stay": nn.Linear(8, 1), "purchase": nn.Linear(8, 1)}
        )

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> dict[str, torch.Tensor]:
        shared = self.shared(torch.cat([self.user(user), self.item(item)], 1))
        return {name: tower(shared) for name, tower in self.towers.items()}


PAIR: Mapping[str, ml.Input] = {"user": ml.Id("user_id"), "item": ml.Id("item_id")}


def deep(label: ml.Label, score: ml.Fusion | None = None) -> ml.Model:
    return ml.model_of("m", ml.DeepFM, inputs=INPUTS, label=label, score=score, dim=4, hidden=(8,))


MODELS = {
    "regression": deep(STAY),
    "linear regression": ml.linear("m", inputs=INPUTS, label=STAY),
    "classes": deep(STAGE),
    "stars": ml.model_of("m", ml.DCNv2, inputs=INPUTS, label=STARS, dim=4, hidden=(8,)),
    "tasks": ml.Model("m", Towers, inputs=PAIR, label=TASKS),
    "product": ml.Model("m", Towers, inputs=PAIR, label=TASKS, score=SCORE),
    "sum": deep(TASKS, ml.WeightedSum({"stay": 0.1, "stage": -1.0})),
    "one task": deep(ml.MultiTask({"click": LABEL})),
}
