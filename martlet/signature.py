"""A version's signature: the tensors that go in and come out, by name, dtype and dimensions.

Dimensions are `"r"` (user rows: one for each request in a batch), `"n"` (item rows: one for each candidate) or a
number. `row_of_user[n]` says which user row an item row belongs to. A version without features, which answers raw
tensors alone, names its dimensions as it likes: one name is one size within a request.

Outputs of a version with features are `score` and `logit`, float32[n], of the main task. A version of several tasks
has `<task>.score` and `<task>.logit` of each, float32[n], of a task of classes [n, classes]; where their scores are
fused, `score` is what came of it, and so is `fused`. A version of classes alone has `probabilities` and `logits`,
[n, classes].
"""

from dataclasses import dataclass
from typing import Final

ROW_OF_USER: Final = "row_of_user"
SCORE: Final = "score"
LOGIT: Final = "logit"
FUSED: Final = "fused"
PROBABILITIES: Final = "probabilities"
LOGITS: Final = "logits"
_TASK_SCORE: Final = ".score"

Dim = int | str


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor. dtype is `int64` or `float32`; without features NumPy's other names, `bfloat16` and `string` too."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs in the graph's order, outputs in the graph's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def task_score(task: str) -> str:
    """The output with a task's scores."""
    return task + _TASK_SCORE


def task_logit(task: str) -> str:
    """The output with a task's logits."""
    return f"{task}.logit"


def single_scores(signature: Signature) -> dict[str, str]:
    """The outputs that hold one score an item row, by task; without those of classes."""
    return {
        output.name.removesuffix(_TASK_SCORE): output.name
        for output in signature.outputs
        if output.name.endswith(_TASK_SCORE) and output.dims == ("n",)
    }


def is_fused(signature: Signature) -> bool:
    """Whether `score` is made of the scores of several tasks, so that it ranks and not the logit."""
    return any(output.name == FUSED for output in signature.outputs)
