"""The worked example of the documentation: a user's own model."""

import torch
from torch import nn

import martlet.learn as ml


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 16), nn.Embedding(1, 16)  # widths; rows live in Martlet's table
        self.mlp = nn.Sequential(nn.Linear(49, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, user, item, history, history_mask, price):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        h = (self.item(history) * history_mask[..., None]).sum(1)
        return self.mlp(torch.cat([self.user(user), self.item(item), h, price], -1))


MODEL = ml.Model(
    "shop",
    Net(),
    inputs={
        "user": ml.Id("user_id", ttl="90d"),
        "item": ml.Id("item_id", min_count=2),
        "history": ml.IdList("recent_items", space="item", max_len=20),
        "price": ml.Number("item.price", normalise="running"),
    },
    label=ml.Binary("click", window="30m"),
    dense=ml.Adam(1e-3),
    rows=ml.RowWiseAdaGrad(0.05),
)
