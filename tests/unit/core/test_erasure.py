"""Erased records keep their place, and nothing of what they said."""

import os
from pathlib import Path
from typing import Any

import pytest

from martlet.errors import Corrupt
from martlet.eventlog.erasure import ERASING, FileEventEraser, erased, is_erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.port import Record


def written(root: Path, payloads: list[bytes], segment_bytes: int = 64) -> list[int]:
    writer = FileEventWriter(root, "a", segment_bytes=segment_bytes)
    ends = [writer.append(payload).result().offset for payload in payloads]
    writer.close()
    return ends


def read(root: Path) -> list[Record]:
    reader, found, start = FileEventReader(root), [], 0
    while records := reader.read("a", start, 1 << 20):
        found += records
        start = records[-1].end
    reader.close()
    return found


def gone(payloads: list[bytes], ends: list[int], *chosen: int) -> dict[int, bytes]:
    starts = [0, *ends]
    return {starts[place]: erased(len(payloads[place])) for place in chosen}


def bytes_of(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_an_erased_record_keeps_its_place_and_loses_its_bytes(tmp_path: Path) -> None:
    payloads = [b"ann likes tea", b"bob likes tea", b"ann again", b"eve"]
    ends = written(tmp_path, payloads)
    FileEventEraser(tmp_path).replace("a", gone(payloads, ends, 0, 2))
    found = read(tmp_path)
    assert [record.end for record in found] == ends
    assert [is_erased(record.payload) for record in found] == [True, False, True, False]
    assert [record.payload for record in found if not is_erased(record.payload)] == [payloads[1], payloads[3]]
    assert b"ann" not in bytes_of(tmp_path)
    FileEventEraser(tmp_path).replace("a", gone(payloads, ends, 0))
    assert read(tmp_path) == found


def test_a_writer_goes_on_after_an_erasure(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    writer.append(b"ann").result()
    FileEventEraser(tmp_path).replace("a", {0: erased(3)})
    writer.append(b"bob").result()
    writer.close()
    FileEventWriter(tmp_path, "a").close()  # it recovers
    assert [record.payload for record in read(tmp_path)] == [b"\0\0\0", b"bob"]


@pytest.mark.parametrize(("start", "size"), [(1, 13), (0, 12), (0, 14), (1 << 30, 13)])
def test_what_is_no_record_is_not_touched(tmp_path: Path, start: int, size: int) -> None:
    written(tmp_path, [b"ann likes tea", b"bob"])
    before = bytes_of(tmp_path)
    with pytest.raises(Corrupt, match="partition a"):
        FileEventEraser(tmp_path).replace("a", {0: erased(13), start: erased(size)})
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("after", range(3))
def test_an_erasure_that_a_crash_broke_off_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    payloads = [b"ann likes tea", b"bob likes tea", b"ann again"]
    ends = written(tmp_path, payloads, segment_bytes=1 << 20)
    whole, writes = os.pwrite, iter(range(9))

    def torn(handle: int, data: bytes, at: int) -> Any:
        if next(writes) == after:
            whole(handle, data[: len(data) // 2], at)
            raise KeyboardInterrupt
        return whole(handle, data, at)

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(KeyboardInterrupt):
        FileEventEraser(tmp_path).replace("a", gone(payloads, ends, 0, 1, 2))
    monkeypatch.undo()
    assert (tmp_path / "a" / ERASING).exists()
    FileEventEraser(tmp_path).finish()
    assert [(record.end, is_erased(record.payload)) for record in read(tmp_path)] == [(end, True) for end in ends]
    assert not (tmp_path / "a" / ERASING).exists()
