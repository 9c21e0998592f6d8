"""When certificates end, read from their DER (RFC 5280, section 4.1). Pure; needs no package.

Python's own `ssl` tells it of a peer's certificate alone, not of the one that a process shows.
"""

import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from martlet.errors import Corrupt

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0  # [0] EXPLICIT, absent in certificates of version 1
_UTC_TIME: Final = 0x17
_LONG_FORM: Final = 0x80
_VALIDITY: Final = 3  # behind serial number, signature algorithm and issuer
_CENTURY: Final = 50  # a UTCTime's year from here on is of the twentieth century


def first_expiry(pem: bytes) -> float:
    """When the first of these certificates ends, in seconds since 1970-01-01 UTC.

    Raises:
        Corrupt: there is none, or one that cannot be read.
    """
    try:
        return min(_not_after(binascii.a2b_base64(text)) for text in _PEM.findall(pem))
    except (ValueError, IndexError) as error:
        raise Corrupt(f"no certificate that can be read: {error}") from error


def _not_after(certificate: bytes) -> float:
    (_, outer), *_ = _parts(certificate)
    (_, signed), *_ = _parts(outer)
    fields = [content for tag, content in _parts(signed) if tag != _VERSION]
    _, (tag, text) = _parts(fields[_VALIDITY])
    return _time(tag, text.decode("ascii"))


def _time(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _CENTURY else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that stand in a row: tag and content of each."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size >= _LONG_FORM:
            digits = size - _LONG_FORM
            size, at = int.from_bytes(data[at : at + digits], "big"), at + digits
        yield tag, data[at : at + size]
        at += size
