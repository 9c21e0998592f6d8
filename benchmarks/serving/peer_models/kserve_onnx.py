"""KServe's SDK: `python kserve_onnx.py MODEL.onnx NAME` serves an ONNX file."""

import sys
from typing import Any

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Onnx(Model):
    """Runs one file."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]
        self.ready = True

    async def predict(self, payload: InferRequest, *_others: object, **_headers: Any) -> InferResponse:
        """One request."""
        values = self._session.run(self._names, {tensor.name: tensor.as_numpy() for tensor in payload.inputs})
        outputs = []
        for name, value in zip(self._names, values, strict=True):
            output = InferOutput(name, list(value.shape), "FP32")
            output.set_data_from_numpy(value)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


if __name__ == "__main__":
    path, name, sys.argv[1:] = sys.argv[1], sys.argv[2], sys.argv[3:]
    ModelServer().start([Onnx(name, path)])
