"""The same network over a plain Gather: ids are row numbers, the table is an ordinary initializer of the graph.

What a table inside the graph costs beside it: `throughput.*_plain` against the figures of the packed model. The version
has no features, so raw tensors alone reach it.
"""

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.figures import Figures, at_least
from benchmarks.serving import stage
from benchmarks.serving.load import Job, Load
from benchmarks.serving.throughput import INFER, ROWS, Sample, Size, median
from martlet.artifacts import FolderStore
from martlet.client.registry import BlockingRegistryClient
from martlet.feature_spec import FeatureSpec
from martlet.manifest import Learned, Lineage, Manifest, Provenance, VersionKind, encode_manifest
from martlet.oip import open_inference_pb2 as oip
from martlet.signature import Signature, TensorSpec
from martlet.table_blobs import encode_dense

MODEL: Final = "plain"
TABLE_ROWS: Final = 1 << 17
IDS: Final = "fields"
SIGNATURE: Final = Signature(
    (TensorSpec(IDS, "int64", ("n", stage.FIELDS)),),
    (TensorSpec("score", "float32", ("n",)), TensorSpec("logit", "float32", ("n",))),
)


def plain(figures: Figures, size: Size) -> None:
    """Requests a second, CPU a request, and rows a CPU second against a bare session of the same graph."""
    with tempfile.TemporaryDirectory(prefix="martlet-plain-") as name:
        folder, graph = Path(name), plain_graph()
        store = FolderStore(folder / "artifacts")
        with stage.registry_with(folder, []) as registry:
            _publish(registry.address, store, graph)
            with stage.serving(folder, registry.address) as served, Load(1 - stage.SERVER_CORE) as load:
                for rows in (1, ROWS):
                    (folder / f"{rows}").write_bytes(_request(rows))
                ones, hundreds, bare = [], [], []
                for _ in range(size.repeats):
                    ones.append(_window(load, served, folder / "1", size.seconds))
                    hundreds.append(_window(load, served, folder / f"{ROWS}", size.seconds))
                    bare.append(_bare_rows_a_second(graph, size.seconds / 2))
    rows_a_second = median([ROWS * one.outcome.answered / one.cpu for one in hundreds])
    figures.add("throughput.rps_c32_1row_plain", median([one.outcome.rate for one in ones]), "req/s")
    figures.add("throughput.cpu_ms_c32_1row_plain", median([one.cpu_ms for one in ones]), "ms")
    figures.add("throughput.rps_c32_100rows_plain", median([one.outcome.rate for one in hundreds]), "req/s")
    figures.add("throughput.ort_ratio_100rows_plain", rows_a_second / median(bare), "", at_least(0.8))


def plain_graph() -> bytes:
    """A DeepFM as an ONNX model: pairs of rows, and an MLP over all of them."""
    random = np.random.default_rng(3)
    weights = {"table": random.normal(0, 0.1, (TABLE_ROWS, stage.WIDTH))}
    nodes = [
        helper.make_node("Gather", ["table", IDS], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis1"], ["total"], keepdims=0),
        helper.make_node("Mul", ["rows", "rows"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis1"], ["squared"], keepdims=0),
        helper.make_node("Mul", ["total", "total"], ["total_squared"]),
        helper.make_node("Sub", ["total_squared", "squared"], ["difference"]),
        helper.make_node("ReduceSum", ["difference", "axis1"], ["pairs"], keepdims=0),
        helper.make_node("Flatten", ["rows"], ["flat"]),
    ]
    last, widths = "flat", (stage.FIELDS * stage.WIDTH, *stage.HIDDEN, 1)
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        weights |= {f"w{layer}": random.normal(0, 0.05, (before, after)), f"b{layer}": np.zeros(after)}
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        last = f"h{layer}"
        if after > 1:
            nodes.append(helper.make_node("Relu", [last], [f"a{layer}"]))
            last = f"a{layer}"
    nodes += [
        helper.make_node("Squeeze", [last, "axis1"], ["deep"]),
        helper.make_node("Add", ["deep", "pairs"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    initializers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([1], np.int64), "axis1"))
    source = helper.make_tensor_value_info(IDS, TensorProto.INT64, ["n", stage.FIELDS])
    sinks = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("score", "logit")]
    graph = helper.make_graph(nodes, MODEL, [source], sinks, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _publish(registry: str, store: FolderStore, graph: bytes) -> None:
    manifest = Manifest(
        model=MODEL,
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage(f"{MODEL}-1", "", 0, 1),
        learned=Learned({}, 0, 0, 0),
        graph=store.put(graph),
        dense=store.put(encode_dense({})),
        tables=(),
        signature=SIGNATURE,
        feature_spec=FeatureSpec((), {}),
        provenance=Provenance("0", "bench", ""),
    )
    encoded = encode_manifest(manifest)
    store.put_manifest(encoded)
    client = BlockingRegistryClient(registry)
    record = client.publish(encoded)
    client.close()
    if record.reason:
        raise RuntimeError(f"the plain graph is refused: {record.reason}")


def _ids(rows: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, TABLE_ROWS, (rows, stage.FIELDS))


def _request(rows: int) -> bytes:
    message = oip.ModelInferRequest(model_name=MODEL, id="1")
    ids = _ids(rows)
    message.inputs.add(name=IDS, datatype="INT64", shape=ids.shape)
    message.raw_input_contents.append(ids.tobytes())
    return message.SerializeToString()


def _window(load: Load, served: stage.Service, payload: Path, seconds: float) -> Sample:
    before = stage.cpu_seconds(served.pids())
    outcome = load.run(Job(served.address, INFER, str(payload), 32, seconds))
    return Sample(outcome, stage.cpu_seconds(served.pids()) - before)


def _bare_rows_a_second(graph: bytes, seconds: float) -> float:
    """Rows that one thread scores in a CPU second, in runs of 100, with onnxruntime's own optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    outputs, feed = [spec.name for spec in SIGNATURE.outputs], {IDS: _ids(ROWS)}
    return _timed(session, outputs, feed, seconds)


def _timed(
    session: ort.InferenceSession, outputs: Sequence[str], feed: dict[str, npt.NDArray[np.int64]], seconds: float
) -> float:
    end, rows, started = time.perf_counter() + seconds, 0, time.process_time()
    while time.perf_counter() < end:
        session.run(outputs, feed)
        rows += ROWS
    return rows / (time.process_time() - started)
