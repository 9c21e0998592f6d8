"""What a graph says of its external initializers, against the ONNX library."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from martlet.errors import Corrupt
from serving_svc.onnx_initializers import Initializer, external_initializers


def external(name: str, dtype: int, dims: list[int], location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="offset", value="0")
    return tensor


def model(*initializers: TensorProto) -> bytes:
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [], list(initializers))
    return helper.make_model(graph, producer_name="a producer").SerializeToString()


def test_external_initializers_are_found_and_others_are_not() -> None:
    data = model(
        external("t.keys", TensorProto.INT64, [70_000, 4], "t.keys.bin"),
        numpy_helper.from_array(np.ones(3, np.float32), "inside"),
        external("mlp.weight", TensorProto.FLOAT, [16, 300], "mlp.weight.bin"),
        external("scalar", TensorProto.FLOAT, [], "scalar.bin"),
    )
    assert external_initializers(data) == {
        "t.keys": Initializer("t.keys", "int64", (70_000, 4), "t.keys.bin"),
        "mlp.weight": Initializer("mlp.weight", "float32", (16, 300), "mlp.weight.bin"),
        "scalar": Initializer("scalar", "float32", (), "scalar.bin"),
    }


@pytest.mark.parametrize("location", ["", "../x", "/etc/passwd", "a/b", "..", "."])
def test_a_file_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(Corrupt, match="must stand beside the graph"):
        external_initializers(model(external("w", TensorProto.FLOAT, [1], location)))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(Corrupt):
        external_initializers(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_graph_is_read_or_refused(at: int, value: int) -> None:
    data = bytearray(model(external("w", TensorProto.FLOAT, [2, 3], "w.bin")))
    data[at % len(data)] = value
    with suppress(Corrupt):
        external_initializers(bytes(data))


def test_the_field_numbers_are_onnx_own() -> None:
    numbers = {name: onnx.TensorProto.DESCRIPTOR.fields_by_name[name].number for name in ("dims", "data_type", "name")}
    assert numbers == {"dims": 1, "data_type": 2, "name": 8}
