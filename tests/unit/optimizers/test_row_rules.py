"""Every row rule is the optimizer that its name says, on the rows that are touched, and leaves the others alone."""

from dataclasses import replace

import numpy as np
import pytest

import martlet.learn as ml
from martlet.learn.optimizers import Rows
from tests.unit.optimizers.references import Floats, reference
from trainer_svc.table.updates import Int64s, RowUpdate

ALL: list[Rows] = [
    ml.RowSGD(0.1),
    ml.RowSGD(0.1, l2=0.1),
    ml.RowMomentum(0.05),
    ml.RowMomentum(0.05, momentum=0.7, nesterov=True, l2=0.01),
    ml.RowAdaGrad(0.1),
    ml.RowAdaGrad(0.1, l2=0.1),
    ml.RowWiseAdaGrad(0.1),
    ml.RowWiseAdaGrad(0.1, l2=0.1),
    ml.RowRMSProp(0.01),
    ml.RowRMSProp(0.01, decay=0.9, l2=0.1),
    ml.LazyAdam(0.01),
    ml.LazyAdam(0.01, beta1=0.8, l2=0.1),
    ml.RowFTRL(0.3),
    ml.RowFTRL(0.3, l1=0.5, l2=0.2),
]
every = pytest.mark.parametrize("settings", ALL, ids=str)
WIDTH, ROWS = 5, 12


def start(settings: Rows) -> tuple[Floats, Floats]:
    rows = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    return rows, np.zeros((ROWS, settings.columns(WIDTH)), np.float32)


def gradients(count: int = 15) -> list[Floats]:
    random = np.random.default_rng(1)
    return [random.normal(size=(ROWS, WIDTH)).astype(np.float32) for _ in range(count)]


def update(settings: Rows, rows: Floats, state: Floats, members: Int64s, gradient: Floats, rate: float = 0.0) -> None:
    given = settings.rate
    assert isinstance(given, float)
    RowUpdate(settings, rate or given).move(rows, state, members, gradient[members])


@every
def test_it_does_what_its_reference_does(settings: Rows) -> None:
    rows, state = start(settings)
    expected = reference(settings, rows, gradients())
    for gradient in gradients():
        update(settings, rows, state, np.arange(ROWS), gradient)
    np.testing.assert_allclose(rows, expected, rtol=5e-5, atol=2e-6)


@every
def test_a_row_learns_as_if_it_were_alone(settings: Rows) -> None:
    """Rows that a batch does not touch keep every bit, their state too; no other row's step counts for a row."""
    rows, state = start(settings)
    random, taken = np.random.default_rng(2), [list[Floats]() for _ in range(ROWS)]
    first = rows.copy()
    for gradient in gradients():
        members = np.flatnonzero(random.random(ROWS) < 0.4)
        others = np.setdiff1d(np.arange(ROWS), members)
        before = rows[others].tobytes(), state[others].tobytes()
        update(settings, rows, state, members, gradient)
        assert (rows[others].tobytes(), state[others].tobytes()) == before
        for row in members:
            taken[row].append(gradient[row : row + 1])
    for row in range(ROWS):
        alone = reference(settings, first[row : row + 1], taken[row])
        np.testing.assert_allclose(rows[row : row + 1], alone, rtol=5e-5, atol=2e-6)


@every
def test_the_order_of_rows_changes_no_bit(settings: Rows) -> None:
    one, other = start(settings), start(settings)
    for gradient in gradients():
        update(settings, *one, np.arange(ROWS), gradient)
        update(settings, *other, np.arange(ROWS)[::-1].copy(), gradient)
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1].tobytes() == other[1].tobytes()


@every
def test_clipping_is_of_each_row_alone(settings: Rows) -> None:
    settings = replace(settings, l1=0.0, l2=0.0)
    gradient = gradients()[0] * np.array([0.01, 3.0] * (ROWS // 2), np.float32)[:, None]
    norms = np.linalg.norm(gradient, axis=1, keepdims=True)
    for clip, clipped in (
        (ml.ClipNorm(0.5), gradient * np.minimum(1, 0.5 / norms)),
        (ml.ClipValue(0.2), np.clip(gradient, -0.2, 0.2)),
    ):
        one, other = start(settings), start(settings)
        update(replace(settings, clip=clip), *one, np.arange(ROWS), gradient)
        update(settings, *other, np.arange(ROWS), clipped.astype(np.float32))
        np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-6)


def test_l1_pulls_by_the_sign() -> None:
    rows, state = start(ml.RowSGD())
    expected = rows - 0.001 * np.sign(rows)
    update(ml.RowSGD(0.1, l1=0.01), rows, state, np.arange(ROWS), np.zeros_like(rows))
    np.testing.assert_allclose(rows, expected, atol=1e-7)


def test_the_first_step_of_a_row_is_as_long_as_the_rate_however_old_the_table() -> None:
    settings = ml.LazyAdam(0.01)
    rows, state = start(settings)
    for gradient in gradients(50):
        update(settings, rows, state, np.arange(1, ROWS), gradient)
    before = rows[0].copy()
    update(settings, rows, state, np.arange(1), gradients()[0])
    np.testing.assert_allclose(np.abs(rows[0] - before), 0.01, rtol=1e-4)


def test_ftrl_makes_rows_that_say_little_zero() -> None:
    settings = ml.RowFTRL(0.1, l1=5.0)
    rows, state = start(settings)
    rows *= np.float32(0.01)
    update(settings, rows, state, np.arange(ROWS), gradients()[0])
    assert not rows.any()
    for _ in range(20):
        update(settings, rows, state, np.arange(1), np.ones_like(rows))
    assert (rows[0] < 0).all()
