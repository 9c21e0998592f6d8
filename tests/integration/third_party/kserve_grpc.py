"""KServe's InferenceGRPCClient: health, every datatype that it knows, errors.

The SDK's `__init__` imports its server and its Kubernetes API; the client alone needs neither, so the package is
entered past it.
"""

import asyncio
import importlib.util
import sys
import types

import numpy as np

package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package

import grpc  # noqa: E402
from kserve.inference_client import InferenceGRPCClient  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

ECHO = "echo"
VALUES = {
    "bool": ("BOOL", np.array([True, False])),
    "uint8": ("UINT8", np.array([0, 255], np.uint8)),
    "uint16": ("UINT16", np.array([1, 65535], np.uint16)),
    "uint32": ("UINT32", np.array([1, 2**32 - 1], np.uint32)),
    "uint64": ("UINT64", np.array([1, 2**64 - 1], np.uint64)),
    "int8": ("INT8", np.array([-128, 127], np.int8)),
    "int16": ("INT16", np.array([-32768, 32767], np.int16)),
    "int32": ("INT32", np.array([-(2**31), 2**31 - 1], np.int32)),
    "int64": ("INT64", np.array([-(2**63), 2**63 - 1], np.int64)),
    "float32": ("FP32", np.array([[0.1, -0.0], [1e-45, 3.0]], np.float32)),
    "float64": ("FP64", np.array([0.1, 5e-324])),
    "string": ("BYTES", np.array([b"", "Żółw".encode()], np.object_)),
}


def request(*, binary: bool, without: str = "", outputs: list[RequestedOutput] | None = None) -> InferRequest:
    """All datatypes, raw (binary) or typed."""
    inputs = []
    for name, (datatype, values) in VALUES.items():
        if name != without:
            tensor = InferInput(name, list(values.shape), datatype)
            tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(tensor)
    return InferRequest(model_name=ECHO, infer_inputs=inputs, request_id="42", request_outputs=outputs)


async def main(address: str) -> None:
    """Asks everything."""
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(ECHO)
        for binary in (True, False):
            response = await client.infer(request(binary=binary))
            assert (response.id, response.model_name, response.model_version) == ("42", ECHO, "1")
            for output in response.outputs:
                sent = VALUES[output.name.removesuffix("_out")][1]
                assert output.as_numpy().tolist() == sent.tolist(), output.name
        response = await client.infer(request(binary=True, outputs=[RequestedOutput("int8_out")]))
        assert [output.name for output in response.outputs] == ["int8_out"]
        await check_refusal(client)


async def check_refusal(client: InferenceGRPCClient) -> None:
    """A missing input is named, with a status that the client does not repeat."""
    try:
        await client.infer(request(binary=True, without="int16"))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
        assert "'int16' is missing" in error.details(), error
    else:
        raise AssertionError("a missing input was taken")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
