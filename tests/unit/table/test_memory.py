"""Large arrays have maps of their own, which go with them."""

from pathlib import Path

import numpy as np
import pytest

from trainer_svc.table.memory import LEAST_MAPPED, zeros

SIZE = 64 << 20


def mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


@pytest.mark.parametrize("size", [LEAST_MAPPED - 8, LEAST_MAPPED, SIZE])
def test_they_are_zeros_and_can_be_written(size: int) -> None:
    array = zeros((size // 8, 2), np.float32)
    assert array.shape == (size // 8, 2)
    assert not array.any()
    array[-1] = 1.0
    assert array.sum() == 2.0


def test_memory_goes_back_with_the_last_reference() -> None:
    before = mapped()
    array = zeros((SIZE,), np.uint8)
    view = array[1:].view(np.int8)
    del array
    assert mapped() - before >= SIZE, "a view keeps it"
    del view
    assert mapped() - before < SIZE


def test_more_than_there_is_says_so() -> None:
    with pytest.raises(MemoryError, match="bytes for a table's array"):
        zeros((1 << 60,), np.uint8)
