"""Versions without features: any ONNX graph, asked with raw tensors alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, InvalidInput
from martlet.feature_spec import FeatureSpec
from martlet.manifest import Manifest, decode_manifest, encode_manifest
from martlet.signature import Signature, TensorSpec
from registry_svc.admission import AdmissionPolicy, check_manifest
from serving_svc.onnx_loader import OnnxLoaders, OnnxServable
from serving_svc.servable import ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from serving_svc.warm_up import warm_up, zero_tensors, zeros
from tests.conformance.martlet_server import ECHO, ECHO_HALF, MODELS, echo_manifest


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "artifacts")


def loaded(store: FolderStore, folder: Path, encoded: bytes) -> OnnxServable:
    tables = TableViews(store, folder / "tables", lambda path, base, width: TableArena(path, base, width, headroom=1.0))
    digest, model = store.put_manifest(encoded), decode_manifest(encoded).model
    return OnnxLoaders(store, tables, folder / "graphs", intra_op_threads=1).loader(ServableId(model, 1, digest)).load()


def test_bfloat16_goes_through_bit_by_bit_beside_others(store: FolderStore, tmp_path: Path) -> None:
    servable = loaded(store, tmp_path, echo_manifest(store, ECHO_HALF, MODELS[ECHO_HALF]))
    bits = np.array([0x3F80, 0x7FC1, 0x8000], np.uint16).view("V2")
    halves = np.array([1.5, np.nan, -0.0], np.float16)
    outputs = servable.infer({"bfloat16": bits, "float16": halves}, ["bfloat16_out", "float16_out"])
    assert outputs["bfloat16_out"].dtype == np.dtype("V2")
    assert outputs["bfloat16_out"].tobytes() == bits.tobytes()
    assert outputs["float16_out"].tobytes() == halves.tobytes()


def test_bfloat16_is_computed_with_by_the_runtime(store: FolderStore, tmp_path: Path) -> None:
    """1.0 and -2.5 as bfloat16, cast to float32 and back to bfloat16."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["wide"], ["narrow"], to=TensorProto.BFLOAT16),
        ],
        "casts",
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n", "m"])],
        [
            helper.make_tensor_value_info("wide", TensorProto.FLOAT, ["n", "m"]),
            helper.make_tensor_value_info("narrow", TensorProto.BFLOAT16, ["n", "m"]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    dims = ("n", "m")
    signature = Signature(
        (TensorSpec("x", "bfloat16", dims),),
        (TensorSpec("wide", "float32", dims), TensorSpec("narrow", "bfloat16", dims)),
    )
    manifest = decode_manifest(echo_manifest(store, "casts", MODELS[ECHO_HALF]))
    manifest = replace(manifest, graph=store.put(model.SerializeToString()), signature=signature)
    servable = loaded(store, tmp_path, encode_manifest(manifest))
    bits = np.array([[0x3F80], [0xC020]], np.uint16)
    outputs = servable.infer({"x": bits.view("V2")}, ["wide", "narrow"])
    assert outputs["wide"].tolist() == [[1.0], [-2.5]]
    assert outputs["narrow"].view(np.uint16).tolist() == bits.tolist()


def test_it_is_warmed_up_with_zeros_and_ranks_nothing(store: FolderStore, tmp_path: Path) -> None:
    servable = loaded(store, tmp_path, echo_manifest(store, ECHO, MODELS[ECHO]))
    warm_up(servable, ())
    tensors = zero_tensors(servable.signature)
    assert (tensors["string"].tolist(), tensors["float32"].shape, tensors["bool"].dtype) == ([""], (1, 2), np.bool_)
    with pytest.raises(InvalidInput, match="no features"):
        servable.predict(zeros(servable.spec, 1))


def test_a_signature_that_the_graph_does_not_have_is_refused(store: FolderStore, tmp_path: Path) -> None:
    manifest = decode_manifest(echo_manifest(store, ECHO_HALF, MODELS[ECHO_HALF]))
    wrong = replace(manifest.signature, inputs=(TensorSpec("float16", "float32", ("n",)), manifest.signature.inputs[1]))
    with pytest.raises(Corrupt, match="the graph's inputs are"):
        loaded(store, tmp_path, encode_manifest(replace(manifest, signature=wrong)))
    unknown = replace(manifest.signature, inputs=(TensorSpec("float16", "complex64", ("n",)),))
    with pytest.raises(InvalidInput, match="dtype 'complex64' is not known"):
        loaded(store, tmp_path, encode_manifest(replace(manifest, signature=unknown)))


def test_admission_leaves_tensors_free_only_without_features(store: FolderStore) -> None:
    manifest: Manifest = decode_manifest(echo_manifest(store, ECHO, MODELS[ECHO]))
    assert manifest.feature_spec == FeatureSpec((), {})
    check_manifest(manifest, None, AdmissionPolicy(max_mean_logit_shift=2.0))
