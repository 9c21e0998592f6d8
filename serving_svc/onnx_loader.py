"""Loads a version into onnxruntime: the graph from a file, its dense weights and tables as arrays it does not copy.

With `onnx_values` the only room that knows onnxruntime. The external files that a graph names are empty placeholders;
each initializer is overridden by an array whose dtype and shape are checked here, since onnxruntime does not.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from martlet.allowed_operators import GraphRules, check_operators
from martlet.artifacts import ArtifactStore
from martlet.errors import Corrupt, InvalidInput
from martlet.feature_encoding import feed, is_signature_of
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.keys import text_id
from martlet.manifest import BlobRef, Manifest, TableManifest, decode_manifest, spec_digest
from martlet.signature import LOGIT, SCORE, Signature, is_fused, single_scores
from martlet.table_blobs import decode_dense
from serving_svc.item_rows import TableArrays, item_rows
from serving_svc.memory import give_back
from serving_svc.onnx_initializers import Initializer, external_initializers
from serving_svc.onnx_values import run_with_bfloat16
from serving_svc.servable import Scores, ServableId, Tensors
from serving_svc.table_view import View
from serving_svc.tensor_types import BFLOAT16, type_of

Arrays = Mapping[str, npt.NDArray[np.generic]]
_GRAPHS_KEPT = 8


class OpenTable(Protocol):
    """A table's arrays as one version sees them (see `table_view.LoadedTable`, `shared_tables.SharedTable`)."""

    table: TableManifest

    @property
    def view(self) -> View:
        """Directory and special rows."""
        ...

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """int64[P, 4]."""
        ...

    @property
    def rows(self) -> npt.NDArray[Any]:
        """[P * 4, width]."""
        ...


class Tables(Protocol):
    """The tables of this process, built here or by the host's builder. For one thread at a time."""

    def open(self, table: TableManifest) -> OpenTable:
        """The table; give it back with `close`."""
        ...

    def close(self, loaded: Any) -> None:
        """Gives a table that it opened back."""
        ...


class OnnxServable:
    """A version in an onnxruntime session. Thread-safe; keeps the arrays that the session reads alive."""

    def __init__(
        self,
        manifest: Manifest,
        session: ort.InferenceSession,
        values: Sequence[ort.OrtValue],
        tables: Mapping[int, TableArrays],
    ) -> None:
        self._spec = manifest.feature_spec
        self._spec_digest = spec_digest(manifest.feature_spec)
        self._signature = manifest.signature
        self._learned_us = manifest.learned.event_time_us
        self._by_score = is_fused(manifest.signature)
        by_task = single_scores(manifest.signature)
        self._tasks, self._outputs = tuple(by_task), [SCORE, LOGIT, *by_task.values()]
        self._session = session
        self._values = tuple(values)
        tensors = (*manifest.signature.inputs, *manifest.signature.outputs)
        self._has_bfloat16 = any(type_of(spec.dtype).dtype == BFLOAT16 for spec in tensors)
        self._tables = tables

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec that lays its blocks out."""
        return self._spec

    @property
    def spec_digest(self) -> str:
        """Names the spec."""
        return self._spec_digest

    @property
    def signature(self) -> Signature:
        """Its tensors."""
        return self._signature

    @property
    def learned_us(self) -> int:
        """Event time."""
        return self._learned_us

    def predict(self, block: FeatureBlock) -> Scores:
        """Scores a block.

        Raises:
            InvalidInput: the version has no features.
        """
        if not self._spec.features:
            raise InvalidInput("this version has no features: it answers raw tensors alone (ModelInfer)")
        score, logit, *tasks = self._session.run(self._outputs, feed(self._spec, block))
        if not tasks:
            return Scores(score, logit)
        return Scores(score, logit, tasks=dict(zip(self._tasks, tasks, strict=True)), by_score=self._by_score)

    def infer(self, inputs: Arrays, outputs: Sequence[str]) -> Tensors:
        """Runs on tensors that were checked against the signature."""
        if self._has_bfloat16:
            return run_with_bfloat16(self._session, inputs, outputs)
        return dict(zip(outputs, self._session.run(list(outputs), dict(inputs)), strict=True))

    def item_rows(self, item_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The table rows of items, side by side; see `serving_svc.item_rows`."""
        return item_rows(self._spec, self._tables, item_ids)


class OnnxLoaders:
    """Makes loaders of ONNX versions. Their work is for one thread at a time.

    Args:
        folder: for graphs and placeholders; what it holds may be lost while no loader is at work.
        rules: what a graph may hold.
        check_signature: passes a version's digest, or raises Untrusted.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        tables: Tables,
        folder: Path,
        intra_op_threads: int,
        rules: GraphRules = GraphRules(),  # noqa: B008  frozen
        check_signature: Callable[[str], None] = lambda _digest: None,
    ) -> None:
        self.artifacts = artifacts
        self.check_signature = check_signature
        self._rules = rules
        self.tables = tables
        self.intra_op_threads = intra_op_threads
        self._folder = folder
        self._graphs: dict[str, tuple[Path, dict[str, Initializer]]] = {}

    def loader(self, servable: ServableId) -> "OnnxLoader":
        """A loader for this version."""
        return OnnxLoader(servable, self)

    def graph(self, blob: BlobRef) -> tuple[Path, dict[str, Initializer]]:
        """The graph as a file with its placeholders beside it, and what it says of its initializers."""
        known = self._graphs.get(blob.digest)
        if known is not None and known[0].exists():
            return known
        data = self.artifacts.get(blob)
        check_operators(data, self._rules)
        initializers = external_initializers(data)
        folder = self._folder / blob.digest
        folder.mkdir(parents=True, exist_ok=True)
        for initializer in initializers.values():
            (folder / initializer.location).touch()
        path = folder / "model.onnx"
        path.write_bytes(data)
        while len(self._graphs) >= _GRAPHS_KEPT:
            del self._graphs[next(iter(self._graphs))]
        self._graphs[blob.digest] = path, initializers
        return path, initializers


class OnnxLoader:
    """Loads one version."""

    def __init__(self, servable: ServableId, shared: OnnxLoaders) -> None:
        self._id = servable
        self._shared = shared
        self._tables: list[OpenTable] = []
        self._dense_bytes = 0

    def load(self) -> OnnxServable:
        """Verifies signature and blobs, opens the tables and makes the session."""
        self._shared.check_signature(self._id.digest)
        manifest = decode_manifest(self._shared.artifacts.get_manifest(self._id.digest))
        _check_manifest(manifest, self._id)
        try:
            return self._loaded(manifest)
        except BaseException:
            self.unload()
            raise

    def unload(self) -> None:
        """Gives the tables back."""
        while self._tables:
            self._shared.tables.close(self._tables.pop())
        give_back(self._dense_bytes)

    def _loaded(self, manifest: Manifest) -> OnnxServable:
        path, initializers = self._shared.graph(manifest.graph)
        arrays = decode_dense(self._shared.artifacts.get(manifest.dense))
        self._dense_bytes = manifest.dense.size + manifest.graph.size
        for table in manifest.tables:
            loaded = self._shared.tables.open(table)
            self._tables.append(loaded)
            arrays.update(_table_arrays(loaded))
        _check_arrays(initializers, arrays, manifest.tables)
        session, values = _session(path, arrays, self._shared.intra_op_threads)
        _check_session(session, manifest.signature)
        tables = {loaded.table.width: _table_view(loaded) for loaded in self._tables}
        return OnnxServable(manifest, session, values, tables)


def _table_arrays(loaded: OpenTable) -> dict[str, npt.NDArray[np.generic]]:
    name = loaded.table.name
    return {
        f"{name}.directory": loaded.view.directory,
        f"{name}.special": loaded.view.special,
        f"{name}.keys": loaded.keys,
        f"{name}.rows": loaded.rows,
    }


def _table_view(loaded: OpenTable) -> TableArrays:
    return TableArrays(loaded.keys, loaded.rows, loaded.view.directory, loaded.view.special)


def _session(path: Path, arrays: Arrays, threads: int) -> tuple[ort.InferenceSession, list[ort.OrtValue]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The optimizer folds constants before the arrays below take the initializers' places: it would compute with the
    # placeholder files. (`add_external_initializers` comes before it, but copies every table.)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = []
    for name, array in arrays.items():
        value = ort.OrtValue.ortvalue_from_numpy(array)
        options.add_initializer(name, value)
        values.append(value)
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each of its statuses
        raise Corrupt(f"onnxruntime refuses the graph: {error}") from error
    return session, values


def _check_manifest(manifest: Manifest, servable: ServableId) -> None:
    if manifest.model != servable.model:
        raise Corrupt(f"the manifest is of model {manifest.model!r}")
    if not is_signature_of(manifest.feature_spec, manifest.signature):
        raise Corrupt("the manifest's signature is not that of its feature spec")
    for text, value in manifest.feature_spec.golden:
        if text_id(text) != value:
            raise Corrupt(f"this encoder does not give the feature spec's golden id of {text!r}")


def _check_arrays(initializers: Mapping[str, Initializer], arrays: Arrays, tables: Sequence[TableManifest]) -> None:
    """Each external initializer has its array and the other way round; dtypes and shapes fit."""
    odd = sorted(initializers.keys() ^ arrays.keys())
    if odd:
        raise Corrupt(f"graph and blobs do not name the same arrays: {', '.join(odd[:5])}")
    open_ended = {f"{table.name}.{part}" for table in tables for part in ("keys", "rows")}
    for name, initializer in initializers.items():
        array = arrays[name]
        free = 1 if name in open_ended else 0  # an arena has more physical buckets than the graph declares
        shapes_fit = array.ndim == len(initializer.dims) and array.shape[free:] == initializer.dims[free:]
        if str(array.dtype) != initializer.dtype or not shapes_fit:
            declared = f"{initializer.dtype}{list(initializer.dims)}"
            raise Corrupt(f"array {name!r} is {array.dtype}{list(array.shape)}, the graph declares {declared}")


def _check_session(session: ort.InferenceSession, signature: Signature) -> None:
    for kind, specs, nodes in (
        ("inputs", signature.inputs, session.get_inputs()),
        ("outputs", signature.outputs, session.get_outputs()),
    ):
        expected = {spec.name: type_of(spec.dtype).onnx for spec in specs}
        found = {cast("str", node.name): cast("str", node.type) for node in nodes}
        if found != expected:
            raise Corrupt(f"the graph's {kind} are {found}, the signature says {expected}")
