"""Which operators a graph is made of."""

from collections import Counter
from dataclasses import dataclass

import onnx


@dataclass(frozen=True, slots=True)
class Operators:
    """A graph's operators.

    Attributes:
        opset: the version of the standard operators.
        counts: by operator, constants left out.
        foreign: domains of operators that are not standard.
    """

    opset: int
    counts: dict[str, int]
    foreign: tuple[str, ...]


def operators_of(graph: bytes) -> Operators:
    """Counts the operators of a serialized graph."""
    model = onnx.load_model_from_string(graph)
    counts = Counter(node.op_type for node in model.graph.node if node.op_type != "Constant")
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
    opset = next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"})
    return Operators(opset, dict(sorted(counts.items())), tuple(foreign))
