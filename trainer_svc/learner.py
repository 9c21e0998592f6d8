"""The learner: scores and learns batches of examples, one step at a time, the same bits for the same calls."""

import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from martlet.errors import Corrupt
from martlet.feature_encoding import USER_ID, ItemId
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.keys import id_value
from martlet.learn import Model
from trainer_svc.batch import Batch
from trainer_svc.dense_model import DenseModel, Moments
from trainer_svc.learner_figures import LearnerFigures, TableFigures
from trainer_svc.optimizers.dense import DenseOptimizer
from trainer_svc.optimizers.flat_parameters import FlatParameters
from trainer_svc.optimizers.learning_rate import LearningRate
from trainer_svc.passes.linear_losses import summed_loss
from trainer_svc.passes.linear_passes import LinearPasses, is_linear
from trainer_svc.passes.port import Passed, Passes
from trainer_svc.passes.torch_passes import TorchPasses
from trainer_svc.passes.weighing import label_importance
from trainer_svc.row_store import RowsRead, RowStore
from trainer_svc.table.columns import RowType
from trainer_svc.table.embedding_table import EmbeddingTable
from trainer_svc.table.updates import RowUpdate

__all__ = ["DEFAULT_BUCKETS", "Batch", "Learner"]

Floats = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[np.generic]]
DEFAULT_BUCKETS: Final = 1 << 14


class Learner:
    """A model's state while it learns. Not thread-safe; sets torch's threads and random numbers of the process.

    Bits repeat for the same model, calls, threads and kind of processor.

    Args:
        initial_buckets: of each table; a table doubles when it is full.
        threads: torch's.
        table_dtype: what the tables' rows are stored as.
        frozen: patterns (as in the shell) of the names of dense parameters that never move.
    """

    def __init__(
        self,
        model: Model,
        initial_buckets: int = DEFAULT_BUCKETS,
        threads: int = 1,
        table_dtype: RowType = "float32",
        frozen: Sequence[str] = (),
    ) -> None:
        _set_up_torch(threads)
        self._threads = threads
        self._thread = threading.get_ident()
        self.model = model
        self.dense = DenseModel(model).eval()
        self._moments = Moments(self.dense.numbers)
        self._parameters = FlatParameters(self.dense.parameters())
        self._optimizer = DenseOptimizer(model.dense, self._parameters)
        self._frozen = [
            parameter
            for name, parameter in self.dense.named_parameters()
            if any(fnmatchcase(name, pattern) for pattern in frozen)
        ]
        self._rows = RowStore(model, initial_buckets, table_dtype)
        self._row_rate = LearningRate(model.rows.rate)
        self._passes = self._passes_of(model)
        self._steps = 0
        self._skipped = 0

    @property
    def spec(self) -> FeatureSpec:
        """The model's feature spec."""
        return self.model.spec

    @property
    def tables(self) -> dict[str, EmbeddingTable]:
        """The embedding tables by name."""
        return self._rows.tables

    @property
    def generation(self) -> int:
        """How often a table grew: each time needs a new graph and a new base."""
        return self._rows.generation

    @property
    def steps(self) -> int:
        """Batches learned."""
        return self._steps

    @property
    def skipped(self) -> int:
        """Batches left out because their loss or gradient was not finite."""
        return self._skipped

    def predict(self, block: FeatureBlock) -> Floats:
        """The main task's logits, float32[n]. Changes nothing: unknown ids use their default rows."""
        return self.model.head.main_logits(self.logits(block))

    def logits(self, block: FeatureBlock) -> Floats:
        """All that the network gives: float32[n], or [n, columns] of the model's head. Changes nothing."""
        self._enter_thread()
        return self._passes.score(block, [read.gathered for read in self._rows.read(block)])

    def learn(self, batch: Batch, now_us: int) -> float:
        """One step; gives the mean loss before it.

        It learns from the scores that `predict` would have given. An unknown id is scored with its default row; it gets
        a row of its own after that, and what it teaches teaches both, once. The dense weights step on the mean gradient
        of the batch, a row on the sum over its examples. Batch normalisation and dropout are active unless the batch
        has one example only. If the loss or a gradient is not finite, nothing is learned (`skipped` counts it) and the
        loss is NaN.
        """
        if batch.size == 0:
            return 0.0
        self._enter_thread()
        return self._take_step(batch, now_us)[1]

    def test_and_learn(self, batch: Batch, now_us: int) -> Floats:
        """What `predict` says of the batch, float32[n], bit for bit, and then what `learn` does.

        One forward pass serves both unless training computes otherwise (dropout, batch normalisation).
        """
        if batch.size == 0 or not self._passes.learns_as_it_scores or self._moments.unknown:
            logits = self.predict(batch.block)
            self.learn(batch, now_us)
            return logits
        self._enter_thread()
        return self._take_step(batch, now_us)[0]

    def forget(self, user_id: ItemId) -> int:
        """Frees the rows of a user, wherever the model reads the user's id; returns how many.

        What the user's examples have taught the dense weights and other rows stays: it is not the user's alone.
        """
        return self._rows.remove(USER_ID, id_value(user_id))

    def evict(self, now_us: int) -> int:
        """Frees rows unused for longer than their space's ttl; returns how many."""
        return self._rows.evict(now_us // 1_000_000)

    def figures(self) -> LearnerFigures:
        """What it and its tables have counted."""
        spaces = tuple(self.spec.salts)
        return LearnerFigures(
            self._skipped,
            {name: TableFigures(table.memory, table.statistics, spaces) for name, table in self.tables.items()},
        )

    def dense_weights(self) -> dict[str, Floats]:
        """Copies of the dense weights, by the names of the graph's initializers."""
        return self.dense.weights()

    def dense_slots(self) -> dict[str, list[Floats]]:
        """What the dense weights' optimizer keeps, by parameter: an array of its shape for each such number. Views."""
        slots = np.asarray(self._optimizer.state()["slots"]).reshape(-1)
        size = self._parameters.values.shape[0]
        parameters = self.dense.named_parameters()
        return {
            name: [
                slots[block * size : (block + 1) * size][place].reshape(parameter.shape)
                for block in range(slots.shape[0] // size)
            ]
            for (name, parameter), place in zip(parameters, self._parameters.places, strict=True)
        }

    def take_rates(self, other: "Learner", *, steps: bool) -> None:
        """Goes on counting where another learner's dense optimizer was; `steps`: with the rates' steps too."""
        own, theirs = self._optimizer.state(), other._optimizer.state()  # noqa: SLF001  of this class
        size, before = self._parameters.values.shape[0], other._parameters.values.shape[0]  # noqa: SLF001
        rest = np.asarray(theirs["slots"]).shape[1] % before
        if rest and np.asarray(own["slots"]).shape[1] % size == rest:
            np.asarray(own["slots"])[0, -rest:] = np.asarray(theirs["slots"])[0, -rest:]
        if steps:
            self._optimizer.restore({**theirs, "slots": own["slots"]})
            self._row_rate.restore(other._row_rate.state())  # noqa: SLF001

    def moments_of(self, number: str) -> npt.NDArray[np.float64]:
        """Count, mean and sum of squared distances of a running number: float64[3]."""
        return self._moments.values[:, self.dense.numbers.running.index(number)].copy()

    def take_moments(self, moments: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Goes on from these figures of some running numbers."""
        for number, values in moments.items():
            self._moments.values[:, self.dense.numbers.running.index(number)] = values
        self._moments.apply()

    def state(self) -> State:
        """Everything that learning depends on (not copies)."""
        parts: dict[str, Mapping[str, npt.NDArray[np.generic]]] = {
            "dense": {name: tensor.detach().numpy() for name, tensor in self.dense.tensors().items()},
            "optimizer": self._optimizer.state(),
            "numbers": {"moments": self._moments.values},
            "row_rate": self._row_rate.state(),
            "rows": self._rows.state(),
            "learner": {"counts": np.array([self._steps, self._skipped], np.int64)},
        }
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies); what follows is as if there had been no break.

        Raises:
            Corrupt: not the state of this model. The learner must not be used after that.
        """
        self._check(state)
        parts: dict[str, State] = {}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        with torch.no_grad():
            for name, tensor in self.dense.tensors().items():
                tensor.copy_(torch.from_numpy(np.array(parts["dense"][name])))
        self._optimizer.restore(parts["optimizer"])
        self._moments.values = np.array(parts["numbers"]["moments"], np.float64)
        self._row_rate.restore(parts["row_rate"])
        self._rows.restore(parts["rows"])
        self._steps, self._skipped = (int(count) for count in np.asarray(parts["learner"]["counts"], np.int64))

    def _passes_of(self, model: Model) -> Passes:
        lookups, loss, importance = self._rows.lookups, model.label.loss, label_importance(model.label)
        compiled = summed_loss(loss) if is_linear(model) else None
        if compiled is not None:
            return LinearPasses(model.spec, lookups, self.dense, self._parameters, compiled, importance)
        return TorchPasses(model.spec, lookups, self.dense, self._parameters, loss, importance)

    def _check(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        own = self.state()
        odd = sorted(own.keys() ^ state.keys())
        if odd:
            raise Corrupt(f"not a state of model {self.model.name!r}: {', '.join(odd[:5])} stand in one only")
        for name, array in own.items():
            given = state[name]
            first = 1 if name.startswith("rows/") else 0  # tables may have grown
            fits = given.ndim == array.ndim and given.shape[first:] == array.shape[first:]
            if given.dtype != array.dtype or not fits:
                raise Corrupt(
                    f"state {name!r} is {given.dtype}{list(given.shape)}, not {array.dtype}{list(array.shape)}"
                )

    def _enter_thread(self) -> None:
        """Torch's number of threads is the calling thread's own, and the order of sums, so the bits, depend on it."""
        if self._thread != threading.get_ident():
            torch.set_num_threads(self._threads)
            self._thread = threading.get_ident()

    def _take_step(self, batch: Batch, now_us: int) -> tuple[Floats, float]:
        """The main task's logits before the step and the mean loss; see `learn`."""
        torch.default_generator.manual_seed(self._steps)  # torch.manual_seed formats a stack trace each time
        self._steps += 1
        first = self._moments.unknown  # without any idea of the numbers' sizes they would be cut at ±10 as they are
        if first:
            self._observe(batch)
        read = self._rows.read(batch.block)
        passed = self._passes.learn(batch, [one.gathered for one in read])
        logits = self.model.head.main_logits(passed.logits)
        if not self._finite(passed):
            self._skipped += 1
            self._passes.undo()
            return logits, float("nan")
        loss = passed.total / max(float(batch.weights.sum()), 1e-12)
        self._move(batch, read, passed, loss, now_us)
        if not first:
            self._observe(batch)
        return logits, loss

    def _move(self, batch: Batch, read: list[RowsRead], passed: Passed, loss: float, now_us: int) -> None:
        """The optimizers' step."""
        kept = [parameter.detach().clone() for parameter in self._frozen]
        self._optimizer.step(1.0 / batch.size, loss, batch.rate)
        with torch.no_grad():
            for parameter, values in zip(self._frozen, kept, strict=True):
                parameter.copy_(values)
        rule = RowUpdate(self.model.rows, self._row_rate.current * batch.rate)
        self._rows.learn(batch.block, read, passed.gradients, now_us // 1_000_000, rule)
        self._row_rate.advance(loss)

    def _observe(self, batch: Batch) -> None:
        self._moments.observe(self.dense.numbers.observed(self.spec, batch.block))

    def _finite(self, passed: Passed) -> bool:
        sums = [passed.total, float(self._parameters.gradients.sum()), *(float(g.sum()) for g in passed.gradients)]
        return bool(np.isfinite(sums).all())


def _set_up_torch(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
