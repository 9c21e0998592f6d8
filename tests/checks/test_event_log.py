"""Laws of the event log, for every implementation; and of its file format."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import Conflict, Corrupt, InvalidInput, OverCapacity, Unavailable
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.port import EventReader, EventWriter
from martlet.eventlog.segment import MAX_RECORD, frame, records
from martlet.events import LogPosition

GOLDEN = Path(__file__).parents[1] / "golden" / "event_log_v1"


class Files:
    """The file-backed log, with small segments so that they roll."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def writer(self, partition: str = "a", queue_limit: int = 1000) -> EventWriter:
        return FileEventWriter(self.root, partition, queue_limit, segment_bytes=200)

    def reader(self) -> EventReader:
        return FileEventReader(self.root)


def read_all(reader: EventReader, partition: str, start: int = 0, max_bytes: int = 64) -> list[bytes]:
    payloads: list[bytes] = []
    while found := reader.read(partition, start, max_bytes):
        payloads.extend(record.payload for record in found)
        start = found[-1].end
    return payloads


def check_appended_records_come_back_in_order(log: Files) -> None:
    writer = log.writer()
    payloads = [f"record {n}".encode() * (n % 7) for n in range(100)]
    futures = [writer.append(payload) for payload in payloads]
    last = futures[-1].result(5)
    assert read_all(log.reader(), "a") == payloads
    assert futures[0].result().offset < last.offset
    writer.close()


def check_reading_may_start_at_any_acknowledged_position(log: Files) -> None:
    writer = log.writer()
    positions = [writer.append(bytes([n])).result(5) for n in range(50)]
    writer.close()
    for n, position in enumerate(positions):
        assert read_all(log.reader(), "a", position.offset) == [bytes([m]) for m in range(n + 1, 50)]


def check_one_reader_jumps_to_any_position(log: Files) -> None:
    writer = log.writer()
    starts = [0, *(writer.append(bytes([n])).result(5).offset for n in range(100))]
    writer.close()
    reader = log.reader()
    for place in range(100):
        wanted = (37 * place) % 100  # forward and backward, over segments' ends
        assert reader.read("a", starts[wanted], 1)[0].payload == bytes([wanted])


def check_a_reader_follows_a_living_writer(log: Files) -> None:
    writer, reader = log.writer(), log.reader()
    start = 0
    for n in range(60):
        writer.append(f"{n}".encode()).result(5)
        (record,) = reader.read("a", start, 1 << 20)
        assert record.payload == f"{n}".encode()
        start = record.end
    assert reader.read("a", start, 1 << 20) == []
    writer.close()


def check_offered_records_precede_the_append_behind_them(log: Files) -> None:
    writer = log.writer()
    assert writer.offer(b"prediction")
    writer.append(b"outcome").result(5)
    assert read_all(log.reader(), "a") == [b"prediction", b"outcome"]
    writer.close()


def check_a_large_record_is_read_whatever_was_asked_for(log: Files) -> None:
    writer = log.writer()
    writer.append(b"x" * 5000).result(5)
    writer.append(b"y").result(5)
    assert read_all(log.reader(), "a", max_bytes=1) == [b"x" * 5000, b"y"]
    writer.close()


def check_a_reopened_partition_goes_on(log: Files) -> None:
    for n in range(3):
        writer = log.writer()
        writer.append(bytes([n])).result(5)
        writer.close()
    assert read_all(log.reader(), "a") == [b"\x00", b"\x01", b"\x02"]


def check_partitions_are_apart(log: Files) -> None:
    first, second = log.writer("a"), log.writer("b")
    assert first.append(b"1").result(5).partition == "a"
    second.append(b"2").result(5)
    reader = log.reader()
    assert reader.partitions() == ("a", "b")
    assert (read_all(reader, "a"), read_all(reader, "b")) == ([b"1"], [b"2"])
    first.close()
    second.close()


def check_an_empty_log_has_nothing(log: Files) -> None:
    assert log.reader().partitions() == ()


def check_closed_is_closed(log: Files) -> None:
    writer = log.writer()
    writer.close()
    writer.close()
    assert not writer.offer(b"late")
    with pytest.raises(Unavailable):
        writer.append(b"late").result(5)


def check_a_record_over_the_limit_is_refused(log: Files) -> None:
    writer = log.writer()
    with pytest.raises(InvalidInput):
        writer.append(bytes(MAX_RECORD + 1)).result(5)
    assert not writer.offer(bytes(MAX_RECORD + 1))
    writer.close()


LAWS: list[Callable[[Files], None]] = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("log", [Files], ids=["files"])
def test_event_log(log: type[Files], law: Callable[[Files], None], tmp_path: Path) -> None:
    law(log(tmp_path))


def test_a_partition_has_one_writer(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    with pytest.raises(Conflict, match="writer"):
        FileEventWriter(tmp_path, "a")
    writer.close()
    FileEventWriter(tmp_path, "a").close()


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_a_partition_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        FileEventWriter(tmp_path, name)


def test_a_full_queue_refuses_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileEventWriter, "_run", lambda self: self._queue.get() and None)
    writer = FileEventWriter(tmp_path, "a", queue_limit=2)
    offered = [writer.offer(b"x") for _ in range(10)]
    assert not offered[-1]
    with pytest.raises(OverCapacity):
        writer.append(b"x").result(0)


def last_segment(root: Path) -> Path:
    return max((root / "a").glob("*.log"))


@given(cut=st.integers(1, 30))
def test_a_torn_tail_is_cut_off_and_the_log_goes_on(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    root = tmp_path_factory.mktemp("torn")
    writer = FileEventWriter(root, "a")
    writer.append(b"whole").result(5)
    writer.close()
    torn = frame(b"never acknowledged record")
    with last_segment(root).open("ab") as file:
        file.write(torn[: min(cut, len(torn) - 1)])
    assert read_all(FileEventReader(root), "a") == [b"whole"]
    writer = FileEventWriter(root, "a")
    writer.append(b"next").result(5)
    writer.close()
    assert read_all(FileEventReader(root), "a") == [b"whole", b"next"]


def test_records_past_the_durable_mark_are_not_seen(tmp_path: Path) -> None:
    """They are written but not confirmed: a crash of the machine may take them back."""
    writer = FileEventWriter(tmp_path, "a")
    writer.append(b"confirmed").result(5)
    with last_segment(tmp_path).open("ab") as file:
        file.write(frame(b"not yet"))
    assert read_all(FileEventReader(tmp_path), "a") == [b"confirmed"]
    writer.close()


def test_a_damaged_record_before_the_durable_end_is_corrupt(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    for _ in range(3):
        writer.append(b"payload").result(5)
    writer.close()
    path = last_segment(tmp_path)
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="damaged"):
        read_all(FileEventReader(tmp_path), "a")
    with pytest.raises(Corrupt, match="damaged"):
        FileEventWriter(tmp_path, "a")


@pytest.mark.parametrize(("at", "message"), [(0, "not a log segment"), (7, "format"), (9, "starts at")])
def test_a_segment_of_another_kind_is_refused(tmp_path: Path, at: int, message: str) -> None:
    writer = FileEventWriter(tmp_path, "a")
    writer.append(b"payload").result(5)
    writer.close()
    path = last_segment(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=message):
        read_all(FileEventReader(tmp_path), "a")


def test_a_refusing_disk_acknowledges_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FileEventWriter(tmp_path, "a")
    writer.append(b"before").result(5)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="space"):
            writer.append(b"refused").result(5)
    writer.append(b"after").result(5)
    writer.close()
    assert read_all(FileEventReader(tmp_path), "a") == [b"before", b"after"]


def test_the_golden_log_still_reads() -> None:
    assert read_all(FileEventReader(GOLDEN), "a") == [b"first", b"", b"third \x00\xff"]


@given(st.binary(max_size=64))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    for record in records(data, 0):
        assert record.end <= len(data)


def test_the_mark_is_eight_bytes(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    position: LogPosition = writer.append(b"x").result(5)
    writer.close()
    assert (tmp_path / "a" / "durable").read_bytes() == struct.pack("<Q", position.offset)
