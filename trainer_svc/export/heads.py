"""What a graph makes of the network's logits: the scores of each task, and the one score that ranks.

The names and shapes of outputs are those of `martlet.signature`; the numbers those of `martlet.learn.heads.Head`.
"""

from typing import Final

import numpy as np

from martlet.learn.fusion import Fusion, Product
from martlet.learn.heads import SOFTMAX, Head, TaskHead
from martlet.signature import FUSED, LOGIT, SCORE
from trainer_svc.export.graph_builder import GraphBuilder

_LINKS: Final = {"sigmoid": "Sigmoid", "identity": "Identity"}


def add_heads(graph: GraphBuilder, head: Head, logits: str) -> None:
    """Adds `score` and `logit`, and what else the head serves. `logits`: float32[n] or [n, columns]."""
    if head.is_plain:
        if logits != LOGIT:
            graph.add("Identity", [logits], LOGIT)
        graph.add(_LINKS[head.main.link], [LOGIT], SCORE)
        return
    parts = _parts(graph, head, logits)
    scores: dict[str, str] = {}
    for task, part in zip(head.tasks, parts, strict=True):
        scores[task.name], single = _add_task(graph, task, part)
        if task is head.main:
            graph.add("Identity", [single], LOGIT)
    if head.fusion is None:
        graph.add("Identity", [scores[head.main.name]], SCORE)
    else:
        graph.add("Identity", [_fused(graph, head.fusion, scores)], FUSED)
        graph.add("Identity", [FUSED], SCORE)


def _parts(graph: GraphBuilder, head: Head, logits: str) -> list[str]:
    """The logits of each task, float32[n, columns]."""
    table = graph.add("Reshape", [logits, graph.constant([-1, head.columns])])
    if len(head.tasks) == 1:
        return [table]
    ends = [(task.first, task.first + task.columns) for task in head.tasks]
    axis = graph.constant([1])
    return [graph.add("Slice", [table, graph.constant([first]), graph.constant([end]), axis]) for first, end in ends]


def _add_task(graph: GraphBuilder, task: TaskHead, part: str) -> tuple[str, str]:
    """Adds a task's outputs; gives its one score and its one logit, float32[n]."""
    if task.link == SOFTMAX:
        graph.add("Identity", [part], task.logit_output)
        graph.add("Softmax", [part], task.score_output, axis=1)
        classes = graph.constant([[number] for number in range(task.columns)], np.float32)
        expected = graph.add("MatMul", [task.score_output, classes])
        single = graph.add("Squeeze", [expected, graph.constant([1])])
        return single, single
    graph.add("Squeeze", [part, graph.constant([1])], task.logit_output)
    return graph.add(_LINKS[task.link], [task.logit_output], task.score_output), task.logit_output


def _fused(graph: GraphBuilder, fusion: Fusion, scores: dict[str, str]) -> str:
    operator, join = ("Pow", "Mul") if isinstance(fusion, Product) else ("Mul", "Add")
    terms = [
        graph.add(operator, [scores[task], graph.constant(part, np.float32)]) for task, part in fusion.parts.items()
    ]
    total = terms[0]
    for term in terms[1:]:
        total = graph.add(join, [total, term])
    return total
