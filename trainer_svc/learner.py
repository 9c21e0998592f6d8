"""The learner: scores and learns batches of examples, one step at a time, the same bits for the same calls."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from martlet.errors import Corrupt
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.learn import Model
from trainer_svc.dense_inputs import dense_inputs, numbers_of, owned
from trainer_svc.dense_model import DenseModel, Moments
from trainer_svc.optimizers import DenseAdam, FlatParameters
from trainer_svc.row_store import RowStore
from trainer_svc.table.columns import RowType
from trainer_svc.table.embedding_table import EmbeddingTable

Floats = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[np.generic]]
DEFAULT_BUCKETS: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples: one for each item row of the block.

    Attributes:
        labels: float32[n], 0 or 1.
        weights: float32[n], how much each counts.
    """

    block: FeatureBlock
    labels: Floats
    weights: Floats

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return int(self.labels.shape[0])


class Learner:
    """A model's state while it learns. Not thread-safe; sets torch's threads and random numbers of the process.

    Bits repeat for the same model, calls, threads and kind of processor.

    Args:
        initial_buckets: of each table; a table doubles when it is full.
        threads: torch's.
        table_dtype: what the tables' rows are stored as.
    """

    def __init__(
        self, model: Model, initial_buckets: int = DEFAULT_BUCKETS, threads: int = 1, table_dtype: RowType = "float32"
    ) -> None:
        _set_up_torch(threads)
        self._threads = threads
        self._thread = threading.get_ident()
        self.model = model
        self.dense = DenseModel(model).eval()
        self._moments = Moments(self.dense.numbers)
        self._parameters = FlatParameters(self.dense.parameters())
        self._optimizer = DenseAdam(model.dense, self._parameters)
        self._rows = RowStore(model, initial_buckets, table_dtype)
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
        """Logits, float32[n]. Changes nothing: unknown ids use their default rows."""
        self._enter_thread()
        gathered = [owned(rows) for rows in self._rows.read(block)]
        with torch.inference_mode():
            logits = self.dense(*dense_inputs(self.spec, self._rows.lookups, block, gathered))
        return np.asarray(logits.numpy(), np.float32)

    def learn(self, batch: Batch, now_us: int) -> float:
        """One step; gives the mean loss before it. Unknown ids get rows, and train their default rows once.

        The dense weights step on the mean gradient of the batch, a row on the sum over its examples. Batch
        normalisation and dropout are active unless the batch has one example only. If the loss or a gradient is not
        finite, nothing is learned (`skipped` counts it) and the loss is NaN.
        """
        if batch.size == 0:
            return 0.0
        self._enter_thread()
        torch.default_generator.manual_seed(self._steps)  # torch.manual_seed formats a stack trace each time
        self._steps += 1
        self._moments.observe(numbers_of(self.spec, batch.block, self.dense.numbers.running))
        access = self._rows.write(batch.block, now_us // 1_000_000)
        leaves = [owned(rows).requires_grad_() for rows in access.gathered]
        buffers = [buffer.clone() for buffer in self.dense.net.buffers()]
        total = self._backward(batch, leaves)
        gradients = [
            np.zeros_like(rows) if leaf.grad is None else leaf.grad.numpy()
            for leaf, rows in zip(leaves, access.gathered, strict=True)
        ]
        if not self._finite(total, gradients):
            self._skipped += 1
            self._put_back(buffers)
            return float("nan")
        self._optimizer.step(1.0 / batch.size)
        self._rows.update(access, gradients)
        return total / max(float(batch.weights.sum()), 1e-12)

    def evict(self, now_us: int) -> int:
        """Frees rows unused for longer than their space's ttl; returns how many."""
        return self._rows.evict(now_us // 1_000_000)

    def dense_weights(self) -> dict[str, Floats]:
        """Copies of the dense weights, by the names of the graph's initializers."""
        return self.dense.weights()

    def state(self) -> State:
        """Everything that learning depends on (not copies)."""
        parts: dict[str, Mapping[str, npt.NDArray[np.generic]]] = {
            "dense": {name: tensor.detach().numpy() for name, tensor in self.dense.tensors().items()},
            "optimizer": self._optimizer.state(),
            "numbers": {"moments": self._moments.values},
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
        self._rows.restore(parts["rows"])
        self._steps, self._skipped = (int(count) for count in np.asarray(parts["learner"]["counts"], np.int64))

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

    def _backward(self, batch: Batch, leaves: list[torch.Tensor]) -> float:
        self._parameters.gradients.zero_()
        self.dense.train(batch.size > 1)
        logits = self.dense(*dense_inputs(self.spec, self._rows.lookups, batch.block, leaves))
        loss = binary_cross_entropy_with_logits(logits, owned(batch.labels), owned(batch.weights), reduction="sum")
        loss.backward()  # type: ignore[no-untyped-call]
        self.dense.eval()
        return float(loss.detach())

    def _put_back(self, buffers: list[torch.Tensor]) -> None:
        """Undoes what a forward pass did to running statistics."""
        for buffer, kept in zip(self.dense.net.buffers(), buffers, strict=True):
            buffer.copy_(kept)

    def _finite(self, total: float, gradients: list[Floats]) -> bool:
        sums = [total, float(self._parameters.gradients.sum()), *(float(gradient.sum()) for gradient in gradients)]
        return bool(np.isfinite(sums).all())


def _set_up_torch(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
