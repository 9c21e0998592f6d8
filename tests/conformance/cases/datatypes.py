"""Each datatype, raw and typed: what passes, what is refused."""

from tests.conformance.case import (
    CLIENTS_BYTES,
    CONTENTS,
    INFERENCE,
    OK,
    PROTO,
    REFUSED,
    TENSOR_DATA,
    Case,
    Infer,
    Needs,
)
from tests.conformance.checks import contents_have_their_size, echoes, equals_the_other_form, has_all_outputs
from tests.conformance.datatypes import ALL, Datatype
from tests.conformance.draft import in_field, with_fields, with_input, with_raw, with_values

_SIZE = "the size of {name} contents must match what the tensor's shape and data type say"

# How BYTES elements stand in raw contents is not written; of BF16 the proto alone speaks.
_SOURCES = {"BYTES": (CLIENTS_BYTES, CLIENTS_BYTES), "BF16": (PROTO, PROTO)}


def _raw(datatype: Datatype) -> tuple[Case, ...]:
    name, needs, echo = datatype.name, Needs(datatype.name), Needs(datatype.name, echoes=True)
    size, topic = _SIZE.format(name=name), f"{datatype.name.lower()}/raw"
    whole = datatype.size or 4
    rule, sizes = _SOURCES.get(name, (TENSOR_DATA, INFERENCE))
    return (
        Case(
            f"{topic}",
            f"{name} contents may be raw",
            rule,
            Infer("raw"),
            OK,
            (has_all_outputs, contents_have_their_size),
            needs,
        ),
        Case(
            f"{topic}-edges",
            f"{name} elements pass unchanged",
            rule,
            Infer("raw", rows=4, edges=True),
            OK,
            (echoes,),
            echo,
        ),
        Case(
            f"{topic}-byte-short",
            size,
            sizes,
            Infer("raw", (with_raw(lambda raw: raw[:-1]),)),
            REFUSED,
            needs=needs,
        ),
        Case(
            f"{topic}-byte-long",
            size,
            sizes,
            Infer("raw", (with_raw(lambda raw: raw + b"\1"),)),
            REFUSED,
            needs=needs,
        ),
        Case(
            f"{topic}-element-short",
            size,
            sizes,
            Infer("raw", (with_raw(lambda raw: raw[:-whole]),)),
            REFUSED,
            needs=needs,
        ),
        Case(
            f"{topic}-element-long",
            size,
            sizes,
            Infer("raw", (with_raw(lambda raw: raw + bytes(whole)),)),
            REFUSED,
            needs=needs,
        ),
        Case(f"{topic}-empty", size, sizes, Infer("raw", (with_raw(lambda _raw: b""),)), REFUSED, needs=needs),
    )


def _typed(datatype: Datatype) -> tuple[Case, ...]:
    name, needs = datatype.name, Needs(datatype.name, typed=True)
    size, topic, field = _SIZE.format(name=name), f"{datatype.name.lower()}/typed", datatype.contents
    wrong = "bytes_contents" if field == "bool_contents" else "bool_contents"
    typed, rule = "typed", f"{field} is the representation of {name}"
    return (
        Case(f"{topic}", rule, CONTENTS, Infer(typed), OK, (has_all_outputs, contents_have_their_size), needs),
        Case(
            f"{topic}-equals-raw",
            "raw and typed contents represent the same",
            TENSOR_DATA,
            Infer(typed),
            OK,
            (equals_the_other_form,),
            needs,
            Infer("raw"),
        ),
        Case(
            f"{topic}-edges",
            f"{name} elements pass unchanged",
            CONTENTS,
            Infer(typed, rows=4, edges=True),
            OK,
            (echoes,),
            Needs(name, typed=True, echoes=True),
        ),
        Case(
            f"{topic}-element-short",
            size,
            CONTENTS,
            Infer(typed, (with_values(lambda values: values[:-1]),)),
            REFUSED,
            needs=needs,
        ),
        Case(
            f"{topic}-element-long",
            size,
            CONTENTS,
            Infer(typed, (with_values(lambda values: (*values, values[-1])),)),
            REFUSED,
            needs=needs,
        ),
        Case(f"{topic}-none", size, CONTENTS, Infer(typed, (with_input(contents=None),)), REFUSED, needs=needs),
        Case(f"{topic}-wrong-field", rule, CONTENTS, Infer(typed, (in_field(wrong),)), REFUSED, needs=needs),
    )


def _half(datatype: Datatype) -> tuple[Case, ...]:
    """What must be raw cannot be typed."""
    name, zeros = datatype.name, (0.0,) * 2
    return tuple(
        Case(
            f"{name.lower()}/typed-as-{field.split('_')[0]}",
            f"{name} must be represented as raw content",
            _SOURCES.get(name, (INFERENCE, INFERENCE))[1],
            Infer("raw", (with_input(contents={field: zeros}), with_fields(raw=None))),
            REFUSED,
            needs=Needs(name),
        )
        for field in ("fp32_contents", "fp64_contents")
    )


CASES = tuple(
    case
    for datatype in ALL
    for case in (*_raw(datatype), *(_typed(datatype) if datatype.contents else _half(datatype)))
)
