"""The rating model after a change: wider rows, a feature more, a layer more. Its label is the same."""

import torch
from torch import nn

import martlet.learn as ml
from tests.integration.rating_model import MODEL as BEFORE


class ChangedNet(nn.Module):
    """Rows of six columns, a price and how far down the page, and a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 6), nn.Embedding(1, 6)
        self.hidden = nn.Linear(8, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, user: torch.Tensor, item: torch.Tensor, price: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1]."""
        rows = self.user(user) * self.item(item)
        logits: torch.Tensor = self.head(torch.relu(self.hidden(torch.cat([rows, price, depth], -1))))
        return logits


MODEL = ml.Model(
    "shop",
    ChangedNet,
    inputs={
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id"),
        "price": ml.Number("item.price"),
        "depth": ml.Number("item.depth"),
    },
    label=BEFORE.label,
)
