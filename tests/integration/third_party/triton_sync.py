"""tritonclient.grpc: metadata, configuration, statistics, the index, every datatype, errors, a stream."""

import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

ECHO, ECHO_HALF = "echo", "echo_half"
# Two rows of each datatype; FP32 has a second dimension of 2. BF16 holds what 8 bits of precision can.
VALUES = {
    "BOOL": np.array([True, False]),
    "UINT8": np.array([0, 255], np.uint8),
    "UINT16": np.array([1, 65535], np.uint16),
    "UINT32": np.array([1, 2**32 - 1], np.uint32),
    "UINT64": np.array([1, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 127], np.int8),
    "INT16": np.array([-32768, 32767], np.int16),
    "INT32": np.array([-(2**31), 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 2**63 - 1], np.int64),
    "FP16": np.array([-1.5, 65504.0], np.float16),
    "BF16": np.array([-1.5, 2.0**100], np.float32),
    "FP32": np.array([[0.1, np.nan], [-np.inf, 3.0]], np.float32),
    "FP64": np.array([0.1, 5e-324]),
    "BYTES": np.array([b"", "Żółw\0".encode()], np.object_),
}


def inputs_of(metadata):
    """All inputs of a model, filled."""
    inputs = []
    for tensor in metadata.inputs:
        values = VALUES[tensor.datatype]
        filled = triton.InferInput(tensor.name, list(values.shape), tensor.datatype)
        if tensor.datatype == "BF16":
            values = values.astype(triton_to_np_dtype("BF16"))  # float32, or ml_dtypes' bfloat16 in newer clients
        filled.set_data_from_numpy(values)
        inputs.append(filled)
    return inputs


def check_answer(metadata, result):
    """Every output is its input."""
    assert len(result.get_response().outputs) == len(metadata.outputs)
    for tensor in metadata.outputs:
        found, sent = result.as_numpy(tensor.name), VALUES[tensor.datatype]
        if tensor.datatype == "BYTES":
            assert found.tolist() == sent.tolist(), found
        else:
            np.testing.assert_array_equal(found.astype(sent.dtype), sent, tensor.datatype)


def check_descriptions(client):
    """What the server says of itself and of its models."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(ECHO)
    assert client.is_model_ready(ECHO, "1")
    server = client.get_server_metadata()
    assert server.name == "martlet"
    assert {"statistics", "model_configuration"} <= set(server.extensions)
    batched = client.get_model_config("echo_float").config
    assert (batched.max_batch_size, list(batched.input[0].dims)) == (4096, [4])
    config = client.get_model_config(ECHO).config
    assert (config.name, config.backend, config.max_batch_size) == (ECHO, "onnxruntime", 0)
    types = {tensor.name: tensor.data_type for tensor in config.input}
    assert (types["string"], types["float32"], types["int8"]) == (13, 11, 6)
    assert [list(tensor.dims) for tensor in config.input if tensor.name in {"float32", "int8"}] == [[-1], [-1, 2]]
    assert not config.model_transaction_policy.decoupled
    index = {(model.name, model.version): model.state for model in client.get_model_repository_index().models}
    assert index[ECHO, "1"] == index[ECHO_HALF, "1"] == "READY"


def check_inference(client):
    """Every datatype there and back; outputs by name; parameters; what the answer says of itself."""
    for model in (ECHO, ECHO_HALF):
        metadata = client.get_model_metadata(model)
        result = client.infer(model, inputs_of(metadata), request_id="42", parameters={"session_id": "s", "any": 1.5})
        check_answer(metadata, result)
        response = result.get_response()
        assert (response.id, response.model_name, response.model_version) == ("42", model, "1")
        assert response.parameters["digest"].string_param.startswith("mt1")
        assert response.parameters["prediction_id"].string_param
    metadata = client.get_model_metadata(ECHO)
    wanted = [triton.InferRequestedOutput(name) for name in ("int64_out", "bool_out")]
    result = client.infer(ECHO, inputs_of(metadata), model_version="1", outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["int64_out", "bool_out"]


def check_errors(client):
    """What is wrong, by its status and its name."""
    metadata = client.get_model_metadata(ECHO)
    for status, told, call in (
        ("NOT_FOUND", "nobody", lambda: client.get_model_metadata("nobody")),
        ("NOT_FOUND", "version 9", lambda: client.infer(ECHO, inputs_of(metadata), model_version="9")),
        ("INVALID_ARGUMENT", "'bool' is missing", lambda: client.infer(ECHO, inputs_of(metadata)[1:])),
        ("UNIMPLEMENTED", "", lambda: client.load_model(ECHO)),
    ):
        try:
            call()
        except InferenceServerException as error:
            assert status in error.status(), error
            assert told in error.message(), error
        else:
            raise AssertionError(f"no {status}")


def check_statistics(client):
    """Counts grow by what was asked."""

    def counts():
        (stats,) = client.get_inference_statistics(ECHO, "1").model_stats
        queue_count = stats.inference_stats.queue.count
        return stats.inference_count, stats.execution_count, stats.inference_stats.success.count, queue_count

    before = counts()
    metadata = client.get_model_metadata(ECHO)
    for _ in range(3):
        client.infer(ECHO, inputs_of(metadata))
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [6, 3, 3, 3]
    assert {stats.name for stats in client.get_inference_statistics().model_stats} >= {ECHO, ECHO_HALF}


def check_stream(client):
    """Answers in order; an error is an answer, and the stream goes on."""
    answers = queue.Queue()
    metadata = client.get_model_metadata(ECHO)
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer(ECHO, inputs_of(metadata), request_id="a")
    client.async_stream_infer(ECHO, inputs_of(metadata)[1:], request_id="b")
    client.async_stream_infer(ECHO, inputs_of(metadata), request_id="c")
    first, second, third = (answers.get(timeout=10) for _ in range(3))
    client.stop_stream()
    assert first[0].get_response().id == "a"
    assert "'bool' is missing" in str(second[1])
    assert third[0].get_response().id == "c"
    check_answer(metadata, third[0])


if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1]) as the_client:
        check_descriptions(the_client)
        check_inference(the_client)
        check_errors(the_client)
        check_statistics(the_client)
        check_stream(the_client)
