"""The rows that NumPy reads are those that the version's graph gathers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from martlet.artifacts import FolderStore
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt, wrap_int64
from martlet.table_layout import SLOTS, buckets_of, empty_keys
from serving_svc.item_rows import TableArrays, item_rows
from serving_svc.onnx_loader import OnnxLoaders
from serving_svc.servable import ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from tests.integration.tiny_version import MODEL, TinyTrainer

WIDE = FeatureSpec(
    features=(
        Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=2),
        Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=2),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
        Feature("tags", "item.tags", FeatureKind.ID_LIST, Side.ITEM, space="tag", width=3, max_len=3),
    ),
    salts={space: space_salt(space) for space in ("user", "item", "tag")},
)


def table(width: int, keys: list[int], specials: int, dtype: str = "float32") -> TableArrays:
    """Row of key i: (i + 1) in all columns; special s: -s. The directory is turned round, to be used at all."""
    n = 16
    logical_keys = np.repeat(empty_keys(n)[:, None], SLOTS, axis=1)
    rows = np.zeros((n, SLOTS, width), dtype)
    for number, key in enumerate(keys):
        first, second = (int(bucket[0]) for bucket in buckets_of(np.array([key], np.int64), n))
        bucket = second if number % 2 else first
        slot = int(np.flatnonzero(logical_keys[bucket] == empty_keys(n)[bucket])[0])
        logical_keys[bucket, slot], rows[bucket, slot] = key, number + 1
    special = -np.repeat(np.arange(specials)[:, None], width, axis=1).astype(dtype)
    physical = np.concatenate([rows[::-1].reshape(-1, width), special])
    return TableArrays(
        np.ascontiguousarray(logical_keys[::-1]),
        physical,
        np.arange(n, dtype=np.int32)[::-1].copy(),
        np.arange(n * SLOTS, n * SLOTS + specials),
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_defaults_and_lists_of_every_width_stand_side_by_side(dtype: str) -> None:
    items = [wrap_int64(value + WIDE.salts["item"]) for value in (-5, 1 << 62)]
    tags = [wrap_int64(value + WIDE.salts["tag"]) for value in (1, 2, 3)]
    tables = {2: table(2, items, 3, dtype), 3: table(3, tags, 2, dtype)}
    ids = np.array([[-5, 2, 1, 3, 0], [1 << 62, 0, 0, 0, 0], [77, 3, 1, 2, 99]], np.int64)
    found = item_rows(WIDE, tables, ids)
    assert found.dtype == np.float32
    # item is the second id feature of its width, so its default is -2; tags is the first of its own: -1.
    expected = [[1, 1, 2, 2, 2], [2, 2, 0, 0, 0], [-2, -2, 2 / 3, 2 / 3, 2 / 3]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_loaded_version_and_its_deltas_are_read_through_their_own_directory(tmp_path: Path) -> None:
    trainer = TinyTrainer(FolderStore(tmp_path / "artifacts"))
    for item in range(40):
        trainer.learn("item", item, [float(item)] * 4)
    tables = TableViews(trainer.store, tmp_path / "t", lambda path, base, width: TableArena(path, base, width, 1.0))
    loaders = OnnxLoaders(trainer.store, tables, tmp_path / "g", 1)
    old = loaders.loader(ServableId(MODEL, 1, trainer.publish())).load()
    trainer.learn("item", 3, [99.0] * 4)
    trainer.learn("item", 50, [50.0] * 4)
    new = loaders.loader(ServableId(MODEL, 2, trainer.publish())).load()
    ids = np.array([[3], [7], [50]], np.int64)
    default = trainer.special[2]
    np.testing.assert_array_equal(old.item_rows(ids), [[3.0] * 4, [7.0] * 4, default])
    np.testing.assert_array_equal(new.item_rows(ids), [[99.0] * 4, [7.0] * 4, [50.0] * 4])


def test_a_spec_without_item_ids_has_no_columns() -> None:
    spec = replace(WIDE, features=WIDE.features[2:3])
    assert item_rows(spec, {}, np.zeros((4, 0), np.int64)).shape == (4, 0)
