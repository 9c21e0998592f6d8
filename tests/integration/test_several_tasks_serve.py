"""A version of several tasks in serving: the main task ranks, or what the model or the request makes of all."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.errors import InvalidInput
from martlet.feature_encoding import feed, signature_of
from martlet.manifest import (
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    decode_manifest,
    encode_manifest,
)  # fmt: skip
from martlet.table_blobs import encode_base, encode_dense
from registry_svc.admission import AdmissionPolicy, check_manifest
from registry_svc.blob_checks import BlobChecks
from serving_svc.batch_work import Scoring
from serving_svc.onnx_loader import OnnxLoaders, OnnxServable
from serving_svc.servable import Scores, ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from serving_svc.warm_up import warm_up
from tests.unit.learner.heads import MODELS
from tests.unit.learner.samples import NOW_US
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch, made_up_block


def published(model: ml.Model, learner: Learner, store: FolderStore) -> str:
    """A snapshot, as the trainer's builder writes it; admitted as the registry does."""
    tables = []
    for name, table in learner.tables.items():
        base = store.put(encode_base(table.base()))
        tables.append(TableManifest(name, table.width, table.buckets, "float32", base))
    manifest = Manifest(
        model="m",
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage("m-1", "", 0, 1),
        learned=Learned({}, 0, 0, 0),
        graph=store.put(Exporter(model).graph(learner)),
        dense=store.put(encode_dense(learner.dense_weights())),
        tables=tuple(tables),
        signature=signature_of(model.spec, model.head.more),
        feature_spec=model.spec,
        provenance=Provenance("0", "m", ""),
    )
    encoded = encode_manifest(manifest)
    check_manifest(decode_manifest(encoded), None, AdmissionPolicy(2.0))
    BlobChecks(store).check(manifest)
    return store.put_manifest(encoded)


@pytest.fixture(params=["tasks", "product", "sum", "classes", "regression"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Learner, OnnxServable]:
    model = MODELS[request.param]
    learner, random, store = Learner(model, 64), np.random.default_rng(3), FolderStore(tmp_path / "artifacts")
    for _ in range(5):
        learner.learn(made_up_batch(model.spec, random, 32, model.head), NOW_US)
    digest = published(model, learner, store)
    tables = TableViews(store, tmp_path / "t", lambda path, base, width: TableArena(path, base, width, headroom=1.0))
    loaders = OnnxLoaders(store, tables, tmp_path / "graphs", intra_op_threads=1)
    return request.param, learner, loaders.loader(ServableId("m", 1, digest)).load()


def test_it_answers_what_the_head_says(served: tuple[str, Learner, OnnxServable]) -> None:
    kind, learner, servable = served
    head = learner.model.head
    warm_up(servable, ())
    block = made_up_block(learner.spec, np.random.default_rng(1), 12, 3)
    expected, scores = head.outputs(learner.logits(block)), servable.predict(block)
    near = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(scores.score, expected["score"], **near)
    np.testing.assert_allclose(scores.logit, expected["logit"], **near)
    assert set(scores.tasks) == {task.name for task in head.tasks if task.name and task.columns == 1}
    for name, score in scores.tasks.items():
        np.testing.assert_allclose(score, expected[f"{name}.score"], **near)
    np.testing.assert_array_equal(scores.rank, scores.score if kind in ("product", "sum") else scores.logit)
    raw = servable.infer(feed(learner.spec, block), list(expected))
    for name, array in raw.items():
        np.testing.assert_allclose(array, expected[name], **near)


def test_a_request_may_weigh_the_tasks_itself(served: tuple[str, Learner, OnnxServable]) -> None:
    _kind, learner, servable = served
    scores = servable.predict(made_up_block(learner.spec, np.random.default_rng(1), 12, 3))
    if "click" not in scores.tasks:
        with pytest.raises(InvalidInput, match="task_weights names 'click'"):
            scores.weighted({"click": 1.0})
        return
    asked = scores.weighted({"click": 2.0, "stay": -0.5})
    np.testing.assert_allclose(asked.score, 2 * scores.tasks["click"] - 0.5 * scores.tasks["stay"], rtol=1e-5)
    np.testing.assert_array_equal(asked.rank, asked.score)
    np.testing.assert_array_equal(asked.logit, scores.logit)  # what is judged is the main task's
    with pytest.raises(InvalidInput, match="names 'buy'; this version's tasks with one score are: click"):
        scores.weighted({"buy": 1.0})


def test_requests_of_a_batch_get_their_own_rows(served: tuple[str, Learner, OnnxServable]) -> None:
    _, learner, servable = served
    random = np.random.default_rng(1)
    blocks = [made_up_block(learner.spec, random, n, 1) for n in (3, 1, 5)]
    for block, scores in zip(blocks, Scoring().run(servable, blocks), strict=True):
        alone = servable.predict(block)
        assert same(scores, alone)
        order = np.arange(block.rows)[::-1].copy()
        assert same(scores.at(order), Scores(alone.score[order], alone.logit[order], tasks=at(alone.tasks, order)))


def at(tasks: Mapping[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {name: score[order] for name, score in tasks.items()}


def same(one: Scores, other: Scores) -> bool:
    pairs = [(one.score, other.score), (one.logit, other.logit)]
    pairs += [(one.tasks[name], other.tasks[name]) for name in other.tasks]
    return one.tasks.keys() == other.tasks.keys() and all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)
