"""A small model of explicit ratings. Each event has an item of its own, so each leaves a row that tells of it."""

from functools import partial

import torch
from torch import nn

import martlet.learn as ml


class RatingNet(nn.Module):
    """A product of rows, a price and a bias."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, width), nn.Embedding(1, width)
        self.head = nn.Linear(width + 1, 1)

    def forward(self, user: torch.Tensor, item: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1]."""
        logits: torch.Tensor = self.head(torch.cat([self.user(user) * self.item(item), price], -1))
        return logits


def rating_model(name: str, width: int) -> ml.Model:
    """The model with rows of a width."""
    return ml.Model(
        name,
        partial(RatingNet, width),
        inputs={"user": ml.Id("user_id"), "item": ml.Id("item_id"), "price": ml.Number("item.price")},
        label=ml.Binary("rating", window="20s", explicit=True, threshold=4.0),
    )


MODEL = rating_model("crash", 4)
WIDE = rating_model("wide", 8)
