"""Row rules on a table: repeated rows are summed first, the zero row stays, marks are set, halves are rounded."""

import numpy as np
import pytest

import martlet.learn as ml
from martlet.learn.optimizers import Rows
from tests.unit.optimizers.references import reference
from trainer_svc.table import EmbeddingTable
from trainer_svc.table.columns import RowType
from trainer_svc.table.updates import RowUpdate

RATE = 0.05
ALL: list[Rows] = [
    ml.RowSGD(RATE),
    ml.RowMomentum(RATE),
    ml.RowAdaGrad(RATE),
    ml.RowWiseAdaGrad(RATE),
    ml.RowRMSProp(RATE),
    ml.LazyAdam(RATE),
    ml.RowFTRL(RATE),
]
every = pytest.mark.parametrize("settings", ALL, ids=lambda settings: type(settings).__name__)


def table_of(settings: Rows, dtype: RowType = "float32") -> tuple[EmbeddingTable, np.ndarray]:
    """A table with ten keys, published and acknowledged, and their rows."""
    table = EmbeddingTable("t3", 3, 8, 2, optimizer_columns=settings.columns(3), dtype=dtype)
    rows = table.upsert(np.arange(10, dtype=np.int64), np.zeros(10, np.uint16), np.ones(10, np.int64), 1)
    table.tracker.take()
    table.tracker.acknowledge()
    return table, rows


@every
def test_gradients_of_a_repeated_row_are_summed_first(settings: Rows) -> None:
    table, rows = table_of(settings)
    random = np.random.default_rng(0)
    start, summed = table.gather(rows[:3]), []
    for _ in range(10):
        gradients = random.normal(size=(6, 3)).astype(np.float32)
        table.update(rows[[0, 1, 0, 2, 1, 0]], gradients, RowUpdate(settings, RATE))
        summed.append(np.stack([gradients[[0, 2, 5]].sum(0), gradients[[1, 4]].sum(0), gradients[3]]))
    np.testing.assert_allclose(table.gather(rows[:3]), reference(settings, start, summed), rtol=1e-4, atol=1e-5)


@every
def test_rows_without_a_gradient_keep_every_bit_and_bear_no_mark(settings: Rows) -> None:
    table, rows = table_of(settings)
    zero = np.array([table.slots])
    before = table.rows.copy(), table.optimizer.copy()
    gradients = np.ones((5, 3), np.float32)
    table.update(np.concatenate([zero, rows[[4, 4]], zero, zero]), gradients, RowUpdate(settings, RATE))
    others = np.setdiff1d(np.arange(table.rows.shape[0]), rows[4])
    assert table.rows[others].tobytes() == before[0][others].tobytes()
    assert table.optimizer[others].tobytes() == before[1][others].tobytes()
    assert not np.array_equal(table.rows[rows[4]], before[0][rows[4]])
    touched = table.tracker.take()
    assert touched.buckets.tolist() == [rows[4] // 4]
    assert touched.rows.tolist() == [1 << rows[4] % 4]
    assert touched.keys.tolist() == [0]


@every
def test_halves_are_what_floats_round_to(settings: Rows) -> None:
    half, rows = table_of(settings, "float16")
    whole, same = table_of(settings)
    assert rows.tolist() == same.tolist()
    whole.rows[:] = half.rows.astype(np.float32)
    gradients = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    half.update(rows, gradients, RowUpdate(settings, RATE))
    whole.update(rows, gradients, RowUpdate(settings, RATE))
    assert half.rows.dtype == np.float16
    np.testing.assert_array_equal(half.rows, whole.rows.astype(np.float16))
