"""What an ONNX graph may hold before anybody runs it: operators, files, sizes. Pure; needs no ONNX library.

Operators of ONNX's own domains only (its machine learning one as well); none that holds an inner graph (Loop, If, Scan,
SequenceMap), for what it costs to run cannot be told from its size; no functions and no sparse tensors, which say
little and become much; no file but those of the top-level initializers, and these beside the graph. Field numbers
(onnx/onnx.proto): ModelProto.{graph 7, functions 25}, GraphProto.{node 1, initializer 5, sparse_initializer 15},
NodeProto.{op_type 4, attribute 5, domain 7}, AttributeProto.{t 5, g 6, tensors 10, graphs 11, sparse_tensor 22,
sparse_tensors 23}, TensorProto.{external_data 13, data_location 14}, StringStringEntryProto.{key 1, value 2}.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from martlet.errors import Corrupt, InvalidInput
from martlet.protobuf_reader import fields, messages

STANDARD: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
WITH_INNER_GRAPHS: Final = frozenset({"Loop", "If", "Scan", "SequenceMap"})
DEEPEST: Final = 8  # inner graphs in inner graphs

_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_OP_TYPE, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_TENSOR, _INNER, _TENSORS, _INNERS, _SPARSE, _SPARSES = 5, 6, 10, 11, 22, 23
_EXTERNAL_DATA, _DATA_LOCATION, _KEY, _VALUE = 13, 14, 1, 2
_INT32: Final = (1 << 32) - 1
_EXTERNAL: Final = 1


@dataclass(frozen=True, slots=True)
class GraphRules:
    """What is taken.

    Attributes:
        operators: allowed beyond the standard: `Loop`, or `domain::name`.
        max_bytes: largest graph, its embedded tensors included.
        max_nodes: most nodes, those of inner graphs included.
    """

    operators: frozenset[str] = frozenset()
    max_bytes: int = 64 << 20
    max_nodes: int = 100_000


def check_operators(graph: bytes, rules: GraphRules = GraphRules()) -> None:
    """Passes a serialized ONNX model, or says what it holds that is not taken.

    Raises:
        Corrupt: not an ONNX model, or a file name that leads elsewhere.
        InvalidInput: it breaks a rule; the message names it.
    """
    if len(graph) > rules.max_bytes:
        raise InvalidInput(f"a graph of {len(graph)} bytes is over the limit of {rules.max_bytes}")
    model = memoryview(graph)
    try:
        if any(True for _ in messages(model, _FUNCTIONS)):
            raise InvalidInput("the graph's model has functions: inline them")
        graphs = list(messages(model, _GRAPH))
        if not graphs:
            raise Corrupt("not an ONNX model: it has no graph")
        for count, operator in enumerate(_walked(graphs), 1):
            if count > rules.max_nodes:
                raise InvalidInput(f"the graph has more than {rules.max_nodes} nodes")
            _check(operator, rules)
    except (IndexError, ValueError) as error:
        raise Corrupt(f"not an ONNX model that can be read: {error}") from error


def _check(operator: str, rules: GraphRules) -> None:
    domain, _, name = operator.rpartition("::")
    standard = domain in STANDARD
    if (standard and name not in WITH_INNER_GRAPHS) or (name if standard else operator) in rules.operators:
        return
    what = "holds inner graphs" if standard else "is none of ONNX's own"
    raise InvalidInput(f"operator {operator!r} {what}, and is not allowed (see the setting graphs.operators)")


def _walked(graphs: list[memoryview]) -> Iterator[str]:
    """The operators of all graphs, as `domain::name`, inner graphs last; files are looked at on the way."""
    level = [(graph, 0) for graph in graphs]
    while level:
        graph, depth = level.pop()
        if depth > DEEPEST:
            raise InvalidInput(f"inner graphs are nested deeper than {DEEPEST}")
        for field, value in fields(graph):
            if not isinstance(value, memoryview):
                continue
            if field == _NODE:
                yield from _operators(value)
                level += [(inner, depth + 1) for inner in _inner_graphs(value)]
            elif field == _INITIALIZER:
                _check_tensor(value, may_be_external=depth == 0)
            elif field == _SPARSE_INITIALIZER:
                raise InvalidInput("the graph has a sparse initializer: write it out")


def _operators(node: memoryview) -> list[str]:
    """Mostly one. A field that is there twice counts twice, for parsers take the last."""
    names, domains = [], []
    for field, value in fields(node):
        if field == _OP_TYPE and isinstance(value, memoryview):
            names.append(bytes(value).decode())
        elif field == _DOMAIN and isinstance(value, memoryview):
            domains.append(bytes(value).decode())
    return [f"{domain}::{name}" if domain else name for name in names or [""] for domain in domains or [""]]


def _inner_graphs(node: memoryview) -> Iterator[memoryview]:
    for attribute in messages(node, _ATTRIBUTE):
        for field, value in fields(attribute):
            if not isinstance(value, memoryview):
                continue
            if field in (_INNER, _INNERS):
                yield value
            elif field in (_TENSOR, _TENSORS):
                _check_tensor(value, may_be_external=False)
            elif field in (_SPARSE, _SPARSES):
                raise InvalidInput("the graph has a sparse tensor: write it out")


def _check_tensor(tensor: memoryview, *, may_be_external: bool) -> None:
    """A tensor's data is in it, or in one file beside the graph."""
    locations: list[str] = []
    external = False
    for field, value in fields(tensor):
        if field == _EXTERNAL_DATA and isinstance(value, memoryview):
            external = True
            locations += _locations(value)
        elif field == _DATA_LOCATION and isinstance(value, int):
            external = external or value & _INT32 == _EXTERNAL
    if external and not may_be_external:
        raise Corrupt(f"a tensor inside the graph names the file {''.join(locations[:1])!r}")
    if external and (len(locations) != 1 or not is_plain_name(locations[0])):
        raise Corrupt(f"an initializer names the file {'+'.join(locations)!r}: it must stand beside the graph")


def _locations(entry: memoryview) -> list[str]:
    parts: dict[int, list[str]] = {_KEY: [], _VALUE: []}
    for field, value in fields(entry):
        if field in parts and isinstance(value, memoryview):
            parts[field].append(bytes(value).decode())
    return parts[_VALUE] or [""] if "location" in parts[_KEY] else []


def is_plain_name(location: str) -> bool:
    """Whether a file of this name stands in the folder itself."""
    return location not in ("", ".", "..") and not set(location) & set("/\\\0")
