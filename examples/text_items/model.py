"""The same model twice: one reads who the user is and which item it is, the other the vector of the item's title too.

`martlet train examples.text_items.model:MODEL` learns it live; `martlet encode` announces items with vectors.
"""

import torch
from torch import nn

import martlet.learn as ml

WIDTH = 64


class TitleTaste(nn.Module):
    """Likes what is like what the user liked: an item is its row plus a learned projection of its title's vector.

    The projection is shared by all items, so a new item with a title has a place among the others from the start.
    """

    def __init__(self, dim: int = 16, *, titles: bool = True) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, dim + 1), nn.Embedding(1, dim + 1)
        self.bias = nn.Parameter(torch.zeros(1))
        if titles:
            self.project = nn.Linear(WIDTH, dim + 1, bias=False)
            nn.init.normal_(self.project.weight, std=0.05)

    def forward(self, user: torch.Tensor, item: torch.Tensor, title: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [B]."""
        users, items = self.user(user), self.item(item)
        if title is not None:
            items = items + self.project(title)
        logits: torch.Tensor = (users[:, 1:] * items[:, 1:]).sum(1) + users[:, 0] + items[:, 0] + self.bias
        return logits


def model_of(*, titles: bool, seed: int = 0) -> ml.Model:
    """With the vectors or without; another seed lets rows begin otherwise."""
    inputs: dict[str, ml.Input] = {
        "user": ml.Id("user_id", space=f"user-{seed}" if seed else ""),
        "item": ml.Id("item_id", space=f"item-{seed}" if seed else ""),
    }
    if titles:
        inputs["title"] = ml.Vector("item.title_vector", width=WIDTH, normalise="running")
    return ml.Model(
        "text-items",
        lambda: TitleTaste(titles=titles),
        inputs=inputs,
        label=ml.Binary("purchase", "1d"),
        dense=ml.Adam(3e-3),
        rows=ml.RowWiseAdaGrad(0.1),
    )


MODEL = model_of(titles=True)
