"""Which rows go when there are too many."""

import numpy as np

from trainer_svc.table import EmbeddingTable


def used(table: EmbeddingTable, key: int, second: int, space: int = 0) -> None:
    table.upsert(np.array([key]), np.array([space], np.uint16), np.ones(1, np.int64), second)


def held(table: EmbeddingTable, keys: range) -> list[int]:
    return [key for key, row in zip(keys, table.find(np.array(keys, np.int64)), strict=True) if row >= 0]


def test_the_least_recently_used_go_whatever_the_distance_of_their_times() -> None:
    """Seconds apart, and more than 65,536: both halves of the time count."""
    table = EmbeddingTable("t1", 1, 64, 2)
    for key, second in enumerate([900_000, 5, 70_000, 1_700_000_000, 6, 65_536, 65_535]):
        used(table, key, second)
    for most, left in ((6, [0, 2, 3, 4, 5, 6]), (5, [0, 2, 3, 5, 6]), (4, [0, 2, 3, 5]), (2, [0, 3]), (0, [])):
        table.limit(0, most)
        assert held(table, range(7)) == left


def test_of_rows_used_in_the_same_second_those_in_the_first_slots_go() -> None:
    table = EmbeddingTable("t1", 1, 64, 2)
    for key in range(10):
        used(table, key, 7)
    slots = table.find(np.arange(10))
    assert table.limit(0, 4) == 6
    assert held(table, range(10)) == sorted(np.argsort(slots)[6:].tolist())


def test_a_twentieth_more_than_needed_goes() -> None:
    table = EmbeddingTable("t1", 1, 200, 2)
    for key in range(101):
        used(table, key, key)
    assert table.limit(0, 100) == 6
    assert table.limit(0, 100) == 0
    assert held(table, range(101)) == list(range(6, 101))


def test_rows_of_other_spaces_stay() -> None:
    table = EmbeddingTable("t1", 1, 64, 3)
    for key in range(4):
        used(table, key, 1, space=1)
    for key in range(4, 8):
        used(table, key, 9, space=2)
    assert table.limit(2, 1) == 3
    assert len(held(table, range(8))) == 5
    assert [space.rows for space in table.statistics.spaces] == [0, 4, 1]
    assert [space.evicted for space in table.statistics.spaces] == [0, 0, 3]
