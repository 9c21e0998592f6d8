"""A partition whose disk is full for a while: what was refused is not there, and writing goes on where it was."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from martlet.eventlog.file_log import FileEventReader, FileEventWriter


class Full:
    """Refuses chosen calls of `os`, while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.full = False
        for name in names:
            monkeypatch.setattr(f"martlet.eventlog.file_log.os.{name}", self._guarded(getattr(os, name)))

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            if self.full:
                raise OSError(28, "No space left on device")
            return call(*arguments)

        return guarded


def events(root: Path) -> list[bytes]:
    reader, found, at = FileEventReader(root), list[bytes](), 0
    while records := reader.read("a", at, 1 << 20):
        found += [record.payload for record in records]
        at = records[-1].end
    reader.close()
    return found


@pytest.mark.parametrize("names", [("write",), ("fdatasync", "fsync"), ("pwrite",)], ids="/".join)
def test_what_a_full_disk_refused_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Any) -> None:
    """However far the write had come: into the segment, to its sync, or to the durable mark; or it began a segment."""
    disk = Full(monkeypatch, *names)
    writer = FileEventWriter(tmp_path, "a", segment_bytes=60)  # two records, then another segment
    kept: list[bytes] = []
    for number in range(12):
        payload = b"record number %d" % number
        disk.full = number % 3 == 2
        refused = writer.append(payload).exception(5)
        assert (refused is not None) is disk.full
        if refused is None:
            kept.append(payload)
    disk.full = False
    assert events(tmp_path) == kept
    writer.close()
    again = FileEventWriter(tmp_path, "a", segment_bytes=60)
    again.append(b"last").result(5)
    again.close()
    assert events(tmp_path) == [*kept, b"last"]
