"""The dense part of a model as ONNX, by torch's exporter, with every weight under its own name.

torch's optimizer would fold batch normalisation into the layer before it: weights swapped in by name would then be
silently wrong. So it is off, and what the graph holds is compared with the module bit by bit. Only what depends on no
weight is folded, here.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch.export import Dim

from martlet.errors import InvalidInput
from martlet.feature_encoding import MASK_SUFFIX
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec
from martlet.signature import LOGIT
from trainer_svc.dense_model import DenseModel
from trainer_svc.export.constant_folding import simplify

_SAMPLE_ROWS: Final = 3  # neither 0 nor 1: torch would take those as fixed
_MOST_ROWS: Final = 64
_BATCH: Final = "n"
_INPUT: Final = "input/"
_OUTPUT: Final = "output/logit"
_INNER: Final = "value/"


def dense_graph(spec: FeatureSpec, dense: DenseModel) -> onnx.ModelProto:
    """Exports the dense part. Takes a second or so; leaves the module as it was, in evaluation mode.

    Inputs are `dense.input_names`, the batch of any size; the output is `logit`, float32[n]. The initializers are
    exactly `dense.weight_names`; other constants stand in nodes. The same module gives the same bytes in every process.

    Raises:
        InvalidInput: the network cannot be exported, or a weight does not stand in the graph.
    """
    samples = tuple(torch.zeros(_SAMPLE_ROWS, *size) for size in _sizes(spec, dense))
    dense.eval()
    try:
        with quiet():
            program = torch.onnx.export(
                dense,
                samples,
                dynamo=True,
                optimize=False,
                input_names=[_INPUT + name for name in dense.input_names],
                output_names=[_OUTPUT],
                dynamic_shapes=(tuple({0: Dim.DYNAMIC} for _ in samples),),
                verbose=False,
            )
    except Exception as error:
        raise InvalidInput(f"the network cannot be exported: {_first_cause(error)}") from error
    assert program is not None
    model = program.model_proto
    _strip(model)
    _rename(model, set(dense.weight_names))
    simplify(model, set(dense.weight_names))
    check_dense_graph(model, dense)
    return model


def check_dense_graph(model: onnx.ModelProto, dense: DenseModel) -> None:
    """Refuses a graph that is not the module with its weights under their names, in standard operators.

    Raises:
        InvalidInput: names the weight or the operator.
    """
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = dense.weights()
    lacking = [name for name, array in weights.items() if name not in held or not _same_bits(held[name], array)]
    if lacking or len(held) != len(weights):
        raise InvalidInput(f"weights do not stand in the exported graph as they are: {', '.join(lacking[:5])}")
    if [value.name for value in model.graph.input] != list(dense.input_names):
        raise InvalidInput("the exported graph lost an input")
    for node in model.graph.node:
        if node.domain not in {"", "ai.onnx"}:
            raise InvalidInput(f"the exported graph has a custom operator, {node.domain}.{node.op_type}")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise InvalidInput(f"the exported graph has control flow ({node.op_type}); write the network without")
        if node.op_type.startswith("Random") or node.op_type in {"Bernoulli", "Multinomial"}:
            raise InvalidInput(f"the exported graph draws random numbers ({node.op_type})")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker has several classes of its own
        raise InvalidInput(f"the exported graph is not valid: {_first_cause(error)}") from error


def sample_inputs(dense: DenseModel, rows: int) -> tuple[torch.Tensor, ...]:
    """Made-up inputs of the dense part; the first rows of more are those of fewer."""
    generator = torch.Generator().manual_seed(0)
    sizes = _sizes(dense.spec, dense)
    return tuple(torch.randn(_MOST_ROWS, *size, generator=generator)[:rows].clone() for size in sizes)


def _sizes(spec: FeatureSpec, dense: DenseModel) -> list[tuple[int, ...]]:
    """What each input of the dense part has behind its batch dimension."""
    features: dict[str, Feature] = {feature.name: feature for feature in spec.features}
    return [_size(name, features) for name in dense.input_names]


def _size(name: str, features: Mapping[str, Feature]) -> tuple[int, ...]:
    feature = features.get(name)
    if feature is None:
        return (features[name.removesuffix(MASK_SUFFIX)].max_len,)
    if feature.kind is FeatureKind.ID_LIST and not feature.pool:
        return feature.max_len, feature.width
    return (feature.width if feature.is_id else feature.max_len,)


def _strip(model: onnx.ModelProto) -> None:
    """Takes out stack traces with file names, and names that hang on torch's inner counters."""
    graph = model.graph
    graph.name = "dense"
    for message in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    graph.ClearField("value_info")
    model.producer_name, model.producer_version = "", ""
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _BATCH


def _rename(model: onnx.ModelProto, weights: set[str]) -> None:
    """Inputs get their names, and inner values others: torch calls a value what made it, such as "relu"."""

    def renamed(name: str) -> str:
        if not name or name in weights:
            return name
        return LOGIT if name == _OUTPUT else name.removeprefix(_INPUT) if name.startswith(_INPUT) else _INNER + name

    for node in model.graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = renamed(value.name)
    for tensor in model.graph.initializer:
        tensor.name = renamed(tensor.name)


def _same_bits(left: npt.NDArray[np.generic], right: npt.NDArray[np.generic]) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n", 1)[0][:300]


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter's own deprecations and its remarks on libraries that are not there are nobody's business here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
