"""Foreign models: made by scikit-learn, made by TensorFlow, made by hand."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.float32]

TENSORFLOW = Path(__file__).parents[2] / "golden" / "tensorflow_v1.onnx"
TENSORFLOW_SAYS = {(1.0, 2.0, 3.0): 0.03653572499752045, (-1.0, 0.5, 0.0): 0.4126967489719391}


def examples(count: int = 400) -> tuple[Floats, npt.NDArray[np.int64]]:
    random = np.random.default_rng(7)
    x = random.normal(size=(count, 3)).astype(np.float32)
    return x, (x[:, 0] * 2 - x[:, 1] + random.normal(size=count) > 0).astype(np.int64)


def scikit(kind: str = "linear", *, zipmap: bool = False) -> tuple[Any, bytes]:
    """A classifier over three numbers, and its ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between the two libraries
        x, y = examples()
        model = LogisticRegression() if kind == "linear" else GradientBoostingClassifier(n_estimators=5)
        pipeline = make_pipeline(StandardScaler(), model).fit(x, y)
        converted = to_onnx(pipeline, x[:1], options={"zipmap": zipmap}, target_opset=18)
    return pipeline, converted.SerializeToString()


def by_hand(nodes: Sequence[onnx.NodeProto], *, inputs: Any = None, outputs: Any = None) -> onnx.ModelProto:
    """A graph from x, float32[n, 3], to y, float32[n, 3], unless told otherwise."""
    of = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "by_hand",
        inputs or [of("x", TensorProto.FLOAT, ["n", 3])],
        outputs or [of("y", TensorProto.FLOAT, ["n", 3])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("shop", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)
