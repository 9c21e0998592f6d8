"""Metrics as processes of one host hand them to each other: decoding them takes a tenth of what parsing text takes."""

from typing import Final

import msgspec

from martlet.decoding import UNREADABLE
from martlet.errors import Corrupt
from martlet.runtime.metrics_merge import Family, Scrape

KIND: Final = "application/vnd.martlet.samples-v1+msgpack"
"""Names the form, and its number, in `Accept` and `Content-Type`."""

_Samples = list[tuple[str, list[tuple[str, str]], float]]
_DECODER: Final = msgspec.msgpack.Decoder(list[tuple[str, str, str, _Samples]])


def encode(scrape: Scrape) -> bytes:
    """A scrape as MessagePack: name, kind and documentation of each family; name, labels and value of each sample."""
    families = [
        (name, family.kind, family.told, [(sample, labels, value) for (sample, labels), value in family.values.items()])
        for name, family in scrape.items()
    ]
    return msgspec.msgpack.encode(families)


def decode(data: bytes) -> Scrape:
    """The scrape.

    Raises:
        Corrupt: it is none.
    """
    try:
        families = _DECODER.decode(data)
    except UNREADABLE as error:
        raise Corrupt(f"no samples: {error}") from error
    return {
        name: Family(kind, told, {(sample, tuple(labels)): value for sample, labels, value in samples})
        for name, kind, told, samples in families
    }
