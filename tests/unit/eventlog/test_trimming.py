"""What is trimmed is gone from the disk, but for the first record; all else stays where it was, whatever is killed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from martlet.eventlog import trimming
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.port import Record
from martlet.eventlog.segment import RECORD_HEADER, segments
from martlet.eventlog.trimming import FileEventTrimmer

COUNT, SIZE = 40, 30


class Killed(BaseException):
    pass


def payload(number: int) -> bytes:
    return b"%04d" % number * (SIZE // 4)


def written(root: Path, count: int = COUNT) -> list[Record]:
    """Some records, in segments of about four."""
    writer = FileEventWriter(root, "journal", segment_bytes=120)
    for number in range(count):
        writer.append(payload(number)).result()
    writer.close()
    return whole(root)


def whole(root: Path, start: int = 0) -> list[Record]:
    reader, found = FileEventReader(root), list[Record]()
    while records := reader.read("journal", start, 100):
        found += records
        start = records[-1].end
    reader.close()
    return found


def start_of(record: Record) -> int:
    return record.end - len(record.payload) - RECORD_HEADER.size


@pytest.mark.parametrize("at", range(COUNT))
def test_the_first_record_and_those_from_a_position_on_stay(at: int, tmp_path: Path) -> None:
    records = written(tmp_path)
    before = [path for _, path in segments(tmp_path / "journal")]
    trimmer = FileEventTrimmer(tmp_path, "journal")
    trimmer.trim(start_of(records[at]))
    begin = trimmer.begin()
    assert begin in (0, start_of(records[at]))
    expected = records if not begin else [records[0], *records[at:]]
    assert whole(tmp_path) == expected
    for record in records[at:]:
        assert whole(tmp_path, start_of(record))[0] == record
    assert len(segments(tmp_path / "journal")) <= len(before) - at // 4 + 3
    assert whole(tmp_path, begin) == records[at if begin else 0 :]
    more = FileEventWriter(tmp_path, "journal", segment_bytes=120)
    end = more.append(b"more").result().offset
    more.close()
    assert whole(tmp_path)[-1] == Record(end, b"more")


def test_a_reader_that_is_at_it_reads_on(tmp_path: Path) -> None:
    records = written(tmp_path)
    reader = FileEventReader(tmp_path)
    assert reader.read("journal", start_of(records[18]), 30) == records[18:19]
    FileEventTrimmer(tmp_path, "journal").trim(start_of(records[20]))
    assert reader.read("journal", start_of(records[19]), 30) == records[20:21], "what is gone is passed over"
    assert reader.read("journal", records[20].end, 30) == records[21:22]
    assert reader.read("journal", 0, 10_000) == records[:1]


@pytest.mark.parametrize("moment", range(26))
def test_killed_at_any_moment_it_is_trimmed_or_not(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deaths before and after each thing that the disk is told to do."""
    records, at, passed = written(tmp_path), 30, 0

    def mortal(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal passed
            for before in (True, False):
                if passed == moment:
                    raise Killed
                passed += 1
                if before:
                    result = inner(*arguments, **named)
            return result

        return call

    trimmer = FileEventTrimmer(tmp_path, "journal")
    with monkeypatch.context() as patch:
        for owner, name in ((trimming, "write_durably"), (trimming, "sync_folder"), (Path, "unlink"), (os, "fsync")):
            patch.setattr(owner, name, mortal(getattr(owner, name)))
        with pytest.raises(Killed):
            trimmer.trim(start_of(records[at]))
    assert whole(tmp_path) in (records, [records[0], *records[at:]])
    trimmer.finish()
    trimmer.trim(start_of(records[at]))
    assert whole(tmp_path) == [records[0], *records[at:]]
    assert len(segments(tmp_path / "journal")) <= 1 + (COUNT - at) // 4 + 1
