"""Will this visitor click on this thing? The tutorial's model (docs/tutorial.md); put your own here."""

import torch
from torch import nn

import martlet.learn as ml


class Net(nn.Module):
    """Who, what, and how well the thing answers the visitor's wish."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 8), nn.Embedding(1, 8)
        self.wishes, self.words = nn.Embedding(1, 8), nn.Embedding(1, 8)
        self.mlp = nn.Sequential(nn.Linear(25, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(
        self, user: torch.Tensor, wish: torch.Tensor, item: torch.Tensor, title: torch.Tensor, price: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B, 1]."""
        wish, title = self.wishes(wish), self.words(title)
        logits: torch.Tensor = self.mlp(
            torch.cat([self.user(user) + self.item(item), wish + title, wish * title, price], 1)
        )
        return logits


MODEL = ml.Model(
    "shop",
    Net,
    inputs={
        "user": ml.Id("user_id", ttl="90d"),
        "wish": ml.Id("wish"),
        "item": ml.Id("item_id"),
        "title": ml.Text("item.title"),
        "price": ml.Number("item.price", normalise="log1p+running"),
    },
    label=ml.Binary("click", window="2s"),  # in earnest: as long as a click may take, such as 30m
    dense=ml.Adam(0.005),
    rows=ml.RowWiseAdaGrad(0.05),
)
