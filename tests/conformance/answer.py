"""What came back, as plain values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.conformance.datatypes import BY_NAME, Value
from tests.conformance.model import Model


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor; `contents` holds the fields that are not empty."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: Mapping[str, Sequence[Value]]


@dataclass(frozen=True, slots=True)
class InferReply:
    """A `ModelInferResponse`; `parameters` says for each name which kind it is, "" for none."""

    model_name: str
    model_version: str
    id: str
    parameters: Mapping[str, str]
    outputs: tuple[Output, ...]
    raw: tuple[bytes, ...]

    def values(self) -> dict[str, tuple[Value, ...]]:
        """Each output's elements, raw or typed.

        Raises:
            ValueError, KeyError: contents that cannot be read.
        """
        if self.raw:
            pairs = zip(self.outputs, self.raw, strict=True)
            return {output.name: BY_NAME[output.datatype].values(raw) for output, raw in pairs}
        return {
            output.name: tuple(output.contents.get(BY_NAME[output.datatype].contents, ())) for output in self.outputs
        }


@dataclass(frozen=True, slots=True)
class FlagReply:
    """Of the health calls."""

    flag: bool


@dataclass(frozen=True, slots=True)
class ServerReply:
    """A `ServerMetadataResponse`."""

    name: str
    version: str
    extensions: tuple[str, ...]


Reply = InferReply | FlagReply | ServerReply | Model


@dataclass(frozen=True, slots=True)
class Answer:
    """The status's name, its message, and the reply if it is OK."""

    status: str
    details: str
    reply: Reply | None = None

    def infer(self) -> InferReply:
        """The reply of `ModelInfer`."""
        assert isinstance(self.reply, InferReply)
        return self.reply
