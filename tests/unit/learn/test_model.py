"""A model says at once what cannot work, and names the layer or the input."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.feature_spec import Feature, FeatureKind, Side
from martlet.keys import space_salt
from tests.unit.learn.shop import MODEL

LABEL = ml.Binary("click", "30m")
USER, ITEM, HISTORY = ml.Id("user_id"), ml.Id("item_id"), ml.IdList("recent_items", max_len=4)
Forward = Callable[..., torch.Tensor]


class Net(nn.Module):
    """Two embeddings, a linear layer, and whatever forward a test wants."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 4), nn.Embedding(1, 4)
        self.last = nn.Linear(8, 1)
        self.wanted = forward

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.wanted(self, **inputs)


def dot(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = net.last(torch.cat([net.user(user), net.item(item)], 1))
    return logits


def model(forward: Forward, **inputs: ml.Input) -> ml.Model:
    return ml.Model("m", Net(forward), inputs=inputs or {"user": USER, "item": ITEM}, label=LABEL)


def test_the_example_of_the_documentation() -> None:
    assert MODEL.spec.features == (
        Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=16, ttl_seconds=90 * 86_400),
        Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=16, min_count=2),
        Feature(
            "history",
            "recent_items",
            FeatureKind.ID_LIST,
            Side.USER,
            space="item",
            width=16,
            max_len=20,
            min_count=2,  # a row belongs to its space
        ),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM, normalise="running"),
    )
    assert MODEL.spec.salts == {space: space_salt(space) for space in ("user", "item")}
    assert MODEL.tables == (("t16", 16, ("user", "item", "history")),)
    assert MODEL.weights == ("mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias")
    assert MODEL.label.window_us == 30 * 60 * 1_000_000


def test_inputs_of_one_embedding_share_its_space_unnamed() -> None:
    def forward(
        net: Net, user: torch.Tensor, item: torch.Tensor, seen: torch.Tensor, seen_mask: torch.Tensor
    ) -> object:
        return dot(net, user, item) + (net.item(seen) * seen_mask[..., None]).sum((1, 2))[:, None]

    spec = model(forward, user=USER, seen=HISTORY, item=ITEM).spec  # type: ignore[arg-type]
    assert [feature.space for feature in spec.features] == ["user", "seen", "seen"]


def test_embeddings_of_different_widths_stand_in_different_tables() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Embedding(1, 8), nn.Embedding(1, 3)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.a(a).sum(1) + self.b(b).sum(1)
            return logits

    made = ml.Model("m", Two(), inputs={"a": USER, "b": ITEM}, label=LABEL)
    assert made.tables == (("t3", 3, ("b",)), ("t8", 8, ("a",)))


def test_a_pooled_list_is_like_one_id() -> None:
    made = model(dot, user=ml.IdList("recent_users", pool="mean"), item=ITEM)
    assert (made.spec.features[0].kind, made.spec.features[0].pool) == (FeatureKind.ID_LIST, "mean")


def weight_used(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return dot(net, user, item) + net.item.weight.sum()


def computed(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return dot(net, user + 1, item)


def inside_a_layer(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    other: torch.Tensor = net.last(user[:, None].float().expand(-1, 8))
    return dot(net, user, item) + other


def listed(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return dot(net, user, item) + torch.stack([user, item], 1).sum(1)


def foreign(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    other: torch.Tensor = net.item(torch.arange(3)).sum()
    return dot(net, user, item) + other


def unused(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    rows = net.user(user)
    logits: torch.Tensor = net.last(torch.cat([rows, rows], 1))
    return logits


def crossed(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    other: torch.Tensor = net.item(user).sum(1, keepdim=True)
    return dot(net, user, item) + other


def parameter_unused(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = (net.user(user) * net.item(item)).sum(1)
    return logits


def too_wide(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = net.last(torch.cat([net.user(user), net.item(item), net.user(user)], 1))
    return logits


def two_columns(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return torch.cat([dot(net, user, item)] * 2, 1)


def a_pair(net: Net, user: torch.Tensor, item: torch.Tensor) -> object:
    return dot(net, user, item), 1


def looks_at_the_shape(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return dot(net, user, item) * user.dim()


def random(net: Net, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return dot(net, user, item) + torch.rand(1)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (weight_used, r"layer 'item': nn.Embedding.weight is used"),
        (computed, r"computes on the ids of input 'user'"),
        (inside_a_layer, r"computes on the ids of input 'user'"),
        (listed, r"computes on the ids of input 'user'"),
        (foreign, r"layer 'item': nn.Embedding gets something computed"),
        (unused, r"input 'item' is never used"),
        (crossed, r"input 'user' goes to two layers, 'item' and 'user'"),
        (parameter_unused, r"parameter 'last.weight' is never used"),
        (too_wide, r"layer 'last' \(Linear\) fails on a batch of 3"),
        (two_columns, r"logits of shape \[B\] or \[B, 1\], not torch.float32 \['B', 2\]"),
        (a_pair, r"must give one tensor of logits, not tuple"),
        (random, r"the network's own forward \(Net\) gives other numbers for the same inputs the second time"),
        (looks_at_the_shape, r"looks at the shape of ids"),
    ],
)
def test_what_cannot_work_is_named(forward: Forward, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        model(forward)


class Plain(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = (self.layers[0](user) * self.layers[-1](item)).sum(-1)
        return logits


@pytest.mark.parametrize(
    ("net", "inputs", "message"),
    [
        (Plain(nn.EmbeddingBag(1, 4)), {"user": USER, "item": ITEM}, r"layer 'layers.0' is an nn.EmbeddingBag"),
        (Plain(nn.Embedding(2, 4, padding_idx=0)), {"user": USER, "item": ITEM}, r"layer 'layers.0': .*padding_idx"),
        (Plain(nn.Embedding(1, 4)), {"user": USER}, r"forward takes 'item', which the model's inputs do not name"),
        (Plain(nn.Embedding(1, 4)), {"user": USER, "it": ITEM}, r"forward must take the inputs 'it'"),
        (
            Plain(nn.Embedding(1, 4)),
            {"user": ml.Id("user_id", space="u"), "item": ml.Id("item_id", space="i")},
            r"layer 'layers.0' gets ids of the spaces \['u', 'i'\]",
        ),
        (
            Plain(nn.Embedding(1, 4), nn.Embedding(1, 4)),
            {"user": USER, "item": ml.Id("item_id", space="user")},
            r"layers 'layers.0' and 'layers.1' both hold rows of space 'user'",
        ),
        (Plain(nn.Embedding(1, 4)), {"user": USER, "logit": ITEM}, r"an input cannot be called 'logit'"),
        (Plain(nn.Embedding(1, 4)), {"a": HISTORY, "a_mask": ml.Number("x")}, r"an input cannot be called 'a_mask'"),
        (Plain(nn.Embedding(1, 4)), {}, r"a model needs inputs"),
    ],
)
def test_what_does_not_fit_is_named(net: nn.Module, inputs: dict[str, ml.Input], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ml.Model("m", net, inputs=inputs, label=LABEL)


def test_parameters_are_float32() -> None:
    class Double(Plain):
        def __init__(self) -> None:
            super().__init__(nn.Embedding(1, 4))
            self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
            return super().forward(user, item) + self.bias.float()

    with pytest.raises(InvalidInput, match=r"parameter 'bias' is torch\.float64"):
        ml.Model("m", Double(), inputs={"user": USER, "item": ITEM}, label=LABEL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ml.Id("user_id", ttl="90 days"), "is no duration"),
        (lambda: ml.Id(""), "needs a source"),
        (lambda: ml.Id("user_id", min_count=0), "min_count of 'user_id'"),
        (lambda: ml.IdList("x", max_len=0), "max_len of 'x'"),
        (lambda: ml.IdList("x", pool="max"), "pool of 'x'"),
        (lambda: ml.Number("x", normalise="z"), "normalise of 'x'"),
        (lambda: ml.Binary("click", ""), "attribution window"),
        (lambda: ml.Binary("", "1h"), "type of its outcomes"),
        (lambda: ml.Adam(0), "Adam: rate must be positive"),
        (lambda: ml.RowWiseAdaGrad(-1), "RowWiseAdaGrad: rate must be positive"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
