"""A request of `ModelInfer` as a plain value, and the ways in which cases change one. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from tests.conformance.datatypes import BY_NAME, Value
from tests.conformance.model import Model, Tensor

T = TypeVar("T")

# The five kinds of parameter: the field of `InferParameter`, and a value.
PARAMETERS: Final[Mapping[str, Value | str]] = {
    "bool_param": True,
    "int64_param": -7,
    "string_param": "conformance",
    "double_param": 0.5,
    "uint64_param": 2**64 - 1,
}
UNKNOWN_PARAMETER: Final = "conformance_kit"


@dataclass(frozen=True, slots=True)
class DraftInput:
    """One input tensor; `contents` by field name, None for none."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: Mapping[str, Sequence[Value]] | None = None
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """One request. `raw` None: there are no raw contents. `parameter` names one of `PARAMETERS`, "" for none."""

    model: str
    version: str = ""
    id: str = ""
    parameter: str = ""
    inputs: tuple[DraftInput, ...] = ()
    outputs: tuple[str, ...] = ()
    output_parameter: str = ""
    raw: tuple[bytes, ...] | None = None


Values = Callable[[Tensor], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Target:
    """What an edit is about: the model, and the place of the input (see `Needs.datatype`)."""

    model: Model
    place: int


Edit = Callable[[Draft, Target], Draft]


def raw_draft(model: Model, values: Values, rows: int = 2) -> Draft:
    """A valid request with raw contents."""
    tensors = [tensor.sized(rows) for tensor in model.inputs]
    inputs = tuple(DraftInput(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors)
    raw = tuple(BY_NAME[tensor.datatype].raw(values(tensor)) for tensor in tensors)
    return Draft(model.name, inputs=inputs, raw=raw)


def typed_draft(model: Model, values: Values, rows: int = 2) -> Draft:
    """A valid request with typed contents."""
    tensors = [tensor.sized(rows) for tensor in model.inputs]
    inputs = tuple(
        DraftInput(tensor.name, tensor.datatype, tensor.shape, {BY_NAME[tensor.datatype].contents: values(tensor)})
        for tensor in tensors
    )
    return Draft(model.name, inputs=inputs)


def with_fields(**fields: object) -> Edit:
    """Sets fields of the request, such as `id` or `version`."""

    def edit(draft: Draft, _target: Target) -> Draft:
        return replace(draft, **fields)  # type: ignore[arg-type]

    return edit


def with_listed_version(draft: Draft, target: Target) -> Draft:
    """Names a version that the model's metadata lists."""
    return replace(draft, version=target.model.versions[-1])


def with_input(**fields: object) -> Edit:
    """Sets fields of the input that is meant."""

    def edit(draft: Draft, target: Target) -> Draft:
        changed = replace(draft.inputs[target.place], **fields)  # type: ignore[arg-type]
        return replace(draft, inputs=_at(draft.inputs, target.place, changed))

    return edit


def with_raw(change: Callable[[bytes], bytes]) -> Edit:
    """Changes the raw contents of the input that is meant."""

    def edit(draft: Draft, target: Target) -> Draft:
        raw = draft.raw or ()
        return replace(draft, raw=_at(raw, target.place, change(raw[target.place])))

    return edit


def with_all_raw(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Edit:
    """Changes the list of raw contents."""

    def edit(draft: Draft, _target: Target) -> Draft:
        return replace(draft, raw=change(draft.raw or ()))

    return edit


def with_values(change: Callable[[tuple[Value, ...]], tuple[Value, ...]]) -> Edit:
    """Changes the typed contents of the input that is meant."""

    def edit(draft: Draft, target: Target) -> Draft:
        tensor = draft.inputs[target.place]
        ((contents, values),) = (tensor.contents or {}).items()
        return with_input(contents={contents: change(tuple(values))})(draft, target)

    return edit


def in_field(contents: str) -> Edit:
    """Moves the typed contents of the input that is meant into another field, as far as its type can hold them."""
    blank: Mapping[str, Value] = {"bool_contents": False, "bytes_contents": b"", "fp32_contents": 0.0}

    def edit(draft: Draft, target: Target) -> Draft:
        tensor = draft.inputs[target.place]
        ((_, values),) = (tensor.contents or {}).items()
        return with_input(contents={contents: (blank.get(contents, 0),) * len(values)})(draft, target)

    return edit


def with_raw_beside(which: Callable[[int], Sequence[int]]) -> Edit:
    """Adds typed contents, equal to the raw ones, to some inputs of a raw request."""

    def edit(draft: Draft, _target: Target) -> Draft:
        inputs = list(draft.inputs)
        for i in which(len(inputs)):
            datatype = BY_NAME[inputs[i].datatype]
            values = datatype.values((draft.raw or ())[i])
            inputs[i] = replace(inputs[i], contents={datatype.contents: values})
        return replace(draft, inputs=tuple(inputs))

    return edit


def with_outputs(choose: Callable[[Sequence[str]], Sequence[str]]) -> Edit:
    """Asks for some outputs by name."""

    def edit(draft: Draft, target: Target) -> Draft:
        return replace(draft, outputs=tuple(choose([output.name for output in target.model.outputs])))

    return edit


def _at(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])
