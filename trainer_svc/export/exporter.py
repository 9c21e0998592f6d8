"""From a learner to a full export: the graph, and the arrays that fill it."""

import numpy as np
import numpy.typing as npt
import onnx

from martlet.learn import Model
from martlet.table_layout import SLOTS
from trainer_svc.dense_model import DenseModel
from trainer_svc.export.compose import TableSpec, compose
from trainer_svc.export.dense_graph import dense_graph
from trainer_svc.learner import Learner
from trainer_svc.table.columns import RowType

Arrays = dict[str, npt.NDArray[np.generic]]
_KEPT = 4


class Exporter:
    """Exports learners of one model. Not thread-safe.

    The network goes through torch's exporter once; a graph changes only when a table grows, and bytes are kept.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._dense: onnx.ModelProto | None = None
        self._graphs: dict[tuple[tuple[int, RowType], ...], bytes] = {}

    def graph(self, learner: Learner) -> bytes:
        """The ONNX graph for the learner's tables as large as they are now. The same in every process.

        Raises:
            InvalidInput: the network cannot be exported (see `dense_graph`).
        """
        sizes = tuple((table.buckets, table.dtype) for table in learner.tables.values())
        if sizes not in self._graphs:
            while len(self._graphs) >= _KEPT:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[sizes] = self._composed(sizes).SerializeToString(deterministic=True)
        return self._graphs[sizes]

    def arrays(self, learner: Learner) -> Arrays:
        """Copies of what the graph's external initializers hold in a full export: the directory is the identity."""
        arrays: Arrays = dict(learner.dense_weights())
        for name, table in learner.tables.items():
            base = table.base()
            n, specials, width = base.buckets, base.special.shape[0], base.special.shape[1]
            arrays[f"{name}.directory"] = np.arange(n, dtype=np.int32)
            arrays[f"{name}.keys"] = base.keys
            arrays[f"{name}.rows"] = np.concatenate([base.rows.reshape(n * SLOTS, width), base.special])
            arrays[f"{name}.special"] = np.arange(n * SLOTS, n * SLOTS + specials, dtype=np.int64)
        return arrays

    def _composed(self, sizes: tuple[tuple[int, RowType], ...]) -> onnx.ModelProto:
        model = self._model
        if self._dense is None:
            # A module of its own: only its shape matters, and the learner's is not to be touched.
            self._dense = dense_graph(model.spec, DenseModel(model))
        tables = tuple(
            TableSpec(table.name, table.width, size, table.features, dtype)
            for table, (size, dtype) in zip(model.tables, sizes, strict=True)
        )
        return compose(model.spec, tables, self._dense, model.head)
