"""The Open Inference Protocol's tensors: raw and typed in, raw out."""

from collections.abc import Callable

import numpy as np
import pytest

from martlet.errors import InvalidInput, NotFound
from martlet.events import Arm
from martlet.oip import open_inference_pb2 as pb
from martlet.signature import TensorSpec
from serving_svc.rpc.oip_codec import query_of, response_of, version_of
from serving_svc.rpc.oip_descriptions import tensor_metadata
from serving_svc.tensor_inference import TensorAnswer
from tests.unit.serving.fakes import sid

TYPED = [
    ("BOOL", np.bool_, "bool_contents", [True, False]),
    ("UINT8", np.uint8, "uint_contents", [0, 255]),
    ("UINT16", np.uint16, "uint_contents", [0, 65535]),
    ("UINT32", np.uint32, "uint_contents", [0, 2**32 - 1]),
    ("UINT64", np.uint64, "uint64_contents", [0, 2**64 - 1]),
    ("INT8", np.int8, "int_contents", [-128, 127]),
    ("INT16", np.int16, "int_contents", [-32768, 32767]),
    ("INT32", np.int32, "int_contents", [-(2**31), 2**31 - 1]),
    ("INT64", np.int64, "int64_contents", [-(2**63), 2**63 - 1]),
    ("FP32", np.float32, "fp32_contents", [-1.5, 3.0]),
    ("FP64", np.float64, "fp64_contents", [-1.5, 3.0]),
]


def request(datatype: str = "INT64", shape: tuple[int, ...] = (2,), **contents: list[object]) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="shop")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return message


@pytest.mark.parametrize(("datatype", "dtype", "field", "values"), TYPED, ids=[row[0] for row in TYPED])
def test_typed_and_raw_contents_are_the_same(
    datatype: str, dtype: type[np.generic], field: str, values: list[object]
) -> None:
    typed = request(datatype)
    getattr(typed.inputs[0].contents, field).extend(values)
    raw = request(datatype)
    raw.raw_input_contents.append(np.array(values, dtype).tobytes())
    for message in (typed, raw):
        array = query_of(message).inputs["x"]
        assert array.dtype == dtype
        assert array.tolist() == values


def test_half_floats_travel_raw_only() -> None:
    raw = request("FP16")
    raw.raw_input_contents.append(np.array([1.5, -2.0], np.float16).tobytes())
    assert query_of(raw).inputs["x"].tolist() == [1.5, -2.0]
    with pytest.raises(InvalidInput, match="'x' is FP16, which travels in raw_input_contents only"):
        query_of(request("FP16", fp32_contents=[1.5, -2.0]))


def _mixed() -> pb.ModelInferRequest:
    message = request(int64_contents=[1, 2])
    message.raw_input_contents.append(bytes(16))
    return message


def _twice() -> pb.ModelInferRequest:
    message = request(int64_contents=[1, 2])
    message.inputs.append(message.inputs[0])
    return message


def _raw(size: int, shape: tuple[int, ...] = (2,)) -> pb.ModelInferRequest:
    message = request(shape=shape)
    message.raw_input_contents.append(bytes(size))
    return message


def _too_few_raw() -> pb.ModelInferRequest:
    message = _raw(16)
    message.inputs.add(name="y", datatype="INT64", shape=[1])
    return message


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_mixed, "'x' has contents, but the request has raw_input_contents"),
        (_twice, "'x' is given twice"),
        (_too_few_raw, "raw_input_contents has 1 entries for 2 inputs"),
        (lambda: _raw(15), "'x' has 15 bytes, expected 16"),
        (lambda: _raw(16, (-2,)), "'x' has shape .-2., which is no shape"),
        (lambda: _raw(8, (1,) * 65), "which is no shape"),
        (lambda: request(int64_contents=[1]), "'x' has 1 elements, expected 2"),
        (request, "'x' has 0 elements, expected 2"),
        (lambda: request(fp32_contents=[1.0, 2.0]), "'x' is INT64 but has fp32_contents"),
        (lambda: request("FP31", fp32_contents=[1.0, 2.0]), "datatype 'FP31', which is none of BOOL, UINT8"),
        (lambda: request("INT8", int_contents=[1, 300]), "'x' holds a value that is no INT8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_by_name(make: Callable[[], pb.ModelInferRequest], error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        query_of(make())


def test_a_huge_shape_is_refused_without_allotting_it() -> None:
    with pytest.raises(InvalidInput, match="expected"):
        query_of(_raw(16, (2**40, 2**40)))


def test_versions_are_numbers_and_empty_leaves_the_choice() -> None:
    assert (version_of("", "shop"), version_of("12", "shop")) == (0, 12)
    for text in ("0", "01", "abc", "-1", "1.0", "²", "9" * 5000):
        with pytest.raises(NotFound, match="versions are numbers"):
            version_of(text, "shop")


def test_the_session_comes_from_a_parameter() -> None:
    message = request(int64_contents=[1, 2])
    assert query_of(message).session == ""
    message.parameters["session_id"].string_param = "s"
    message.outputs.add(name="logit")
    query = query_of(message)
    assert (query.session, query.outputs) == ("s", ("logit",))


def test_the_answer_is_raw_and_says_who_answered() -> None:
    message = request()
    message.id = "42"
    answer = TensorAnswer(sid(3), Arm.LIVE, "p-1", {"logit": np.array([[1.5], [2.5]], np.float32)})
    response = response_of(message.id, answer)
    assert (response.id, response.model_name, response.model_version) == ("42", "shop", "3")
    told = {name: parameter.string_param for name, parameter in response.parameters.items()}
    assert told == {"version": "3", "digest": "digest-3", "arm": "live", "prediction_id": "p-1"}
    (output,) = response.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("logit", "FP32", [2, 1])
    assert not output.HasField("contents")
    assert response.raw_output_contents == [np.array([1.5, 2.5], "<f4").tobytes()]


def test_dimensions_of_any_size_are_minus_one() -> None:
    tensor = tensor_metadata(TensorSpec("history", "int64", ("r", 20)))
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("history", "INT64", [-1, 20])


def test_bfloat16_travels_as_its_bits() -> None:
    raw = request("BF16")
    raw.raw_input_contents.append(b"\x80\x3f\xc0\x7f")
    array = query_of(raw).inputs["x"]
    assert (array.dtype, array.tobytes()) == (np.dtype("V2"), b"\x80\x3f\xc0\x7f")
    with pytest.raises(InvalidInput, match="'x' is BF16, which travels in raw_input_contents only"):
        query_of(request("BF16", fp32_contents=[1.0, 2.0]))


def test_raw_contents_are_seen_where_they_are() -> None:
    message = _raw(16)
    assert not query_of(message).inputs["x"].flags.owndata


TEXTS = ["", "a\0b", "Żółw 日本"]
ENCODED = [text.encode() for text in TEXTS]
PACKED = b"\0\0\0\0" + b"\3\0\0\0a\0b" + b"\x0e\0\0\0" + "Żółw 日本".encode()


def bytes_request(raw: bytes, shape: tuple[int, ...] = (3, 1)) -> pb.ModelInferRequest:
    message = request("BYTES", shape)
    message.raw_input_contents.append(raw)
    return message


def test_texts_come_raw_or_typed_and_go_raw() -> None:
    for message in (bytes_request(PACKED), request("BYTES", (3, 1), bytes_contents=list(ENCODED))):
        array = query_of(message).inputs["x"]
        assert (array.shape, array.reshape(-1).tolist()) == ((3, 1), TEXTS)
    answer = TensorAnswer(sid(1), Arm.LIVE, "p", {"y": array})
    response = response_of("", answer)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BYTES", [3, 1])
    assert response.raw_output_contents == [PACKED]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (bytes_request(PACKED[:-1]), "'x': element 2 reaches past the end of its 28 bytes"),
        (bytes_request(PACKED + b"\1\0"), "'x': element 3 reaches past the end"),
        (bytes_request(b"\xff\xff\xff\xff"), "'x': element 0 reaches past the end"),
        (bytes_request(PACKED, (2,)), "'x' has 3 elements, expected 2"),
        (bytes_request(PACKED, (-3,)), "which is no shape"),
        (bytes_request(b"\2\0\0\0\xff\xfe", (1,)), "'x': element 0 is not UTF-8"),
        (request("BYTES", (1,), bytes_contents=[b"\xff"]), "'x': element 0 is not UTF-8"),
    ],
    ids=["cut", "length-cut", "length-huge", "too-many", "negative", "raw-no-text", "typed-no-text"],
)
def test_texts_that_do_not_fit_are_refused_by_name(message: pb.ModelInferRequest, error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        query_of(message)


def test_a_parameter_that_would_change_the_answer_is_refused_and_others_are_not() -> None:
    message = request(int64_contents=[1, 2])
    for kind, value in (("bool_param", True), ("double_param", 0.5), ("uint64_param", 2**64 - 1)):
        setattr(message.parameters[kind], kind, value)
        setattr(message.inputs[0].parameters[kind], kind, value)
    message.outputs.add(name="logit").parameters["binary_data"].bool_param = True
    assert query_of(message).outputs == ("logit",)
    message.outputs[0].parameters["classification"].int64_param = 3
    with pytest.raises(InvalidInput, match="output 'logit': parameter 'classification' is not offered here"):
        query_of(message)


def test_a_session_may_be_a_number_but_not_a_fraction() -> None:
    message = request(int64_contents=[1, 2])
    message.parameters["session_id"].int64_param = -7
    assert query_of(message).session == "-7"
    message.parameters["session_id"].double_param = 1.5
    with pytest.raises(InvalidInput, match="'session_id' must be a text or a whole number"):
        query_of(message)
