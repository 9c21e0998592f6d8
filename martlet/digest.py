"""Tree digests: what a blob is called, and how it is verified piece by piece.

Format 1: the blob is cut into chunks of 4 MiB; each is hashed with SHA-256. The *tree* is a header line followed by the
chunks' digests; the blob's digest is SHA-256 of the tree. A reader that holds the tree (verified against the digest in
the manifest) can verify each chunk as it arrives.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from typing_extensions import Buffer

from martlet.errors import InvalidInput

CHUNK_SIZE: Final = 4 << 20
PREFIX: Final = "mt1-"
_DIGEST_SIZE: Final = 32


def chunks(data: Buffer) -> Iterator[memoryview]:
    """The blob's chunks, in order. Zero-copy."""
    view = memoryview(data).cast("B")
    for start in range(0, view.nbytes, CHUNK_SIZE):
        yield view[start : start + CHUNK_SIZE]


def tree_of(data: Buffer) -> bytes:
    """The tree of a blob: its header and its chunks' digests."""
    size = memoryview(data).nbytes
    return f"martlet-tree 1 {size}\n".encode() + b"".join(hashlib.sha256(chunk).digest() for chunk in chunks(data))


def digest_of_tree(tree: bytes) -> str:
    """The digest that names the blob with this tree."""
    return PREFIX + hashlib.sha256(tree).hexdigest()


def blob_digest(data: Buffer) -> str:
    """The digest that names this blob.

    >>> blob_digest(b"")
    'mt1-8e7605277b56046437f5aac4fe3d86917e81b2319e6e804a785b5816e41b07e7'
    """
    return digest_of_tree(tree_of(data))


def chunk_digests(tree: bytes) -> tuple[int, list[bytes]]:
    """The blob's size, and the SHA-256 of each of its chunks.

    Raises:
        InvalidInput: not a tree of format 1.

    >>> chunk_digests(tree_of(b""))
    (0, [])
    """
    header, _, body = tree.partition(b"\n")
    words = header.split(b" ")
    if words[:-1] != [b"martlet-tree", b"1"] or not words[-1].isdigit():
        raise InvalidInput("not a tree of format 1")
    size = int(words[-1])
    if len(body) != -(-size // CHUNK_SIZE) * _DIGEST_SIZE:
        raise InvalidInput(f"a tree of {size} bytes has other digests than {len(body)} bytes of them")
    return size, [body[start : start + _DIGEST_SIZE] for start in range(0, len(body), _DIGEST_SIZE)]


def is_digest(text: str) -> bool:
    """Whether the text has the form of a digest (so that it is safe as a file name)."""
    body = text.removeprefix(PREFIX)
    return text.startswith(PREFIX) and len(body) == 2 * _DIGEST_SIZE and all(c in "0123456789abcdef" for c in body)
