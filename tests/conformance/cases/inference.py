"""A valid request: what its answer holds."""

from collections.abc import Callable, Sequence

from tests.conformance.case import CLIENTS_RAW, INFERENCE, OK, REFUSED, TENSOR_DATA, Case, Check, Infer, Needs
from tests.conformance.checks import (
    contents_have_their_size,
    echoes,
    gives_the_id_back,
    has_all_outputs,
    has_the_outputs_asked_for,
    is_raw,
    is_raw_or_typed,
    names_a_listed_version,
    names_the_model,
    outputs_have_the_datatypes_told,
    outputs_have_the_shapes_told,
)
from tests.conformance.draft import with_fields, with_outputs

_FORMS = (("raw", Needs()), ("typed", Needs(typed=True)))
_LAWS: tuple[tuple[str, str, str, Check | None], ...] = (
    ("answered", "a request with {form} contents is answered", INFERENCE, None),
    ("model", "the answer names the model used", INFERENCE, names_the_model),
    ("all-outputs", "if outputs are not specified, all are returned", INFERENCE, has_all_outputs),
    ("datatypes", "outputs have the datatypes that the metadata tells", INFERENCE, outputs_have_the_datatypes_told),
    ("shapes", "outputs have the shapes that the metadata tells", INFERENCE, outputs_have_the_shapes_told),
    ("one-form", "if raw output contents are specified, typed contents are not", INFERENCE, is_raw_or_typed),
    ("sizes", "the size of the contents is what shape and datatype say", INFERENCE, contents_have_their_size),
    ("raw-answer", "outputs are raw, whatever the request was: clients read nothing else", CLIENTS_RAW, is_raw),
)
_IDS = {
    "short": "42",
    "uuid": "5ca9fd5e-5bd5-4a8e-9f55-95a4d2b9ea43",
    "with-spaces": " two  words ",
    "unicode": "żółw-日本-🐢",
    "long": "x" * 1000,
}


def _last(names: Sequence[str]) -> Sequence[str]:
    return names[-1:]


_OUTPUTS: tuple[tuple[str, str, Callable[[Sequence[str]], Sequence[str]], int], ...] = (
    ("first", "the one output that is asked for is returned", lambda names: names[:1], 1),
    ("last", "the one output that is asked for is returned", _last, 2),
    ("all-named", "all outputs that are asked for are returned", lambda names: names, 1),
    ("reversed", "all outputs that are asked for are returned", lambda names: names[::-1], 2),
    ("first-and-last", "the outputs that are asked for are returned, and no others", lambda n: [n[0], n[-1]], 3),
)

CASES = (
    *(
        Case(f"infer/{form}-{what}", law.format(form=form), source, Infer(form), OK, (check,) if check else (), needs)
        for form, needs in _FORMS
        for what, law, source, check in _LAWS
    ),
    Case(
        "infer/version-named",
        "the answer names the version used, one of those that are available",
        INFERENCE,
        Infer("raw"),
        OK,
        (names_a_listed_version,),
        Needs(versions=True),
    ),
    *(
        Case(
            f"infer/id-{what}",
            "an id that is specified is returned",
            INFERENCE,
            Infer("raw", (with_fields(id=value),)),
            OK,
            (gives_the_id_back,),
        )
        for what, value in _IDS.items()
    ),
    Case("infer/id-none", "an id is returned if one was specified", INFERENCE, Infer("raw"), OK, (gives_the_id_back,)),
    *(
        Case(
            f"infer/outputs-{what}",
            law,
            INFERENCE,
            Infer("raw", (with_outputs(choose),)),
            OK,
            (has_the_outputs_asked_for, is_raw_or_typed, contents_have_their_size),
            Needs(outputs=least),
        )
        for what, law, choose, least in _OUTPUTS
    ),
    Case(
        "infer/outputs-unknown",
        "an output that the model does not have cannot be returned",
        INFERENCE,
        Infer("raw", (with_outputs(lambda _names: ["conformance-no-such-output"]),)),
        REFUSED,
    ),
    *(
        Case(
            f"infer/rows-{rows}",
            "tensors are in row-major order, whatever the size of a variable dimension",
            TENSOR_DATA,
            Infer("raw", rows=rows, edges=True),
            OK,
            (echoes,),
            Needs(echoes=True, free_rows=True),
        )
        for rows in (1, 3, 16, 100)
    ),
)
