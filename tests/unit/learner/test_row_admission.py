"""Counting occurrences of ids that have no row, in a sketch of fixed size."""

import numpy as np

from trainer_svc.row_admission import RowAdmission


def admitted(admission: RowAdmission, keys: list[int], space: int) -> list[bool]:
    spaces = np.full(len(keys), space, np.uint16)
    return [bool(value) for value in admission.admit(np.array(keys, np.int64), spaces)]


def test_a_space_without_a_minimum_admits_at_once() -> None:
    assert admitted(RowAdmission([1, 3]), [1, 2], 0) == [True, True]


def test_an_id_is_admitted_when_it_occurred_often_enough() -> None:
    admission = RowAdmission([1, 3])
    assert admitted(admission, [7, 8], 1) == [False, False]
    assert admitted(admission, [7], 1) == [False]
    assert admitted(admission, [7, 8], 1) == [True, False]
    assert admitted(admission, [9, 9, 9], 1) == [True, True, True]


def test_counts_come_back() -> None:
    first, second = RowAdmission([2]), RowAdmission([2])
    admitted(first, [5], 0)
    second.restore(first.state())
    assert admitted(second, [5, 6], 0) == [True, False]


def test_it_forgets_so_that_rare_ids_do_not_fill_it() -> None:
    admission = RowAdmission([2], counters=4096)
    random = np.random.default_rng(0)
    early = 0
    for _ in range(40):
        keys = random.integers(-(2**63), 2**63, 500)
        early += int(admission.admit(keys, np.zeros(500, np.uint16)).sum())
    assert early / 20_000 < 0.1  # all occurred once; without halving nearly all would pass
