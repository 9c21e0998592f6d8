"""Which keys empty slots hold."""

import numpy as np
import pytest

from martlet.table_layout import empty_keys
from trainer_svc.table.columns import odd_empty_keys


@pytest.mark.parametrize("buckets", [4, 5, 6, 7, 64, 1000, 12_345])
def test_all_empty_slots_but_those_of_two_buckets_hold_0(buckets: int) -> None:
    expected = np.zeros(buckets, np.int64)
    for bucket, key in odd_empty_keys(buckets).tolist():
        expected[bucket] = key
    np.testing.assert_array_equal(expected, empty_keys(buckets))


def test_a_table_has_at_least_four_buckets() -> None:
    with pytest.raises(ValueError, match="buckets"):
        odd_empty_keys(3)
