"""What an answer must hold. Each check says what is wrong, or "". Pure."""

import re
from math import prod

from tests.conformance.answer import FlagReply, InferReply, Output, ServerReply
from tests.conformance.case import Check, Seen
from tests.conformance.datatypes import BY_NAME
from tests.conformance.draft import PARAMETERS
from tests.conformance.model import Model, Tensor


def is_true(seen: Seen) -> str:
    """The flag is set."""
    return "" if seen.answer.reply == FlagReply(True) else "it says false"


def is_not_true(seen: Seen) -> str:
    """The flag is not set."""
    return "" if seen.answer.reply == FlagReply(False) else "it says true"


def server_has(attribute: str) -> Check:
    """The server's metadata says something."""

    def check(seen: Seen) -> str:
        assert isinstance(seen.answer.reply, ServerReply)
        return "" if getattr(seen.answer.reply, attribute) else f"{attribute} is empty"

    return check


def _model(seen: Seen) -> Model:
    assert isinstance(seen.answer.reply, Model)
    return seen.answer.reply


def metadata_names_the_model(seen: Seen) -> str:
    """The name is the one asked for."""
    name = _model(seen).name
    return "" if name == seen.target.model.name else f"name is {name!r}"


def platform_has_its_form(seen: Seen) -> str:
    """<project>_<format>."""
    platform = _model(seen).platform
    return "" if re.fullmatch(r"[a-z0-9]+_[a-z0-9]+", platform) else f"platform is {platform!r}"


def lists_the_version(seen: Seen) -> str:
    """The versions contain the one asked for."""
    wanted, listed = seen.target.model.versions[-1], _model(seen).versions
    return "" if wanted in listed else f"versions are {list(listed)}, without {wanted!r}"


def tensors_are(kind: str, rule: str) -> Check:
    """Names, datatypes or shapes of the inputs or outputs."""

    def check(seen: Seen) -> str:
        tensors: tuple[Tensor, ...] = getattr(_model(seen), kind)
        names = [tensor.name for tensor in tensors]
        if rule == "some":
            return "" if tensors else f"there are no {kind}"
        if rule == "names":
            return "" if all(names) and len(set(names)) == len(names) else f"names are {names}"
        if rule == "datatypes":
            return ", ".join(f"{t.name!r} is {t.datatype!r}" for t in tensors if t.datatype not in BY_NAME)
        return ", ".join(f"{t.name!r} is {list(t.shape)}" for t in tensors if any(size < -1 for size in t.shape))

    return check


def names_the_model(seen: Seen) -> str:
    """The answer names the model."""
    name = seen.answer.infer().model_name
    return "" if name == seen.target.model.name else f"model_name is {name!r}"


def names_a_listed_version(seen: Seen) -> str:
    """The answer names a version that the metadata lists."""
    version, listed = seen.answer.infer().model_version, seen.target.model.versions
    return "" if version in listed else f"model_version is {version!r}, listed are {list(listed)}"


def names_the_version_asked_for(seen: Seen) -> str:
    """The answer names the version of the request."""
    assert seen.draft is not None
    version = seen.answer.infer().model_version
    return (
        "" if version == seen.draft.version else f"model_version is {version!r}, asked for was {seen.draft.version!r}"
    )


def gives_the_id_back(seen: Seen) -> str:
    """The id is the request's."""
    assert seen.draft is not None
    return "" if seen.answer.infer().id == seen.draft.id else f"id is {seen.answer.infer().id[:60]!r}"


def has_all_outputs(seen: Seen) -> str:
    """Each output of the metadata, once."""
    return _outputs_are(seen, [output.name for output in seen.target.model.outputs])


def has_the_outputs_asked_for(seen: Seen) -> str:
    """Each output of the request, once, and no other."""
    assert seen.draft is not None
    return _outputs_are(seen, list(seen.draft.outputs))


def _outputs_are(seen: Seen, names: list[str]) -> str:
    found = [output.name for output in seen.answer.infer().outputs]
    return "" if sorted(found) == sorted(names) else f"outputs are {found}, expected {names}"


def outputs_have_the_datatypes_told(seen: Seen) -> str:
    """As the metadata says."""
    told = {output.name: output.datatype for output in seen.target.model.outputs}
    wrong = [(o.name, o.datatype) for o in seen.answer.infer().outputs if o.datatype != told.get(o.name)]
    return "" if not wrong else f"{wrong[0][0]!r} is {wrong[0][1]}, its metadata says {told.get(wrong[0][0])}"


def outputs_have_the_shapes_told(seen: Seen) -> str:
    """As the metadata says, -1 being any size."""
    told = {output.name: output.shape for output in seen.target.model.outputs}
    for output in seen.answer.infer().outputs:
        shape = told.get(output.name, ())
        fits = len(shape) == len(output.shape) and all(
            known in {-1, size} for known, size in zip(shape, output.shape, strict=False)
        )
        if not fits:
            return f"{output.name!r} has shape {list(output.shape)}, its metadata says {list(shape)}"
    return ""


def is_raw(seen: Seen) -> str:
    """All outputs are raw."""
    reply = seen.answer.infer()
    return (
        ""
        if len(reply.raw) == len(reply.outputs)
        else f"{len(reply.raw)} raw contents for {len(reply.outputs)} outputs"
    )


def is_raw_or_typed(seen: Seen) -> str:
    """Either raw contents for each output, or typed contents: not both, not a part."""
    reply = seen.answer.infer()
    typed = [output.name for output in reply.outputs if output.contents]
    if reply.raw and typed:
        return f"raw contents beside typed contents of {typed}"
    return is_raw(seen) if reply.raw else ""


def contents_have_their_size(seen: Seen) -> str:
    """As shape and datatype say."""
    reply = seen.answer.infer()
    if reply.raw and len(reply.raw) != len(reply.outputs):
        return f"{len(reply.raw)} raw contents for {len(reply.outputs)} outputs"
    faults = [_size_fault(reply, i, output) for i, output in enumerate(reply.outputs)]
    return next((fault for fault in faults if fault), "")


def _size_fault(reply: InferReply, place: int, output: Output) -> str:
    datatype, count = BY_NAME.get(output.datatype), prod(output.shape)
    if datatype is None:
        return f"{output.name!r} has datatype {output.datatype!r}"
    if not reply.raw:
        fields = {name: len(values) for name, values in output.contents.items()}
        fits = fields == ({datatype.contents: count} if count else {})
        return "" if fits else f"{output.name!r} is {output.datatype}{list(output.shape)} in {fields}"
    try:
        found = len(datatype.values(reply.raw[place]))
    except ValueError as error:
        return f"{output.name!r}: {error}"
    return "" if found == count else f"{output.name!r} is {output.datatype}{list(output.shape)} of {found} elements"


def echoes(seen: Seen) -> str:
    """The output that belongs to the input meant has its values, bit by bit, and its shape."""
    assert seen.draft is not None
    model, place = seen.target.model, seen.target.place
    sent = seen.draft.inputs[place]
    datatype, name = BY_NAME[sent.datatype], model.outputs[place].name
    (expected,) = (
        [seen.draft.raw[place]] if seen.draft.raw else [datatype.raw(next(iter((sent.contents or {}).values())))]
    )
    reply = seen.answer.infer()
    shapes = {output.name: output.shape for output in reply.outputs}
    if shapes.get(name) != sent.shape:
        return f"output {name!r} has shape {shapes.get(name)}, sent was {sent.shape}"
    try:
        found = datatype.raw(reply.values()[name])
    except (ValueError, KeyError, TypeError) as error:
        return f"output {name!r} cannot be read: {error}"
    return "" if found == expected else f"output {name!r} is {_some(found)}, sent was {_some(expected)}"


def equals_the_other_form(seen: Seen) -> str:
    """The same outputs as the same request in the other form."""
    assert seen.other is not None
    if seen.other.status != "OK":
        return f"the other form got {seen.other.status}: {seen.other.details[:100]}"
    mine, other = seen.answer.infer().values(), seen.other.infer().values()
    wrong = [name for name in {*mine, *other} if repr(mine.get(name)) != repr(other.get(name))]
    return f"outputs {sorted(wrong)} differ from those of the other form" if wrong else ""


def parameters_have_a_kind(seen: Seen) -> str:
    """Each parameter of the answer is one of the five kinds."""
    kinds = seen.answer.infer().parameters
    return ", ".join(f"{name!r} has no value" for name, kind in kinds.items() if kind not in PARAMETERS)


def _some(raw: bytes) -> str:
    return raw[:24].hex(" ") + ("…" if len(raw) > 24 else "")
