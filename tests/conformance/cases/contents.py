"""Raw and typed contents, shapes and sizes: what does not fit together."""

from tests.conformance.case import (
    CLIENTS_BYTES,
    DATA_TYPES,
    INFERENCE,
    OK,
    REFUSED,
    Case,
    Infer,
    Needs,
)
from tests.conformance.checks import echoes
from tests.conformance.datatypes import BY_NAME
from tests.conformance.draft import with_all_raw, with_input, with_raw, with_raw_beside

_MIXED = "if raw_input_contents is specified, contents must not be specified for any input tensor"
_EACH = "raw_input_contents must hold data for each tensor"
_SIZE = "the size of raw contents must match what the tensor's shape and data type say"
_BYTES = BY_NAME["BYTES"]

_MIXES = (
    ("first", lambda count: [0], 1),
    ("last", lambda count: [count - 1], 2),
    ("all", range, 1),
)
_LISTS = (
    ("one-too-few", lambda raw: raw[:-1], 2),
    ("one-too-many", lambda raw: (*raw, raw[-1]), 1),
    ("only-the-first", lambda raw: raw[:1], 3),
    ("twice-as-many", lambda raw: raw + raw, 1),
)
_SHAPES = (
    ("negative", (-2, -1), "a shape's sizes are not negative; -1 is for metadata only"),
    ("minus-one", (-1,), "a shape's sizes are not negative; -1 is for metadata only"),
    ("scalar", (), _SIZE),
    ("larger", (1000, 1000), _SIZE),
    ("zero", (0,), _SIZE),
    ("wraps-64-bits", (2**32, 2**32), _SIZE),
    ("wraps-64-bits-negative", (2**62, 2, 3), _SIZE),
    ("many-dimensions", (2,) * 200, _SIZE),
)
_BAD_BYTES = (
    (
        "length-past-the-end",
        lambda raw: raw[:-1] + b"\xff\xff\xff\x7f" + raw[-1:],
        "a length that reaches past the end is refused",
    ),
    ("length-cut-off", lambda raw: raw + b"\1\0", "a length that is cut off is refused"),
    ("element-too-few", lambda raw: _BYTES.raw(_BYTES.values(raw)[:-1]), "as many elements as the shape says"),
    ("element-too-many", lambda raw: _BYTES.raw((*_BYTES.values(raw), b"")), "as many elements as the shape says"),
    ("no-lengths", lambda raw: b"ab" * len(raw), "an element without its length is refused"),
)
_GOOD_BYTES = (
    ("empty-elements", b""),
    ("nul", b"\0\0"),
    ("unicode", "日本-🐢".encode()),
    ("like-a-length", b"\3\0\0\0abc"),
    ("long", b"0123456789" * 10_000),
)

CASES = (
    *(
        Case(
            f"contents/mixed-{what}",
            _MIXED,
            INFERENCE,
            Infer("raw", (with_raw_beside(which),)),
            REFUSED,
            needs=Needs(typed=True, inputs=least),
        )
        for what, which, least in _MIXES
    ),
    *(
        Case(
            f"contents/raw-{what}",
            _EACH,
            INFERENCE,
            Infer("raw", (with_all_raw(change),)),
            REFUSED,
            needs=Needs(inputs=least),
        )
        for what, change, least in _LISTS
    ),
    *(
        Case(
            f"shapes/{what}",
            law,
            INFERENCE,
            Infer("raw", (with_input(shape=shape),)),
            REFUSED,
            needs=Needs(free_rows=True),
        )
        for what, shape, law in _SHAPES
    ),
    *(
        Case(
            f"shapes/empty-{what}",
            law,
            INFERENCE,
            Infer("raw", (with_input(shape=shape), with_raw(lambda _raw: b""))),
            REFUSED,
            needs=Needs(free_rows=True),
        )
        for what, shape, law in _SHAPES
        if what.startswith("wraps")
    ),
    *(
        Case(
            f"datatypes/{what}",
            "a tensor's datatype is one of the protocol's",
            DATA_TYPES,
            Infer("raw", (with_input(datatype=datatype),)),
            REFUSED,
        )
        for what, datatype in (("unknown", "FP31"), ("none", ""), ("of-another-framework", "torch.float32"))
    ),
    *(
        Case(f"bytes/{what}", law, CLIENTS_BYTES, Infer("raw", (with_raw(change),)), REFUSED, needs=Needs("BYTES"))
        for what, change, law in _BAD_BYTES
    ),
    *(
        Case(
            f"bytes/{what}",
            "an element passes unchanged",
            CLIENTS_BYTES,
            Infer("raw", (with_raw(lambda raw, element=element: _BYTES.raw([element] * len(_BYTES.values(raw)))),)),
            OK,
            (echoes,),
            Needs("BYTES", echoes=True),
        )
        for what, element in _GOOD_BYTES
    ),
)
