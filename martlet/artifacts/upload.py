"""Brings a blob into a store part by part, going on where an earlier try stood."""

from typing_extensions import Buffer

from martlet.artifacts.port import UploadSession
from martlet.manifest import BlobRef


def send(data: Buffer, session: UploadSession) -> BlobRef:
    """Stores the parts that are missing and completes the upload.

    Raises:
        Corrupt: the data are not the session's blob.
        OSError: the store refused; the parts that it has taken stay, and the next try goes on behind them.
    """
    view = memoryview(data).cast("B")
    for number in session.missing():
        start = number * session.part_bytes
        session.put_part(number, view[start : start + session.part_bytes])
    return session.complete()
