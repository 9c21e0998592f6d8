"""The built-in networks compute what their papers say, on rows of one width."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

import martlet.learn as ml
from martlet.learn.rows_in import with_rows_in

INPUTS: dict[str, ml.Input] = {
    "user": ml.Id("user_id"),
    "item": ml.Id("item_id"),
    "history": ml.IdList("recent_items", space="item", max_len=3),
    "genres": ml.IdList("item.genres", pool="mean", max_len=2),
    "type": ml.Number("item.type"),  # a name that nn.ModuleDict would refuse
    "hour": ml.Number("hour"),
}
LABEL = ml.Binary("click", "30m")
MASK = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
Floats = npt.NDArray[np.float32]


def fed(net: torch.nn.Module, width: int) -> tuple[Floats, list[Floats], Floats]:
    """Logits of the network on random rows; the id fields as vectors; the numbers."""
    random = np.random.default_rng(3)
    values: dict[str, npt.NDArray[np.floating]] = {
        "user": random.normal(size=(2, width)),
        "item": random.normal(size=(2, width)),
        "history": random.normal(size=(2, 3, width)),
        "history_mask": MASK,
        "genres": random.normal(size=(2, width)),
        "type": random.normal(size=(2, 1)),
        "hour": random.normal(size=(2, 1)),
    }
    tensors = {name: torch.tensor(np.asarray(value, np.float32)) for name, value in values.items()}
    with torch.no_grad():
        logits = with_rows_in(net)(**tensors).numpy()
    history = (values["history"] * MASK[..., None]).sum(1) / np.maximum(MASK.sum(1, keepdims=True), 1)
    fields = [np.asarray(field) for field in (values["user"], values["item"], history, values["genres"])]
    return logits, fields, np.concatenate([values["type"], values["hour"]], 1)


def relu_net(weights: dict[str, Floats], prefix: str, values: Floats) -> Floats:
    for layer in (0, 2):
        values = values @ weights[f"{prefix}.{layer}.weight"].T + weights[f"{prefix}.{layer}.bias"]
        values = np.maximum(values, 0) if layer == 0 else values
    return values[:, 0]


def test_deep_fm_adds_weights_pairs_and_a_perceptron() -> None:
    made = ml.model_of("m", ml.DeepFM, inputs=INPUTS, label=LABEL, dim=4, hidden=(5,))
    logits, ids, numbers = fed(made.net, 5)
    weights = {name: value.numpy() for name, value in made.net.state_dict().items()}
    fields = ids + [numbers[:, [k]] * weights["fields.numbers"][k] for k in range(2)]
    expected = relu_net(weights, "mlp", np.concatenate([field[:, :4] for field in fields], 1)) + weights["bias"]
    for i, field in enumerate(fields):
        expected = expected + field[:, 4] + sum((field * other)[:, :4].sum(1) for other in fields[:i])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_dcn_v2_crosses() -> None:
    made = ml.model_of("m", ml.DCNv2, inputs=INPUTS, label=LABEL, dim=4, crosses=1, hidden=(5,))
    logits, ids, numbers = fed(made.net, 4)
    weights = {name: value.numpy() for name, value in made.net.state_dict().items()}
    fields = ids + [numbers[:, [k]] * weights["fields.numbers"][k] for k in range(2)]
    start = np.concatenate(fields, 1)
    crossed = start * (start @ weights["crosses.0.weight"].T + weights["crosses.0.bias"]) + start
    expected = crossed @ weights["last.weight"][0] + relu_net(weights, "mlp", start)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", [ml.DeepFM, ml.DCNv2])
def test_one_table_and_the_same_first_weights(network: type[torch.nn.Module]) -> None:
    one = ml.model_of("m", network, inputs=INPUTS, label=LABEL)
    torch.rand(5)
    two = ml.model_of("m", network, inputs=INPUTS, label=LABEL)
    assert [table.features for table in one.tables] == [("user", "item", "history", "genres")]
    assert list(one.spec.salts) == ["user", "item", "genres"]
    other = two.net.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.net.state_dict().items())


@pytest.mark.parametrize("network", [ml.DeepFM, ml.DCNv2])
def test_numbers_alone_or_ids_alone(network: type[torch.nn.Module]) -> None:
    ml.model_of("m", network, inputs={"item": INPUTS["item"]}, label=LABEL)
    assert ml.model_of("m", network, inputs={"hour": INPUTS["hour"]}, label=LABEL).tables == ()
