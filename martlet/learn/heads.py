"""From a network's output to what is served: the columns of each task, their scores, and one score that ranks.

A network gives one logit an example; one for each class; or for several tasks all of these side by side, as a tensor
[B, columns], by name, or in the tasks' order. All that is served is computed in the graph (`trainer_svc.export.heads`);
`Head.outputs` says the same in NumPy, and is what the graph is compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from martlet.errors import InvalidInput
from martlet.learn.fusion import Fusion, Product
from martlet.learn.labels import Label, MultiClass, MultiTask
from martlet.signature import FUSED, LOGIT, LOGITS, PROBABILITIES, SCORE, TensorSpec, task_logit, task_score

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
SIGMOID: Final = "sigmoid"
IDENTITY: Final = "identity"
SOFTMAX: Final = "softmax"


@dataclass(frozen=True, slots=True)
class TaskHead:
    """One task's part of the output.

    Attributes:
        name: the task's; "" of a label that is the only one.
        first: its first column; `columns`: how many it has, one or a class each.
        link: from logits to scores, "sigmoid", "identity" or "softmax".
    """

    name: str
    first: int
    columns: int
    link: str

    @property
    def score_output(self) -> str:
        """What its scores are called: float32[n], of classes the probabilities float32[n, columns]."""
        return task_score(self.name) if self.name else PROBABILITIES

    @property
    def logit_output(self) -> str:
        """What its logits are called, of the scores' shape."""
        return task_logit(self.name) if self.name else LOGITS


@dataclass(frozen=True, slots=True)
class Head:
    """All tasks of a model, the main one first.

    Attributes:
        fusion: how the tasks' scores become the one that ranks; None: it is the main task's.
    """

    tasks: tuple[TaskHead, ...]
    fusion: Fusion | None = None

    @property
    def main(self) -> TaskHead:
        """The task that versions are judged by."""
        return self.tasks[0]

    @property
    def columns(self) -> int:
        """How many numbers the network gives for an example."""
        return sum(task.columns for task in self.tasks)

    @property
    def is_plain(self) -> bool:
        """Whether there is one logit and nothing else."""
        return self.columns == 1 and not self.main.name

    @property
    def more(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs behind `score` and `logit`."""
        if self.is_plain:
            return ()
        fused = (TensorSpec(FUSED, "float32", ("n",)),) if self.fusion else ()
        by_task = [
            TensorSpec(name, "float32", ("n",) if task.columns == 1 else ("n", task.columns))
            for task in self.tasks
            for name in (task.score_output, task.logit_output)
        ]
        return (*fused, *by_task)

    @property
    def shifted(self) -> Floats | float:
        """What an offset counts in each column: 1 for logits of yes or no, else 0: float32[columns]; of one, a number.

        It is the log-odds of a sample (see `Batch.offsets`), which numbers and classes have not.
        """
        shifts = np.zeros(self.columns, np.float32)
        shifts[[task.first for task in self.tasks if task.link == SIGMOID]] = 1.0
        return float(shifts[0]) if self.columns == 1 else shifts

    def is_probability(self, output: str) -> bool:
        """Whether an output of the graph holds probabilities; else logits, or numbers of another kind."""
        if output == SCORE:
            return self.fusion is None and self.main.link == SIGMOID
        return any(output == task.score_output and task.link != IDENTITY for task in self.tasks)

    def joined(self, output: Any) -> torch.Tensor:
        """A network's output as float32[B, columns], or [B] of one column.

        Raises:
            InvalidInput: it is no such output; says what is.
        """
        if isinstance(output, torch.Tensor):
            tensor = output
        else:
            tensor = torch.cat([_flat(part) for part in self._parts(output)], 1)
        return tensor.reshape(-1) if self.columns == 1 else tensor

    def main_logits(self, logits: Floats) -> Floats:
        """What is judged, and ranks where nothing is fused: float32[n], of float32[n, columns] (or [n]).

        A main task of classes is judged by the expected class: classes are ordered, from the least to the most.
        """
        if logits.ndim == 1:
            return logits
        part = logits[:, : self.main.columns]
        if self.main.link != SOFTMAX:
            return np.ascontiguousarray(part[:, 0])
        return _expected_class(_softmax(part.astype(np.float64))).astype(np.float32)

    def outputs(self, logits: Floats) -> dict[str, Doubles]:
        """Everything that is served of these logits, by the names of the graph's outputs."""
        table = logits.astype(np.float64).reshape(logits.shape[0], self.columns)
        scores, single, found = {}, {}, {}
        for task in self.tasks:
            part = table[:, task.first : task.first + task.columns]
            score = _scored(part, task.link)
            scores[task.name] = _expected_class(score) if task.link == SOFTMAX else score[:, 0]
            single[task.name] = scores[task.name] if task.link == SOFTMAX else part[:, 0]
            if not self.is_plain:
                wide = task.columns > 1
                found[task.score_output] = score if wide else score[:, 0]
                found[task.logit_output] = part if wide else part[:, 0]
        main = self.main.name
        fused = {FUSED: self.fusion.of(scores)} if self.fusion else {}
        return {SCORE: fused.get(FUSED, scores[main]), LOGIT: single[main], **fused, **found}

    def _parts(self, output: Any) -> Sequence[torch.Tensor]:
        names = [task.name for task in self.tasks]
        if isinstance(output, Mapping) and names != [""]:
            if sorted(output) != sorted(names):
                raise InvalidInput(f"the network gives logits of {sorted(output)}; the tasks are {names}")
            return [output[name] for name in names]
        if isinstance(output, list | tuple) and len(output) == len(names) and names != [""]:
            return output
        raise InvalidInput(f"the network must give {self.wanted}, not {type(output).__name__}")

    @property
    def wanted(self) -> str:
        """What the network must give, in words."""
        if self.columns == 1:
            return "one tensor of logits"
        names = ", ".join(repr(task.name) for task in self.tasks)
        tasks = f", or the logits of each of {names}" if self.main.name else ""
        return f"logits of shape [B, {self.columns}]{tasks}"


def head_of(label: Label, fusion: Fusion | None = None) -> Head:
    """The head of a label.

    Raises:
        InvalidInput: the fusion names a task that there is not.
    """
    labels = label.labels if isinstance(label, MultiTask) else {"": label}
    tasks: list[TaskHead] = []
    for name, one in labels.items():
        size = one.size if isinstance(one, MultiClass) else 1
        tasks.append(TaskHead(name, sum(task.columns for task in tasks), size, one.link))
    if fusion is not None:
        unknown = sorted(set(fusion.parts) - set(labels))
        if unknown or not isinstance(label, MultiTask):
            raise InvalidInput(f"score names the task {(unknown or [''])[0]!r}; the tasks are {sorted(labels)}")
        for task in tasks:
            if isinstance(fusion, Product) and task.name in fusion.parts and task.link == IDENTITY:
                raise InvalidInput(f"score: task {task.name!r} may be negative: a product needs probabilities")
    return Head(tuple(tasks), fusion)


def _flat(part: torch.Tensor) -> torch.Tensor:
    return part.reshape(part.shape[0], -1)


def _scored(logits: Doubles, link: str) -> Doubles:
    if link == SOFTMAX:
        return _softmax(logits)
    if link == IDENTITY:
        return logits
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))


def _softmax(logits: Doubles) -> Doubles:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _expected_class(probabilities: Doubles) -> Doubles:
    return np.asarray(probabilities @ np.arange(probabilities.shape[1], dtype=np.float64))
