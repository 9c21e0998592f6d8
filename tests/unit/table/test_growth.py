"""When a table grows, how large it becomes, and what a state in the middle of it must hold."""

import numpy as np
import pytest

from martlet.errors import Corrupt
from trainer_svc.table import EmbeddingTable
from trainer_svc.table.growth import GROW_LOAD, buckets_for, next_size, steps_for


def upsert(table: EmbeddingTable, keys: range) -> None:
    table.upsert(np.array(keys, np.int64), np.zeros(len(keys), np.uint16), np.ones(len(keys), np.int64), 1)


def nearly_full() -> EmbeddingTable:
    table = EmbeddingTable("t2", 2, 100, 2)
    upsert(table, range(int(table.slots * GROW_LOAD) + 1))
    return table


def test_a_table_for_a_known_number_of_rows_does_not_grow_for_them() -> None:
    table = EmbeddingTable("t2", 2, buckets_for(5000), 2)
    upsert(table, range(5000))
    assert not table.end_step()
    assert table.state()["growth"].tolist() == [0, 0]


def test_small_tables_double_and_large_ones_grow_by_a_third() -> None:
    assert next_size(100) == 200
    assert next_size(10_000_000) == 13_500_000
    assert next_size((1 << 31) - 2) == (1 << 31) - 1, "no table is larger than the layout allows"


def test_the_larger_table_is_taken_over_at_a_step_that_the_table_alone_determines() -> None:
    table = nearly_full()
    taken_over = [table.end_step() for _ in range(1 + steps_for(table.size))]
    assert taken_over == [False] * steps_for(table.size) + [True]
    assert (table.buckets, table.grown) == (200, 1)


def test_a_table_that_fills_up_meanwhile_takes_it_over_at_once() -> None:
    table = nearly_full()
    table.end_step()
    table.grow()
    assert (table.buckets, table.grown) == (200, 1)
    assert not table.end_step(), "nothing is left of the growth"


def test_what_comes_and_goes_meanwhile_is_carried_over() -> None:
    table = nearly_full()
    table.end_step()
    assert table.evict(0, 2) == table.state()["counters"][0, 3]
    upsert(table, range(1000, 1300))
    table.grow()
    assert (table.find(np.arange(1000, 1300)) >= 0).all()
    assert (table.find(np.arange(400)) < 0).all()
    assert table.size == 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("growth_buckets", np.array([100], np.int32)),
        ("growth_buckets", np.array([3], np.int32)),
        ("growth", np.array([100, 1])),
        ("growth_keys", np.zeros((0, 3), np.int64)),
        ("counters", np.zeros((1, 2), np.int64)),
    ],
)
def test_a_growth_that_does_not_fit_the_table_is_refused(name: str, value: np.ndarray) -> None:
    table = nearly_full()
    table.end_step()
    state = table.state()
    if name == "growth_buckets" and value[0] == 100:
        state["growth_keys"] = np.zeros((1, 4), np.int64)
    with pytest.raises(Corrupt, match=name.split("_", maxsplit=1)[0]):
        EmbeddingTable("t2", 2, 4, 2).restore({**state, name: value})
