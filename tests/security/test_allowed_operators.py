"""What a graph may hold, checked against graphs that the ONNX library made."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from martlet.allowed_operators import DEEPEST, GraphRules, check_operators
from martlet.errors import Corrupt, InvalidInput


def model(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    graph = helper.make_graph(list(nodes), "graph", [x], [y], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def relu() -> onnx.NodeProto:
    return helper.make_node("Relu", ["x"], ["y"])


def branch(node: onnx.NodeProto, depth: int = 1) -> onnx.NodeProto:
    """The node inside so many Ifs."""
    for _ in range(depth):
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
        inner = helper.make_graph([node], "inner", [], [y])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    return node


def external(name: str, *locations: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for location in locations:
        tensor.external_data.add(key="location", value=location)
    return tensor


def test_standard_operators_pass() -> None:
    check_operators(model(relu(), initializers=(external("w", "w.bin"),)).SerializeToString())
    for domain in ("ai.onnx", "ai.onnx.ml"):
        check_operators(model(helper.make_node("Relu", ["x"], ["y"], domain=domain)).SerializeToString())


NOT_TAKEN: dict[str, Callable[[], onnx.ModelProto]] = {
    "'If'": lambda: model(branch(relu())),
    "'Loop'": lambda: model(helper.make_node("Loop", ["m", "c"], ["y"])),
    "'Scan'": lambda: model(helper.make_node("Scan", ["x"], ["y"])),
    "'shop::TreeEnsemble'": lambda: model(helper.make_node("TreeEnsemble", ["x"], ["y"], domain="shop")),
    "'com.microsoft::Gelu'": lambda: model(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")),
}


@pytest.mark.parametrize("told", NOT_TAKEN)
def test_other_operators_are_refused_unless_configured(told: str) -> None:
    graph = NOT_TAKEN[told]().SerializeToString()
    with pytest.raises(InvalidInput, match=told):
        check_operators(graph)
    check_operators(graph, GraphRules(operators=frozenset({told.strip("'")})))


def test_an_operator_hides_in_no_inner_graph() -> None:
    hidden = model(branch(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), 2)).SerializeToString()
    with pytest.raises(InvalidInput, match="Gelu"):
        check_operators(hidden, GraphRules(operators=frozenset({"If"})))


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1])
def test_inner_graphs_are_nested_so_deep(depth: int) -> None:
    graph, rules = model(branch(relu(), depth)).SerializeToString(), GraphRules(operators=frozenset({"If"}))
    if depth <= DEEPEST:
        check_operators(graph, rules)
    else:
        with pytest.raises(InvalidInput, match="nested deeper"):
            check_operators(graph, rules)


def test_bytes_and_nodes_have_limits() -> None:
    graph = model(*[relu()] * 10).SerializeToString()
    check_operators(graph, GraphRules(max_bytes=len(graph), max_nodes=10))
    with pytest.raises(InvalidInput, match="bytes"):
        check_operators(graph, GraphRules(max_bytes=len(graph) - 1))
    with pytest.raises(InvalidInput, match="nodes"):
        check_operators(graph, GraphRules(max_nodes=9))


@pytest.mark.parametrize("locations", [("/etc/passwd",), ("../w.bin",), ("..",), (), ("w.bin", "../w.bin"), ("a\0b",)])
def test_a_file_elsewhere_is_refused(locations: tuple[str, ...]) -> None:
    with pytest.raises(Corrupt, match="beside the graph"):
        check_operators(model(relu(), initializers=(external("w", *locations),)).SerializeToString())


def test_only_the_graphs_own_initializers_have_files() -> None:
    constant = helper.make_node("Constant", [], ["y"], value=external("w", "w.bin"))
    with pytest.raises(Corrupt, match="inside the graph"):
        check_operators(model(constant).SerializeToString())
    disguised = external("w", "w.bin")
    disguised.data_location = TensorProto.DEFAULT
    with pytest.raises(Corrupt, match="inside the graph"):
        check_operators(model(helper.make_node("Constant", [], ["y"], value=disguised)).SerializeToString())


def test_functions_and_sparse_tensors_are_refused() -> None:
    with_function = model(relu())
    with_function.functions.append(helper.make_function("d", "F", ["x"], ["y"], [relu()], []))
    with pytest.raises(InvalidInput, match="functions"):
        check_operators(with_function.SerializeToString())
    sparse = model(relu())
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 40]))
    with pytest.raises(InvalidInput, match="sparse"):
        check_operators(sparse.SerializeToString())


def test_what_two_parsers_would_read_differently_is_refused() -> None:
    node = relu()
    twice = node.SerializeToString() + helper.make_node("Loop", [], []).SerializeToString()  # the last one holds
    merged = onnx.NodeProto.FromString(twice)
    assert merged.op_type == "Loop"
    graph = model(relu()).SerializeToString().replace(node.SerializeToString(), node.SerializeToString())
    body = onnx.ModelProto.FromString(graph).graph
    raw = b"\x0a" + bytes([len(twice)]) + twice
    with pytest.raises(InvalidInput, match="Loop"):
        check_operators(b"\x3a" + bytes([len(raw)]) + raw)
    assert body.node[0].op_type == "Relu"
    with pytest.raises(Corrupt):  # a tag whose bits beyond 32 some parsers drop
        check_operators(b"\xba\x80\x80\x80\x10" + bytes([len(raw)]) + raw)


@given(st.binary(max_size=300) | st.tuples(st.integers(0, 200), st.integers(0, 255)))
@settings(max_examples=500, deadline=None)
def test_whatever_bytes_come_the_answer_is_named(given_: bytes | tuple[int, int]) -> None:
    graph = bytearray(model(relu(), initializers=(external("w", "w.bin"),)).SerializeToString())
    if isinstance(given_, tuple):
        graph[given_[0] % len(graph)] = given_[1]
    try:
        check_operators(bytes(graph if isinstance(given_, tuple) else given_))
    except (Corrupt, InvalidInput):
        return
