"""KServe's SDK: `python kserve_echo.py MODELS.json` serves models that decode each input as NumPy and give it back."""

import json
import sys
from pathlib import Path
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput


class Echo(Model):
    """Every input comes back as `<name>_out`; only the outputs that are asked for."""

    def __init__(self, name: str, tensors: list[dict[str, Any]]) -> None:
        super().__init__(name)
        self._tensors = tensors
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        """The inputs' metadata."""
        return self._tensors

    async def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs' metadata."""
        return [{**tensor, "name": f"{tensor['name']}_out"} for tensor in self._tensors]

    async def predict(self, payload: InferRequest, *_others: object, **_headers: object) -> InferResponse:
        """One request."""
        arrays = {f"{tensor.name}_out": (tensor.datatype, tensor.as_numpy()) for tensor in payload.inputs}
        wanted = [output.name for output in payload.request_outputs or []] or list(arrays)
        unknown = [name for name in wanted if name not in arrays]
        if unknown:
            raise InvalidInput(f"there is no output {unknown[0]!r}")
        outputs = []
        for name in wanted:
            datatype, array = arrays[name]
            output = InferOutput(name, list(array.shape), datatype)
            output.set_data_from_numpy(array)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


if __name__ == "__main__":
    path, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    models = json.loads(Path(path).read_text())
    ModelServer().start([Echo(name, tensors) for name, tensors in models.items()])
