"""Parameters: optional pairs of a name and a value of five kinds, on the request, on inputs, on outputs."""

from tests.conformance.case import OK, PARAMETERS, Case, Infer
from tests.conformance.checks import has_all_outputs, parameters_have_a_kind
from tests.conformance.draft import PARAMETERS as KINDS
from tests.conformance.draft import with_fields, with_input, with_outputs

_PLACES = {
    "request": lambda kind: (with_fields(parameter=kind),),
    "input": lambda kind: (with_input(parameter=kind),),
    "output": lambda kind: (with_outputs(lambda names: names), with_fields(output_parameter=kind)),
}

CASES = (
    *(
        Case(
            f"parameters/{place}-{kind}",
            f"parameters are optional and of five kinds: a {kind} that means nothing to a server does no harm",
            PARAMETERS,
            Infer("raw", edits(kind)),
            OK,
            (has_all_outputs,),
        )
        for place, edits in _PLACES.items()
        for kind in KINDS
    ),
    Case(
        "parameters/answer",
        "each parameter of an answer has a value of one of the kinds",
        PARAMETERS,
        Infer("raw"),
        OK,
        (parameters_have_a_kind,),
    ),
)
