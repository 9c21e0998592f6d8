"""The model of the golden releases. Never changed: what a release has learned with it is gone on with."""

import torch
from torch import nn

import martlet.learn as ml


class GoldenNet(nn.Module):
    """Every kind of input that a small network can have."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 4), nn.Embedding(1, 4)
        self.hidden = nn.Linear(14, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 1)

    def forward(
        self,
        user: torch.Tensor,
        item: torch.Tensor,
        history: torch.Tensor,
        history_mask: torch.Tensor,
        price: torch.Tensor,
        hour: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [B, 1]."""
        liked = (self.item(history) * history_mask[..., None]).sum(1)
        joined = torch.cat([self.user(user), self.item(item), liked, price, hour], -1)
        logits: torch.Tensor = self.out(torch.relu(self.norm(self.hidden(joined))))
        return logits


MODEL = ml.Model(
    "golden",
    GoldenNet,
    inputs={
        "user": ml.Id("user_id", ttl="90d"),
        "item": ml.Id("item_id"),
        "history": ml.IdList("recent_items", space="item", max_len=3),
        "price": ml.Number("item.price", normalise="running"),
        "hour": ml.Number("hour"),
    },
    label=ml.Binary("rating", window="1h", explicit=True, threshold=4.0),
)
