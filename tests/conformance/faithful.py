"""An echo server in plain values that keeps every law, and ways to break one: what the kit itself is tested with."""

from collections.abc import Sequence
from math import prod

from tests.conformance.answer import Answer, FlagReply, InferReply, Output, ServerReply
from tests.conformance.case import About, Server
from tests.conformance.datatypes import ALL, BY_NAME, Value
from tests.conformance.draft import Draft, DraftInput
from tests.conformance.model import Model, Tensor


class RefusedError(Exception):
    """What it answers with another status than OK."""


def echo_model(name: str, datatypes: Sequence[str]) -> Model:
    """An input and an output of each datatype."""
    inputs = tuple(Tensor(datatype.lower(), datatype, (-1,)) for datatype in datatypes)
    outputs = tuple(Tensor(f"{tensor.name}_out", tensor.datatype, tensor.shape) for tensor in inputs)
    return Model(name, ("1", "2"), "python_echo", inputs, outputs, echoes=True)


MODELS = (
    echo_model("echo", [datatype.name for datatype in ALL if datatype.contents]),
    echo_model("half", [datatype.name for datatype in ALL if not datatype.contents]),
)


class FaithfulServer:
    """Keeps every law. A fault overrides one of the small methods."""

    def server(self, call: Server) -> Answer:
        """About the server."""
        if call.rpc == "ServerMetadata":
            return Answer("OK", "", ServerReply("faithful", "1", ()))
        return Answer("OK", "", FlagReply(True))

    def about(self, call: About) -> Answer:
        """About a model."""
        try:
            model = self.model(call.name, call.version)
        except RefusedError as error:
            return Answer("NOT_FOUND", str(error))
        return Answer("OK", "", model if call.rpc == "ModelMetadata" else FlagReply(True))

    def infer(self, draft: Draft) -> Answer:
        """Inference."""
        try:
            return Answer("OK", "", self.reply(draft, self.model(draft.model, draft.version)))
        except (RefusedError, ValueError) as error:
            return Answer(self.status(), str(error))

    def model(self, name: str, version: str) -> Model:
        """The model asked for."""
        for model in MODELS:
            if model.name == name and version in {"", *self.versions(model)}:
                return model
        raise RefusedError(f"no {name!r} {version!r}")

    def versions(self, model: Model) -> Sequence[str]:
        """Versions that may be named."""
        return model.versions

    def status(self) -> str:
        """Of what is wrong."""
        return "INVALID_ARGUMENT"

    def reply(self, draft: Draft, model: Model) -> InferReply:
        """The inputs as outputs."""
        values = self.read(draft)
        wanted = self.wanted(draft, [f"{tensor.name}_out" for tensor in draft.inputs])
        outputs, raw = [], []
        for tensor, elements in zip(draft.inputs, values, strict=True):
            if f"{tensor.name}_out" in wanted:
                outputs.append(Output(f"{tensor.name}_out", tensor.datatype, tensor.shape, {}))
                raw.append(BY_NAME[tensor.datatype].raw(elements))
        return InferReply(model.name, draft.version or "2", self.id(draft), {}, tuple(outputs), tuple(raw))

    def id(self, draft: Draft) -> str:
        """The id that is returned."""
        return draft.id

    def wanted(self, draft: Draft, all_outputs: Sequence[str]) -> Sequence[str]:
        """The outputs to give."""
        for name in draft.outputs:
            if name not in all_outputs:
                raise RefusedError(f"no output {name!r}")
        return draft.outputs or all_outputs

    def read(self, draft: Draft) -> list[Sequence[Value]]:
        """All inputs' elements."""
        raw = draft.raw or ()
        if raw and len(raw) != len(draft.inputs):
            raise RefusedError("raw contents for other inputs")
        if raw and any(tensor.contents is not None for tensor in draft.inputs):
            self.mixed()
        values = [self.elements(tensor, raw[i] if raw else None) for i, tensor in enumerate(draft.inputs)]
        for tensor, elements in zip(draft.inputs, values, strict=True):
            if any(size < 0 for size in tensor.shape) or len(elements) != self.count(tensor):
                raise RefusedError(f"{tensor.name}: wrong size")
        return values

    def mixed(self) -> None:
        """Raw and typed contents in one request."""
        raise RefusedError("raw and typed contents")

    def count(self, tensor: DraftInput) -> int:
        """How many elements the shape means."""
        return prod(tensor.shape)

    def elements(self, tensor: DraftInput, raw: bytes | None) -> Sequence[Value]:
        """One input's elements."""
        if tensor.datatype not in BY_NAME:
            raise RefusedError(f"no datatype {tensor.datatype!r}")
        datatype = BY_NAME[tensor.datatype]
        if raw is not None:
            return datatype.values(raw)
        if set(tensor.contents or {}) - {datatype.contents}:
            raise RefusedError("the wrong field")
        return (tensor.contents or {}).get(datatype.contents, ())
