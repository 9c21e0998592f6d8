"""Whatever bytes come, a blob is either refused as corrupt or safe to put into an arena."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt
from martlet.row_encoding import RowEncoding
from martlet.table_blobs import TableBase, TableDelta, decode_base, decode_delta, encode_base, encode_delta
from martlet.table_chain import replayed
from martlet.table_layout import MIN_BUCKETS, SLOTS
from serving_svc.table_arena import TableArena

N, WIDTH, SPECIALS = 8, 2, 2
BASE = TableBase(
    np.zeros((N, SLOTS), np.int64), np.zeros((N, SLOTS, WIDTH), np.float32), np.zeros((SPECIALS, WIDTH), np.float32)
)


def delta(buckets: list[int], specials: int = SPECIALS, width: int = WIDTH) -> TableDelta:
    m = len(buckets)
    return TableDelta.of_buckets(
        1, "p", np.array(buckets, np.int32), np.ones((m, SLOTS), np.int64), np.ones((m, SLOTS, width), np.float32),
        np.ones((specials, width), np.float32),
    )  # fmt: skip


INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
EDITS = st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=6)


def edited(data: bytes, edits: list[tuple[int, int]], keep: float) -> bytes:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(changed)] = value
    return bytes(changed[: int(len(changed) * keep)])


@given(EDITS, st.sampled_from([1.0, 1.0, 0.5, 0.9]))
@settings(max_examples=300, deadline=None)
def test_a_damaged_base_is_corrupt_or_whole(edits: list[tuple[int, int]], keep: float) -> None:
    try:
        base = decode_base(edited(encode_base(BASE), edits, keep), WIDTH, N)
    except Corrupt:
        return
    assert (base.keys.shape, base.rows.shape) == ((N, SLOTS), (N, SLOTS, WIDTH))


SLOTS_DELTA = TableDelta(
    1, "p", np.array([1, 5], np.int32), np.array([9, 4], np.uint8), np.array([1, 0], np.uint8), np.array([7]),
    np.ones((3, WIDTH), np.float32), np.ones((SPECIALS, WIDTH), np.float32),
)  # fmt: skip


@given(EDITS, st.sampled_from([1.0, 1.0, 0.5, 0.9]), st.sampled_from(list(RowEncoding)))
@settings(max_examples=400, deadline=None)
def test_a_damaged_delta_is_corrupt_or_fits(edits: list[tuple[int, int]], keep: float, encoding: RowEncoding) -> None:
    try:
        read = decode_delta(edited(encode_delta(SLOTS_DELTA, encoding), edits, keep), WIDTH, N)
    except Corrupt:
        return
    assert all(0 <= bucket < N for bucket in read.buckets.tolist())
    if read.special.shape == BASE.special.shape:
        assert replayed(BASE, [read]).keys.shape == BASE.keys.shape


@given(st.lists(INT32, max_size=6))
@example([0, (1 << 31) - 1, -(1 << 31), -1, 5])
@settings(max_examples=200, deadline=None)
def test_only_ascending_buckets_inside_the_table_pass(buckets: list[int]) -> None:
    """The example ascends by differences of int32, which wrap around."""
    lawful = buckets == sorted(set(buckets)) and all(0 <= bucket < N for bucket in buckets)
    data = encode_delta(delta(buckets))
    if lawful:
        assert decode_delta(data, WIDTH, N).buckets.tolist() == buckets
    else:
        with pytest.raises(Corrupt, match="ascend"):
            decode_delta(data, WIDTH, N)


def with_sequence(text: str) -> bytes:
    """A delta whose header bears another text as its sequence number."""
    data = encode_delta(delta([1]))
    size = int.from_bytes(data[:8], "little")
    header, old = data[8 : 8 + size], b'sequence\\": \\"1\\"'
    assert old in header
    header = header.replace(old, b'sequence\\": \\"' + text.encode() + b'\\"')
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@pytest.mark.parametrize("sequence", ["", "-1", "1.0", "²", "9" * 5000, " 1", "1\\\\n"])
def test_a_sequence_number_is_plain_digits(sequence: str) -> None:
    assert decode_delta(with_sequence("12"), WIDTH, N).sequence == 12
    with pytest.raises(Corrupt, match="sequence number"):
        decode_delta(with_sequence(sequence), WIDTH, N)


def test_a_header_nested_without_end_is_corrupt() -> None:
    header = b"[" * 200_000
    with pytest.raises(Corrupt):
        decode_base(len(header).to_bytes(8, "little") + header, WIDTH, N)


def test_a_table_of_too_few_buckets_is_corrupt() -> None:
    tiny = TableBase(BASE.keys[:3], BASE.rows[:3], BASE.special)
    with pytest.raises(Corrupt, match=f"at least {MIN_BUCKETS}"):
        decode_base(encode_base(tiny), WIDTH, 3)


@pytest.mark.parametrize("odd", [delta([1], specials=SPECIALS + 1), delta([1], width=WIDTH + 1)])
def test_an_arena_takes_no_delta_of_another_form(tmp_path: Path, odd: TableDelta) -> None:
    arena = TableArena(tmp_path / "arena", BASE, WIDTH, headroom=1.0)
    free = arena.free_buckets
    with pytest.raises(Corrupt, match="special rows"):
        arena.derive(arena.root(), odd)
    assert arena.free_buckets == free
    with pytest.raises(Corrupt, match="columns"):
        TableArena(tmp_path / "other", BASE, WIDTH + 1, headroom=1.0)
    arena.close()
