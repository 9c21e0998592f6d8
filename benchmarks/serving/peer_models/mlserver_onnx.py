"""MLServer's runtime for an ONNX file, as its documentation shows custom runtimes: decode by its codec, run, encode.

The session is made on the event loop, as most runtimes do, or in a thread, so that requests need not wait for it.
"""

import asyncio

import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    """Runs `model-settings.json`'s `parameters.uri`. `parameters.extra.in_thread`: where the session is made."""

    async def load(self) -> bool:
        """Makes the session."""
        parameters = self.settings.parameters
        in_thread = parameters.extra["in_thread"]
        self._session = await asyncio.to_thread(_session, parameters.uri) if in_thread else _session(parameters.uri)
        self._outputs = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One request."""
        feed = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        values = self._session.run(self._outputs, feed)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(self._outputs, values, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


def _session(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, ["CPUExecutionProvider"])
