"""Small models that change: the same shop, with more, fewer or wider features, or another network."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import martlet.learn as ml
from martlet.feature_encoding import RankInput, concatenate, encode
from martlet.feature_spec import FeatureBlock
from trainer_svc.batch import Batch


class Net(nn.Module):
    """User and item rows, a price, and perhaps more, through one hidden layer."""

    def __init__(self, width: int = 4, hidden: int = 8, extra: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, width), nn.Embedding(1, width)
        self.extra = extra
        if extra:
            self.brand = nn.Embedding(1, width)
        self.hidden = nn.Linear(2 * width + 1 + width * len(extra), hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, user: torch.Tensor, item: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1]."""
        return self.scored([self.user(user), self.item(item), price])

    def scored(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Logits [B, 1] of what stands side by side."""
        logits: torch.Tensor = self.head(torch.relu(self.hidden(torch.cat(parts, -1))))
        return logits


class NetWithBrand(Net):
    """A feature more, behind the others."""

    def forward(self, user: torch.Tensor, item: torch.Tensor, price: torch.Tensor, brand: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Logits [B, 1]."""
        return self.scored([self.user(user), self.item(item), price, self.brand(brand)])


INPUTS = {"user": ml.Id("user_id"), "item": ml.Id("item_id"), "price": ml.Number("item.price", normalise="running")}


def model(make: Callable[[], nn.Module] = Net, **more: ml.Id) -> ml.Model:
    return ml.Model("shop", make, inputs={**INPUTS, **more}, label=ml.Binary("click", window="1h"))


def block(spec: object, seed: int, rows: int = 40) -> FeatureBlock:
    """Made-up requests; ids repeat."""
    dice = np.random.default_rng(seed)
    asked = [
        RankInput(
            int(dice.integers(12)), {}, [int(dice.integers(9))],
            [{"item.price": float(dice.normal(5, 2)), "item.brand": f"b{dice.integers(3)}"}],
        )
        for _ in range(rows)
    ]  # fmt: skip
    return concatenate([encode(spec, one) for one in asked])  # type: ignore[arg-type]


def batch(spec: object, seed: int, rows: int = 40) -> Batch:
    made = block(spec, seed, rows)
    labels = (np.random.default_rng(seed + 1000).random(rows) < 0.4).astype(np.float32)
    return Batch(made, labels, np.ones(rows, np.float32))
