"""`martlet publish`: a model from anywhere becomes a version, and is served by Rank and by raw tensors."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from onnx import helper

from martlet.client.blocking_serving import BlockingServingClient
from martlet.client.registry import BlockingRegistryClient
from martlet.oip import open_inference_pb2 as oip
from martlet.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests.conformance.martlet_server import Processes, _wait_until_ready
from tests.unit.frozen.samples import TENSORFLOW, TENSORFLOW_SAYS, by_hand, examples, scikit
from trainer_svc.__main__ import main

SPEC = """
inputs:
  X: [{number: item.price}, {number: hour}, {number: item.age}]
score: {output: probabilities, column: 1}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """Folder, registry, serving."""
    processes = Processes(tmp_path)
    try:
        registry = processes.start("registry")
        yield tmp_path, registry, processes.start("serving", MARTLET_SERVING_REGISTRY=registry)
    finally:
        processes.stop()


def published(
    stage: tuple[Path, str, str], capsys: pytest.CaptureFixture[str], data: bytes, *more: str
) -> tuple[int, str]:
    folder, registry, _ = stage
    path = folder / "model.onnx"
    path.write_bytes(data)
    code = main(["publish", str(path), "--data-dir", str(folder), "--registry", registry, *more])
    captured = capsys.readouterr()
    return code, captured.out or captured.err


def test_models_from_anywhere_are_served(stage: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, registry, serving = stage
    pipeline, data = scikit("trees")
    (folder / "spec.yaml").write_text(SPEC)
    code, out = published(stage, capsys, data, "--name", "trees", "--inputs", str(folder / "spec.yaml"), "--json")
    assert code == 0, out
    told = json.loads(out)
    assert (told["version"], told["state"]) == (1, "PINNED")
    assert published(stage, capsys, TENSORFLOW.read_bytes(), "--name", "tf")[0] == 0
    _wait_until_ready(folder, serving)
    x, _ = examples(5)
    with BlockingServingClient(serving) as client:
        candidates = {item: {"item.price": float(row[0]), "item.age": float(row[2])} for item, row in enumerate(x)}
        answer = client.rank("trees", 1, candidates, {"hour": 0.5})
    rows = np.concatenate([x[:, :1], np.full((5, 1), 0.5, np.float32), x[:, 2:]], 1)
    expected = pipeline.predict_proba(rows)[:, 1]
    assert [item.item_id for item in answer.items] == np.argsort(-expected, kind="stable").tolist()
    np.testing.assert_allclose([item.score for item in answer.items], np.sort(expected)[::-1], atol=1e-5)
    rows = np.array(list(TENSORFLOW_SAYS), np.float32)
    request = oip.ModelInferRequest(model_name="tf", raw_input_contents=[rows.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=rows.shape)
    with grpc.insecure_channel(serving) as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request)
    found = np.frombuffer(reply.raw_output_contents[0], np.float32)
    np.testing.assert_allclose(found, list(TENSORFLOW_SAYS.values()), atol=1e-6)
    again = published(stage, capsys, data, "--name", "trees", "--inputs", str(folder / "spec.yaml"), "--json")
    assert json.loads(again[1])["state"] == "ADMITTED", "a second version takes the structural road"
    client = BlockingRegistryClient(registry)
    assert [record.state.name for record in client.versions("trees")] == ["PINNED", "ADMITTED"]
    client.close()


def test_what_cannot_be_served_is_not_stored(stage: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _, _ = stage
    odd = by_hand([helper.make_node("Rank", ["x"], ["y"], domain="shop")]).SerializeToString()
    code, out = published(stage, capsys, odd, "--name", "odd")
    assert (code, "operator 'shop::Rank'" in out) == (2, True)
    assert not list((folder / "artifacts").rglob("*manifest*"))
    assert main(["publish", str(folder / "nowhere.onnx"), "--name", "odd", "--data-dir", str(folder)]) == 2
    assert "nowhere.onnx: No such file" in capsys.readouterr().err
