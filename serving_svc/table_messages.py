"""What workers and the host's table builder say to each other: MessagePack behind a length, over a Unix socket.

A worker asks one thing at a time and waits for the answer. What it was given stays its own until it says `Close` or its
connection ends; the builder overwrites nothing before that.
"""

from struct import Struct
from typing import Final, cast

import msgspec

from martlet.decoding import UNREADABLE
from martlet.errors import Corrupt, InvalidInput, MartletError, NotFound, OverCapacity, Unavailable
from martlet.manifest import TableManifest

LENGTH: Final = Struct("<I")
MAX_MESSAGE: Final = 4 << 20
_KINDS: Final[dict[str, type[MartletError]]] = {
    kind.__name__: kind for kind in (Corrupt, InvalidInput, NotFound, OverCapacity, Unavailable)
}


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open this chain."""

    table: TableManifest


class Close(msgspec.Struct, frozen=True, tag=True):
    """Nobody here reads the table with this ticket any more."""

    ticket: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Where the table lies.

    Attributes:
        arena: the arena's file: at 0 int64[buckets, 4] keys, at byte `rows_at` rows [buckets * 4, width] of `dtype`.
        directory: file of int32[logical buckets].
        special: the rows of the special rows.
    """

    ticket: int
    arena: str
    buckets: int
    width: int
    dtype: str
    rows_at: int
    directory: str
    special: tuple[int, ...]


class Closed(msgspec.Struct, frozen=True, tag=True):
    """Given back."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot be done: an error of the domain by its class's name, or anything else."""

    kind: str
    message: str


Request = Open | Close
Reply = Opened | Closed | Refused

_requests: Final = msgspec.msgpack.Decoder(Request)
_replies: Final = msgspec.msgpack.Decoder(Reply)
_encoder: Final = msgspec.msgpack.Encoder()


def framed(message: Request | Reply) -> bytes:
    """A message with its length before it.

    Raises:
        InvalidInput: too long.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_MESSAGE:
        raise InvalidInput(f"a message of {len(body)} bytes is over the limit of {MAX_MESSAGE}")
    return LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """The length that a header announces.

    Raises:
        Corrupt: more than a message may have.
    """
    (length,) = LENGTH.unpack(header)
    if length > MAX_MESSAGE:
        raise Corrupt(f"a message of {length} bytes is announced, the limit is {MAX_MESSAGE}")
    return int(length)


def request_of(body: bytes) -> Request:
    """Decodes what a worker asks.

    Raises:
        Corrupt: not a request.
    """
    try:
        return cast("Request", _requests.decode(body))
    except UNREADABLE as error:
        raise Corrupt(f"not a request: {error}") from error


def reply_of(body: bytes) -> Reply:
    """Decodes an answer.

    Raises:
        Corrupt: not an answer.
    """
    try:
        return cast("Reply", _replies.decode(body))
    except UNREADABLE as error:
        raise Corrupt(f"not an answer: {error}") from error


def refusal_of(error: Exception) -> Refused:
    """An error as an answer."""
    kind = next((name for name, known in _KINDS.items() if isinstance(error, known)), "")
    return Refused(kind, str(error) if kind else f"{type(error).__name__}: {error}")


def error_of(refused: Refused) -> MartletError:
    """The error that was told; what is of no known kind may pass."""
    return _KINDS.get(refused.kind, Unavailable)(refused.message)
