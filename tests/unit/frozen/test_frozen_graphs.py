"""A model from anywhere: what is taken, what is refused and why, and what features make of it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from martlet.errors import InvalidInput
from martlet.feature_encoding import RankInput, encode, feed
from martlet.signature import TensorSpec
from tests.unit.frozen.samples import TENSORFLOW, TENSORFLOW_SAYS, by_hand, examples, scikit
from trainer_svc.frozen.graph_check import open_graph
from trainer_svc.frozen.named_inputs import NamedInputs, read_named_inputs
from trainer_svc.frozen.publishing import FrozenGraph, frozen_graph

node = helper.make_node
of = helper.make_tensor_value_info


def named(folder: Path, text: str) -> NamedInputs:
    path = folder / "spec.yaml"
    path.write_text(text)
    return read_named_inputs(path)


THREE = """
inputs:
  X:
    - {number: item.price}
    - {vector: taste, width: 2}
score: {output: probabilities, column: 1}
"""


def scores(graph: FrozenGraph, request: RankInput) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    score, logit = open_graph(graph.data).run(["score", "logit"], feed(graph.spec, encode(graph.spec, request)))
    return np.asarray(score), np.asarray(logit)


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_a_scikit_learn_model_ranks_by_named_features(kind: str, tmp_path: Path) -> None:
    pipeline, data = scikit(kind)
    graph = frozen_graph(data, named(tmp_path, THREE))
    x, _ = examples(20)
    taste = x[0, 1:].tolist()
    request = RankInput(None, {"taste": taste}, list(range(20)), [{"item.price": float(price)} for price in x[:, 0]])
    score, logit = scores(graph, request)
    rows = np.concatenate([x[:, :1], np.tile(x[:1, 1:], (20, 1))], 1)
    expected = pipeline.predict_proba(rows)[:, 1]
    np.testing.assert_allclose(score, expected, atol=1e-5)
    np.testing.assert_allclose(logit, np.log(expected / (1 - expected)), atol=1e-3)


def test_a_scikit_learn_model_answers_tensors() -> None:
    _, data = scikit()
    graph = frozen_graph(data, None)
    assert graph.spec.features == ()
    assert graph.signature.inputs == (TensorSpec("X", "float32", ("X.0", 3)),)
    assert [(output.name, output.dtype) for output in graph.signature.outputs] == [
        ("label", "int64"), ("probabilities", "float32"),
    ]  # fmt: skip


def test_a_tensorflow_model_ranks_by_named_features(tmp_path: Path) -> None:
    graph = frozen_graph(TENSORFLOW.read_bytes(), named(tmp_path, "inputs: {x: {vector: item.v, width: 3}}"))
    request = RankInput(None, {}, [1, 2, 3], [{"item.v": list(v)} for v in TENSORFLOW_SAYS] + [{}])
    score, _ = scores(graph, request)
    np.testing.assert_allclose(score[:2], list(TENSORFLOW_SAYS.values()), atol=1e-6)
    assert score[2] == pytest.approx(0.5)  # what is missing is 0


def test_ids_and_other_kinds_of_numbers_reach_the_graph(tmp_path: Path) -> None:
    model = by_hand(
        [
            node("Cast", ["user"], ["u"], to=TensorProto.DOUBLE),
            node("Gather", ["x", "zero"], ["first"], axis=1),
            node("Add", ["first", "u"], ["y"]),
        ],
        inputs=[of("user", TensorProto.INT64, ["N"]), of("x", TensorProto.DOUBLE, ["N", 2])],
        outputs=[of("y", TensorProto.DOUBLE, ["N"])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "zero"))
    text = "{inputs: {user: {id: user_id}, x: [{number: item.a, missing: 9}, {number: b}]}, score: {is: number}}"
    graph = frozen_graph(model.SerializeToString(), named(tmp_path, text))
    score, logit = scores(graph, RankInput(5, {"b": 1.0}, [1, 2], [{"item.a": 2.0}, {}]))
    assert score.tolist() == logit.tolist() == [7.0, 14.0]


def test_rows_of_a_foreign_graph_are_not_joined_with_others() -> None:
    """A foreign dimension "n" is not Martlet's: nobody knows that requests may lie side by side there."""
    graph = frozen_graph(by_hand([node("Relu", ["x"], ["y"])]).SerializeToString(), None)
    assert graph.signature.inputs[0].dims == ("n_", 3)


def external() -> onnx.ModelProto:
    model = by_hand([node("Add", ["x", "w"], ["y"])])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    model.graph.initializer.append(tensor)
    return model


def borrowing() -> onnx.ModelProto:
    constant = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    constant.external_data.add(key="location", value="w.bin")
    return by_hand([node("Constant", [], ["w"], value=constant), node("Add", ["x", "w"], ["y"])])


def looping() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Identity", ["v"], ["v2"])],
        "body",
        [of("i", TensorProto.INT64, []), of("c", TensorProto.BOOL, []), of("v", TensorProto.FLOAT, ["n", 3])],
        [of("c2", TensorProto.BOOL, []), of("v2", TensorProto.FLOAT, ["n", 3])],
    )
    return by_hand([node("Loop", ["", "", "x"], ["y"], body=body, name="again")])


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (external(), "initializer 'w' stands in another file"),
        (looping(), "operator 'Loop' holds inner graphs"),
        (borrowing(), "names the file 'w.bin'"),
        (
            by_hand([node("Rank", ["x"], ["y"], domain="shop", name="r")]),
            "operator 'shop::Rank' is none of ONNX's",
        ),
        (by_hand([node("RandomNormalLike", ["x"], ["y"])]), "RandomNormalLike .* draws random numbers"),
        (by_hand([node("Rangk", ["x"], ["y"])]), "not valid: No Op registered for Rangk"),
        (by_hand([node("Add", ["x", "nothing"], ["y"])]), "not valid"),
    ],
    ids=["external data", "control flow", "external constant", "custom operator", "random", "unknown", "invalid"],
)
def test_what_cannot_be_served_anywhere_is_refused(model: onnx.ModelProto, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        frozen_graph(model.SerializeToString(), None)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not an ONNX model"):
        frozen_graph(b"\xff\xff\xff", None)
    with pytest.raises(InvalidInput, match="not an ONNX model"):
        frozen_graph(b"", None)


def test_a_sequence_is_no_tensor() -> None:
    with pytest.raises(InvalidInput, match=r"is a sequence_type, not a tensor .*zipmap=False"):
        frozen_graph(scikit(zipmap=True)[1], None)


def test_functions_are_written_out() -> None:
    function = helper.make_function(
        "shop", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    model = by_hand([node("Twice", ["x"], ["y"], domain="shop")])
    model.functions.append(function)
    graph = frozen_graph(model.SerializeToString(), None)
    assert open_graph(graph.data).run(None, {"x": np.ones((1, 3), np.float32)})[0].tolist() == [[2.0, 2.0, 2.0]]


COUPLED = by_hand([node("ReduceMean", ["x"], ["m"], keepdims=1), node("Sub", ["x", "m"], ["y"])])


@pytest.mark.parametrize(
    ("model", "text", "complaint"),
    [
        (COUPLED, "inputs: {x: {vector: v, width: 3}}", "hangs on the items beside it"),
        (None, "inputs: {x: {vector: v, width: 3}}", "said to be a probability, but is .*: write is: logit"),
        (None, "inputs: {x: {vector: v, width: 4}}", "'x' takes 3 numbers an item, its features give 4"),
        (None, "inputs: {z: {number: a}}", "input 'x' is not among inputs"),
        (None, "inputs: {x: {vector: v, width: 3}, z: {number: a}}", "inputs names 'z'"),
        (None, "inputs: {x: {vector: v, width: 3}}\nscore: {output: p}", "score names the output 'p'"),
        (None, "inputs: {x: {vector: v, width: 3}}\nscore: {column: 3}", "has no column 3"),
        (None, "inputs: {x: {number: a, vector: v}}", "a number, a vector or an id"),
        (None, "inputs: {x: {vector: v}}", "a vector has a width"),
        (None, "inputs: {x: {number: a, odd: 1}}", "unknown field `odd`"),
        (None, "inputs: {}", "names no feature"),
        (None, "inputs: [", "spec.yaml"),
        (None, "inputs: {x: {vector: v, width: 3}}\nscore: {is: odd}", "Invalid enum value 'odd'"),
    ],
)
def test_a_file_that_does_not_fit_is_told(
    model: onnx.ModelProto | None, text: str, complaint: str, tmp_path: Path
) -> None:
    plain = by_hand([node("Identity", ["x"], ["y"])])
    with pytest.raises(InvalidInput, match=complaint):
        frozen_graph((model or plain).SerializeToString(), named(tmp_path, text))
