"""Tree digests name a blob by its bytes, chunk by chunk."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.digest import CHUNK_SIZE, PREFIX, blob_digest, is_digest, tree_of


def test_the_tree_is_a_header_and_the_chunks_digests() -> None:
    data = bytes(CHUNK_SIZE) + b"tail"
    first, second = hashlib.sha256(bytes(CHUNK_SIZE)).digest(), hashlib.sha256(b"tail").digest()
    tree = f"martlet-tree 1 {len(data)}\n".encode() + first + second
    assert tree_of(data) == tree
    assert blob_digest(data) == PREFIX + hashlib.sha256(tree).hexdigest()


@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0))
def test_any_flipped_bit_changes_the_digest(data: bytes, where: int) -> None:
    flipped = bytearray(data)
    flipped[where % len(data)] ^= 1 << (where % 8)
    assert blob_digest(bytes(flipped)) != blob_digest(data)


def test_length_is_part_of_the_digest() -> None:
    assert blob_digest(b"") != blob_digest(b"\x00")


@pytest.mark.parametrize("text", ["", "mt1-", "mt1-" + "g" * 64, "mt1-" + "a" * 63, "../" + "a" * 64, "a" * 68])
def test_what_is_no_digest_is_seen(text: str) -> None:
    assert not is_digest(text)


def test_a_digest_is_seen() -> None:
    assert is_digest(blob_digest(b"x"))
