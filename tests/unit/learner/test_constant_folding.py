"""A simplified graph computes what it did, and its weights are left alone."""

from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from trainer_svc.export.constant_folding import simplify

Floats = npt.NDArray[np.float32]
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
TO_THE_END = np.iinfo(np.int64).max


def graph_of(nodes: list[onnx.NodeProto], **initializers: npt.NDArray[np.generic]) -> onnx.ModelProto:
    """From `x` float32[3, 4] to `y`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def run(model: onnx.ModelProto) -> Floats:
    outputs = cast("list[Floats]", onnx.reference.ReferenceEvaluator(model).run(None, {"x": VALUES}))
    return outputs[0]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type != "Constant"]


@pytest.mark.parametrize(
    ("start", "end", "step", "kept"),
    [(0, TO_THE_END, 1, False), (1, TO_THE_END, 1, True), (0, 2, 1, True), (0, TO_THE_END, 2, True)],
)
def test_only_a_slice_of_everything_is_dropped(start: int, end: int, step: int, kept: bool) -> None:  # noqa: FBT001
    bounds = {name: np.array([v], np.int64) for name, v in (("a", start), ("b", end), ("c", 0), ("d", step))}
    nodes = [helper.make_node("Slice", ["x", *"abcd"], ["s"]), helper.make_node("Neg", ["s"], ["y"])]
    model = graph_of(nodes, **bounds)
    before = run(model)
    simplify(model, set())
    assert kinds(model) == (["Slice", "Neg"] if kept else ["Neg"])
    np.testing.assert_array_equal(run(model), before)
    assert not model.graph.initializer


def test_a_constant_cast_to_a_known_type_is_computed() -> None:
    nodes = [helper.make_node("CastLike", ["two", "x"], ["t"]), helper.make_node("Mul", ["x", "t"], ["y"])]
    model = graph_of(nodes, two=np.array(2, np.int64))
    simplify(model, set())
    assert kinds(model) == ["Mul"]
    np.testing.assert_array_equal(run(model), VALUES * 2)


def test_what_depends_on_a_weight_is_never_computed() -> None:
    nodes = [
        helper.make_node("Reshape", ["weight", "shape"], ["r"]),
        helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Mul", ["x", "i"], ["y"]),
        helper.make_node("Neg", ["x"], ["nobody_needs_this"]),
    ]
    weight = np.arange(4, dtype=np.float32)
    model = graph_of(nodes, weight=weight, shape=np.array([1, 4], np.int64))
    simplify(model, {"weight"})
    assert kinds(model) == ["Reshape", "Mul"]
    assert [tensor.name for tensor in model.graph.initializer] == ["weight"]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight + 1, "weight"))  # swapped, as serving does
    np.testing.assert_array_equal(run(model), VALUES * (weight + 1))


def test_an_output_keeps_its_name() -> None:
    model = graph_of([helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Identity", ["n"], ["y"])])
    simplify(model, set())
    np.testing.assert_array_equal(run(model), -VALUES)
