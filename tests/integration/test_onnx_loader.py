"""Real versions in onnxruntime: base and deltas score as the trainer does, and what does not fit is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, NotFound
from martlet.feature_encoding import RankInput, Value, encode
from martlet.feature_spec import FeatureBlock
from martlet.manifest import VersionKind, encode_manifest
from martlet.table_blobs import encode_dense
from serving_svc.onnx_loader import OnnxLoader, OnnxLoaders
from serving_svc.servable import ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from serving_svc.warm_up import warm_up, zeros
from tests.integration.tiny_version import MODEL, TABLE, TinyTrainer
from tests.unit.core.samples import SPEC

CONTEXT: dict[str, Value] = {"hour": 13, "recent_items": [5, 6, 999]}


def block(user: int = 1, *items: int) -> FeatureBlock:
    values = [{"item.price": float(item)} if item % 2 else {} for item in items]
    return encode(SPEC, RankInput(user, CONTEXT, items, values))


class Stage:
    def __init__(self, root: Path, *, composed: bool) -> None:
        self.store = FolderStore(root / "artifacts")
        self.trainer = TinyTrainer(self.store, composed=composed)
        tables = TableViews(
            self.store, root / "tables", lambda path, base, width: TableArena(path, base, width, headroom=1.0)
        )
        self.loaders = OnnxLoaders(self.store, tables, root / "graphs", intra_op_threads=1)
        self.trainer.learn("user", 1, [0.5, -1.0, 0.25, 2.0])
        for item in range(20):
            self.trainer.learn("item", item, [item * 0.1, 1.0, -item * 0.2, 0.5])

    def loader(self, digest: str) -> OnnxLoader:
        return self.loaders.loader(ServableId(MODEL, 1, digest))

    def publish_changed(self, **changes: object) -> str:
        """A snapshot whose manifest is not what it should be."""
        self.trainer.publish()
        manifest = self.trainer.manifest(VersionKind.SNAPSHOT, self.store.put(encode_dense(self.trainer.weights)))
        return self.store.put_manifest(encode_manifest(replace(manifest, **changes)))  # type: ignore[arg-type]


@pytest.fixture(params=[False, True], ids=["by-hand", "composed"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    """With a graph made by hand, and with one whose lookups the exporter composed."""
    return Stage(tmp_path, composed=request.param)


def check_scores(loader: OnnxLoader, expected: list[np.ndarray[tuple[int], np.dtype[np.float32]]]) -> None:
    servable = loader.load()
    warm_up(servable, [block(1, 5)])
    for asked, logits in zip((block(1, *range(25)), block(77, 3)), expected, strict=True):
        scores = servable.predict(asked)
        np.testing.assert_allclose(scores.logit, logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scores.score, 1 / (1 + np.exp(-logits)), rtol=1e-5, atol=1e-6)


def test_a_snapshot_and_its_deltas_score_as_the_trainer_does_and_stay_so(stage: Stage) -> None:
    loaders, expected = [], []
    for step in range(6):
        if step:
            stage.trainer.learn("item", 100 + step, [1.0, 2.0, 3.0, step])
            stage.trainer.learn("item", 3, [step, 0.0, 0.0, -step])
            stage.trainer.weights["bias"] = np.array([step * 0.5], np.float32)
        digest = stage.trainer.publish()
        loaders.append(stage.loader(digest))
        expected.append([stage.trainer.logits(asked) for asked in (block(1, *range(25)), block(77, 3))])
        check_scores(loaders[-1], expected[-1])
    for loader in loaders[:-1]:
        loader.unload()
    check_scores(stage.loader(digest), expected[-1])


def test_versions_that_are_loaded_together_do_not_disturb_one_another(stage: Stage) -> None:
    asked = block(1, *range(25))
    servables = []
    for step in range(4):
        stage.trainer.learn("item", 3, [float(step)] * 4)
        servables.append((stage.loader(stage.trainer.publish()).load(), stage.trainer.logits(asked)))
    for servable, logits in servables:
        np.testing.assert_allclose(servable.predict(asked).logit, logits, rtol=1e-5, atol=1e-5)


def test_a_batch_of_requests_scores_as_each_alone(stage: Stage) -> None:
    servable = stage.loader(stage.trainer.publish()).load()
    outputs = servable.infer(
        {
            "user": np.array([1, 77], np.int64),
            "item": np.array([3, 4, 3], np.int64),
            "history": np.array([[5, 6, 999], [0, 0, 0]], np.int64),
            "history_mask": np.array([[1, 1, 1], [0, 0, 0]], np.float32),
            "price": np.array([[3.0], [np.nan], [1.0]], np.float32),
            "hour": np.array([[13.0], [np.nan]], np.float32),
            "row_of_user": np.array([0, 0, 1], np.int64),
        },
        ("logit",),
    )
    alone = servable.predict(block(1, 3, 4)).logit
    np.testing.assert_allclose(outputs["logit"].astype(np.float32)[:2], alone, rtol=1e-5)


def test_loading_again_after_everything_was_unloaded(stage: Stage) -> None:
    stage.trainer.publish()
    stage.trainer.learn("item", 3, [9.0] * 4)
    loader = stage.loader(stage.trainer.publish())
    for _ in range(3):
        check_scores(loader, [stage.trainer.logits(asked) for asked in (block(1, *range(25)), block(77, 3))])
        loader.unload()


def test_weights_that_are_not_numbers_do_not_pass_warm_up(stage: Stage) -> None:
    stage.trainer.weights["bias"] = np.array([np.nan], np.float32)
    servable = stage.loader(stage.trainer.publish()).load()
    with pytest.raises(Corrupt, match="not finite"):
        warm_up(servable, [])


def dense(stage: Stage, **weights: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None) -> str:
    changed = {**stage.trainer.weights, **weights}
    blob = stage.store.put(encode_dense({name: array for name, array in changed.items() if array is not None}))
    return stage.publish_changed(dense=blob)


def test_arrays_that_do_not_fit_the_graph_are_refused_by_name(stage: Stage) -> None:
    for digest, message in (
        (dense(stage, bias=np.zeros(2, np.float32)), r"array 'bias' is float32\[2\], the graph declares float32\[1\]"),
        (dense(stage, bias=np.zeros(1, np.float64)), r"array 'bias' is float64\[1\]"),
        (dense(stage, bias=None), "graph and blobs do not name the same arrays: bias"),
        (dense(stage, extra=np.zeros(1, np.float32)), "graph and blobs do not name the same arrays: extra"),
    ):
        with pytest.raises(Corrupt, match=message):
            stage.loader(digest).load()


def test_manifests_that_do_not_fit_are_refused(stage: Stage) -> None:
    spec = replace(SPEC, golden=(("a", 1),))
    junk = stage.store.put(b"\x08\x01 this is no graph")
    for changes, message in (
        ({"model": "other"}, "the manifest is of model 'other'"),
        ({"feature_spec": spec}, "golden id of 'a'"),
        ({"graph": junk}, "not an ONNX model"),
    ):
        with pytest.raises(Corrupt, match=message):
            stage.loader(stage.publish_changed(**changes)).load()


def test_a_table_of_another_size_is_refused(stage: Stage) -> None:
    stage.trainer.publish()
    other = TinyTrainer(stage.store, buckets=32)
    other.publish()
    tables = other.manifest(VersionKind.SNAPSHOT, stage.store.put(b"")).tables
    with pytest.raises(Corrupt, match=f"array '{TABLE}.directory' is int32.32."):
        stage.loader(stage.publish_changed(tables=tables)).load()


def test_a_damaged_blob_is_corrupt_and_an_absent_one_not_found(stage: Stage) -> None:
    digest = stage.trainer.publish()
    path = stage.store.blob_path(stage.trainer.graph.digest)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Corrupt, match="does not match its digest"):
        stage.loader(digest).load()
    path.unlink()
    with pytest.raises(NotFound):
        stage.loader(digest).load()


def test_a_load_that_failed_half_way_holds_no_table(stage: Stage) -> None:
    loader = stage.loader(dense(stage, bias=np.zeros(2, np.float32)))
    with pytest.raises(Corrupt):
        loader.load()
    assert loader._tables == []
    assert stage.loaders.tables._loaded == []


def test_blocks_of_zeros_have_the_specs_columns() -> None:
    assert zeros(SPEC, 3).item_ids.shape == (3, 1)
    assert zeros(SPEC, 3).user_ids.shape == (1, 5)
