"""The export is the learner: every weight under its name, the same numbers, the same bytes each time."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import onnx.reference
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.feature_encoding import feed, signature_of
from martlet.signature import LOGIT
from tests.unit.learner.samples import LABEL, MODEL, NOW_US, batches, learned
from trainer_svc.dense_model import DenseModel
from trainer_svc.export import parity
from trainer_svc.export.compose import materialise
from trainer_svc.export.dense_graph import check_dense_graph, dense_graph
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_block

PROCESS = """
import hashlib
from tests.unit.learner.samples import MODEL, learned
from trainer_svc.export.exporter import Exporter
learner = learned()
state = b"".join(array.tobytes() for array in learner.state().values())
print(*(hashlib.sha256(data).hexdigest() for data in (Exporter(MODEL).graph(learner), state)))
"""


class Wide(nn.Module):
    """Much of what networks are made of."""

    steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.item = nn.Embedding(1, 8)
        self.norm = nn.BatchNorm1d(8)
        self.deep = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer_norm = nn.LayerNorm(8)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("steps", torch.arange(3))
        self.register_buffer("never_read", torch.ones(2))
        self.last = nn.Linear(8, 1)

    def forward(self, item: torch.Tensor, seen: torch.Tensor, seen_mask: torch.Tensor) -> torch.Tensor:
        rows = self.item(seen) * seen_mask[..., None] + self.steps[:, None]
        query = self.deep(self.norm(self.item(item)))
        found, _ = self.attention(query[:, None], rows, rows)
        logits: torch.Tensor = self.last(self.layer_norm(found[:, 0] + query))[:, 0] * self.scale
        return logits


WIDE = ml.Model("w", Wide, inputs={"item": ml.Id("item_id"), "seen": ml.IdList("recent", max_len=3)}, label=LABEL)


@pytest.fixture(scope="module")
def wide() -> tuple[Learner, Exporter]:
    learner, exporter = learned(WIDE), Exporter(WIDE)
    exporter.graph(learner)
    return learner, exporter


def measured(learner: Learner, exporter: Exporter, *, optimise: bool = True) -> parity.Parity:
    random = np.random.default_rng(5)
    blocks = [made_up_block(learner.spec, random, n, users) for n, users in ((1, 1), (33, 2), (70, 70))]
    scorer = parity.OnnxScorer(exporter.graph(learner), exporter.arrays(learner), optimise=optimise)
    return parity.check(learner, scorer, blocks)


@pytest.mark.parametrize("optimise", [True, False])
def test_the_graph_gives_the_learners_numbers(wide: tuple[Learner, Exporter], optimise: bool) -> None:  # noqa: FBT001
    learner, exporter = wide
    assert measured(learner, exporter, optimise=optimise).holds
    graph = exporter.graph(learner)
    for batch in batches(3, seed=8, spec=WIDE.spec):
        learner.learn(batch, NOW_US)
    assert exporter.graph(learner) is graph
    assert measured(learner, exporter, optimise=optimise).holds  # other weights in the same graph


def test_every_weight_and_table_is_filled_from_outside(wide: tuple[Learner, Exporter]) -> None:
    learner, exporter = wide
    graph = onnx.load_model_from_string(exporter.graph(learner)).graph
    external = {t.name: list(t.dims) for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    arrays = exporter.arrays(learner)
    assert external == {name: list(array.shape) for name, array in arrays.items()}
    weights = learner.dense_weights()
    assert set(weights) == set(arrays) - {f"t8.{part}" for part in ("directory", "keys", "rows", "special")}
    assert {"net.norm.running_mean", "net.deep.1.running_var", "net.scale"} <= set(weights)
    assert not {"net.never_read", "net.steps", "net.norm.num_batches_tracked", "net.item.weight"} & set(weights)
    signature = signature_of(WIDE.spec)
    assert [value.name for value in graph.input] == [tensor.name for tensor in signature.inputs]


def test_onnx_itself_gives_the_learners_numbers_too(tmp_path: Path) -> None:
    learner, exporter = learned(), Exporter(MODEL)
    block = made_up_block(MODEL.spec, np.random.default_rng(2), 9, 4)
    path = materialise(exporter.graph(learner), exporter.arrays(learner), tmp_path)
    evaluator = onnx.reference.ReferenceEvaluator(onnx.load(path))
    outputs = cast("list[npt.NDArray[np.float32]]", evaluator.run([LOGIT], dict(feed(MODEL.spec, block))))
    np.testing.assert_allclose(outputs[0], learner.predict(block), rtol=1e-5, atol=1e-5)


def test_a_grown_table_needs_another_graph() -> None:
    learner, exporter = learned(buckets=64), Exporter(MODEL)
    before, generation = exporter.graph(learner), learner.generation
    for batch in batches(8, seed=3):
        learner.learn(batch, NOW_US)
    assert learner.generation > generation
    assert exporter.graph(learner) != before
    assert measured(learner, exporter).holds


def test_graph_and_learning_are_the_same_in_every_process() -> None:
    learner = learned()
    graph = Exporter(MODEL).graph(learner)
    state = b"".join(array.tobytes() for array in learner.state().values())
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    run = subprocess.run([sys.executable, "-c", PROCESS], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [hashlib.sha256(data).hexdigest() for data in (graph, state)]
    assert b".py" not in graph  # the exporter writes stack traces into it
    assert b"aten" not in graph


def test_torchs_own_optimizer_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It folds batch normalisation into the layer before: weights swapped in by name would be silently wrong."""
    export = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: export(*args, **{**options, "optimize": True}))
    with pytest.raises(InvalidInput, match=r"weights do not stand in the exported graph as they are: net\."):
        dense_graph(WIDE.spec, DenseModel(WIDE))


def test_a_weight_that_is_not_bit_equal_is_refused() -> None:
    dense = DenseModel(WIDE).eval()
    graph = dense_graph(WIDE.spec, dense)
    check_dense_graph(graph, dense)
    weight = next(tensor for tensor in graph.graph.initializer if tensor.name == "net.deep.0.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.0000001), weight.name))
    with pytest.raises(InvalidInput, match=r"do not stand in the exported graph as they are: net\.deep\.0\.weight"):
        check_dense_graph(graph, dense)
    graph.graph.initializer.remove(weight)
    with pytest.raises(InvalidInput, match=r"net\.deep\.0\.weight"):
        check_dense_graph(graph, dense)


def test_constants_stand_in_nodes_so_that_initializers_are_weights() -> None:
    dense = DenseModel(WIDE)
    graph = dense_graph(WIDE.spec, dense).graph
    assert sorted(tensor.name for tensor in graph.initializer) == sorted(dense.weight_names)
    assert not {"Identity", "Dropout", "CastLike", "Loop"} & {node.op_type for node in graph.node}


def branching(rows: torch.Tensor) -> torch.Tensor:
    return rows.sum(1) if bool(rows.sum() > 0) else rows.mean(1)


def looping(rows: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(rows.shape[0])
    for row in range(rows.shape[0]):
        total[row] = rows[row].sum()
    return total


def random_unless_seeded(rows: torch.Tensor) -> torch.Tensor:
    """Gives the same whenever it is looked at, but the graph would draw."""
    torch.manual_seed(0)
    return rows.sum(1) + torch.rand(rows.shape[0])


class Odd(nn.Module):
    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.item = nn.Embedding(1, 2)
        self.compute = compute

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        return self.compute(self.item(item))


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (branching, "cannot be exported"),
        (looping, "cannot be exported"),
        (random_unless_seeded, "draws random numbers"),
    ],
)
def test_what_cannot_be_exported_is_said(compute: Callable[[torch.Tensor], torch.Tensor], message: str) -> None:
    model = ml.Model("o", Odd(compute), inputs={"item": ml.Id("item_id")}, label=LABEL)
    with pytest.raises(InvalidInput, match=message):
        dense_graph(model.spec, DenseModel(model))
