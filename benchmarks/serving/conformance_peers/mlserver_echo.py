"""MLServer's runtime: decodes each input by MLServer's codecs and gives it back."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import Datatype, InferenceRequest, InferenceResponse, RequestInput, ResponseOutput


class Echo(MLModel):
    """Every input comes back as `<name>_out`; only the outputs that are asked for."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One request."""
        outputs = {f"{tensor.name}_out": _echo(tensor) for tensor in payload.inputs}
        wanted = [output.name for output in payload.outputs or []] or list(outputs)
        unknown = [name for name in wanted if name not in outputs]
        if unknown:
            raise InferenceError(f"there is no output {unknown[0]!r}")
        return InferenceResponse(
            model_name=self.name, model_version=self.version, outputs=[outputs[name] for name in wanted]
        )


def _echo(tensor: RequestInput) -> ResponseOutput:
    name = f"{tensor.name}_out"
    if tensor.datatype is Datatype.BYTES or tensor.datatype == "BYTES":
        elements = list(tensor.data)
        if len(elements) != np.prod(tensor.shape, dtype=int):
            raise InferenceError(f"input {tensor.name!r} has {len(elements)} elements for the shape {tensor.shape}")
        return ResponseOutput(name=name, datatype="BYTES", shape=tensor.shape, data=elements)
    array = NumpyCodec.decode_input(tensor)
    return ResponseOutput(name=name, datatype=tensor.datatype, shape=list(array.shape), data=array.reshape(-1).tolist())
