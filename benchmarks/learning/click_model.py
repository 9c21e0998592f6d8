"""What learns while its freshness is measured: a product of a user's and an item's rows."""

import torch
from torch import nn

import martlet.learn as ml


class Taste(nn.Module):
    """How far a user's row and an item's point the same way."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 9), nn.Embedding(1, 9)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Logits [B]."""
        users, items = self.user(user), self.item(item)
        logits: torch.Tensor = (users[:, 1:] * items[:, 1:]).sum(1) + users[:, 0] + items[:, 0] + self.bias
        return logits


MODEL = ml.Model(
    "clicks",
    Taste,
    inputs={"user": ml.Id("user_id"), "item": ml.Id("item_id")},
    label=ml.Binary("click", "30m"),
    rows=ml.RowWiseAdaGrad(0.1),
)
