"""What a case is: one law, where it is written, the call, and what must come. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.conformance.answer import Answer
from tests.conformance.draft import Draft, Edit, Target

_SPEC: Final = "Open Inference Protocol d49cc23, inference_grpc.md"
HEALTH: Final = f"{_SPEC}, Health"
METADATA: Final = f"{_SPEC}, Metadata"
PLATFORMS: Final = f"{_SPEC}, Platforms"
INFERENCE: Final = f"{_SPEC}, Inference"
CONTENTS: Final = f"{_SPEC}, InferTensorContents"
TENSOR_DATA: Final = f"{_SPEC}, Tensor Data"
DATA_TYPES: Final = f"{_SPEC}, Tensor Data Types"
PARAMETERS: Final = f"{_SPEC}, Parameters; open_inference_grpc.proto, InferParameter"
PROTO: Final = "Open Inference Protocol d49cc23, open_inference_grpc.proto"
CLIENTS_RAW: Final = "clients: tritonclient.grpc InferResult.as_numpy reads raw_output_contents (typed: BYTES only)"
CLIENTS_BYTES: Final = (
    "clients: tritonclient, KServe and MLServer put 4 bytes of length, little-endian, before each element"
)

OK: Final = frozenset({"OK"})
# "Other codes indicate failure", says the specification. Clients repeat UNAVAILABLE (KServe's by default), and the last
# two say that there was no answer: none of them is what a request that is wrong should get.
REFUSED: Final = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "DATA_LOSS",
        "UNAUTHENTICATED",
        "UNKNOWN",
    }
)
OK_OR_REFUSED: Final = OK | REFUSED

KNOWN: Final = "<the model>"
LISTED: Final = "<a version that its metadata lists>"
NOBODY: Final = "conformance-no-such-model"


@dataclass(frozen=True, slots=True)
class Server:
    """`ServerLive`, `ServerReady` or `ServerMetadata`."""

    rpc: str


@dataclass(frozen=True, slots=True)
class About:
    """`ModelReady` or `ModelMetadata` of a model and a version; `KNOWN` and `LISTED` are filled in."""

    rpc: str
    name: str = KNOWN
    version: str = ""


@dataclass(frozen=True, slots=True)
class Infer:
    """`ModelInfer` with a valid request, changed.

    Attributes:
        form: "raw" or "typed".
        edits: what is changed, in order.
        rows: the size of free dimensions.
        edges: the input that is meant has its datatype's edge values instead of harmless ones.
    """

    form: str
    edits: tuple[Edit, ...] = ()
    rows: int = 2
    edges: bool = False


Call = Server | About | Infer


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a check may look at. `draft` and `target` stand for `ModelInfer` only."""

    answer: Answer
    target: Target
    draft: Draft | None = None
    other: Answer | None = None


Check = Callable[[Seen], str]
"""Says what is wrong, or "" if nothing is."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model must have for the case to apply.

    Attributes:
        datatype: an input of it; that is the input meant. "": any, the first.
        typed: typed contents are possible.
        inputs, outputs: at least so many.
        echoes: it gives its inputs back.
        versions: its metadata lists versions.
        free_rows: the input meant has a first dimension of any size.
    """

    datatype: str = ""
    typed: bool = False
    inputs: int = 1
    outputs: int = 1
    echoes: bool = False
    versions: bool = False
    free_rows: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One law.

    Attributes:
        id: unique, `topic/what`.
        law: one sentence.
        source: where it is written.
        expect: the statuses that keep it.
        checks: what the answer must hold if it is OK.
        other: a second call, whose answer the checks compare with.
    """

    id: str
    law: str
    source: str
    call: Call
    expect: frozenset[str] = OK
    checks: Sequence[Check] = ()
    needs: Needs = Needs()
    other: Infer | None = None
