"""Laws of the event log, for every implementation; and of its file format."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import Conflict, Corrupt, InvalidInput, OverCapacity, Unavailable
from martlet.eventlog.erasure import erased, is_erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.files import FileEventLog
from martlet.eventlog.port import EventLog, EventReader, EventWriter, Record
from martlet.eventlog.segment import MAX_RECORD, frame, records
from martlet.events import LogPosition
from tests.servers.nats import jetstream_log

GOLDEN = Path(__file__).parents[1] / "golden" / "event_log_v1"


class Files(FileEventLog):
    """The file-backed log, with small segments so that they roll."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root

    def writer(self, partition: str, queue_limit: int) -> FileEventWriter:
        return FileEventWriter(self.root, partition, queue_limit, segment_bytes=200)


def writer_of(log: EventLog, partition: str = "a") -> EventWriter:
    return log.writer(partition, 1000)


def read(reader: EventReader, partition: str, start: int, max_bytes: int) -> list[Record]:
    """What a writer was given; a broker's writers leave notes of their own."""
    return [record for record in reader.read(partition, start, max_bytes) if not is_erased(record.payload)]


def read_all(reader: EventReader, partition: str, start: int = 0, max_bytes: int = 64) -> list[bytes]:
    payloads: list[bytes] = []
    while found := reader.read(partition, start, max_bytes):
        payloads.extend(record.payload for record in found if not is_erased(record.payload))
        start = found[-1].end
    return payloads


def check_appended_records_come_back_in_order(log: EventLog) -> None:
    writer = writer_of(log)
    payloads = [f"record {n}".encode() * (n % 7) for n in range(100)]
    futures = [writer.append(payload) for payload in payloads]
    last = futures[-1].result(5)
    assert read_all(log.reader(), "a") == payloads
    assert futures[0].result().offset < last.offset
    writer.close()


def check_reading_may_start_at_any_acknowledged_position(log: EventLog) -> None:
    writer = writer_of(log)
    positions = [writer.append(b"%d" % n).result(5) for n in range(50)]
    writer.close()
    for n, position in enumerate(positions):
        assert read_all(log.reader(), "a", position.offset) == [b"%d" % m for m in range(n + 1, 50)]


def check_one_reader_jumps_to_any_position(log: EventLog) -> None:
    writer = writer_of(log)
    starts = [writer.append(b"%d" % n).result(5).offset for n in range(101)]
    writer.close()
    reader = log.reader()
    for place in range(100):
        wanted = (37 * place) % 100  # forward and backward, over segments' ends
        assert reader.read("a", starts[wanted], 1)[0].payload == b"%d" % (wanted + 1)


def check_a_reader_follows_a_living_writer(log: EventLog) -> None:
    writer, reader = writer_of(log), log.reader()
    start = 0
    for n in range(60):
        writer.append(f"{n}".encode()).result(5)
        (record,) = read(reader, "a", start, 1 << 20)
        assert record.payload == f"{n}".encode()
        start = record.end
    assert reader.read("a", start, 1 << 20) == []
    writer.close()


def check_offered_records_precede_the_append_behind_them(log: EventLog) -> None:
    writer = writer_of(log)
    assert writer.offer(b"prediction")
    writer.append(b"outcome").result(5)
    assert read_all(log.reader(), "a") == [b"prediction", b"outcome"]
    writer.close()


def check_a_large_record_is_read_whatever_was_asked_for(log: EventLog) -> None:
    writer = writer_of(log)
    writer.append(b"x" * 5000).result(5)
    writer.append(b"y").result(5)
    assert read_all(log.reader(), "a", max_bytes=1) == [b"x" * 5000, b"y"]
    writer.close()


def check_a_reopened_partition_goes_on(log: EventLog) -> None:
    for n in range(3):
        writer = writer_of(log)
        writer.append(b"%d" % n).result(5)
        writer.close()
    assert read_all(log.reader(), "a") == [b"0", b"1", b"2"]


def check_partitions_are_apart(log: EventLog) -> None:
    first, second = writer_of(log, "a"), writer_of(log, "b")
    assert first.append(b"1").result(5).partition == "a"
    second.append(b"2").result(5)
    reader = log.reader()
    assert reader.partitions() == ("a", "b")
    assert (read_all(reader, "a"), read_all(reader, "b")) == ([b"1"], [b"2"])
    first.close()
    second.close()


def check_an_empty_log_has_nothing(log: EventLog) -> None:
    assert log.reader().partitions() == ()


def check_closed_is_closed(log: EventLog) -> None:
    writer = writer_of(log)
    writer.close()
    writer.close()
    assert not writer.offer(b"late")
    with pytest.raises(Unavailable):
        writer.append(b"late").result(5)


def check_a_record_over_the_limit_is_refused(log: EventLog) -> None:
    writer = writer_of(log)
    with pytest.raises(InvalidInput):
        writer.append(bytes(MAX_RECORD + 1)).result(5)
    assert not writer.offer(bytes(MAX_RECORD + 1))
    writer.close()


def check_the_end_is_where_the_last_record_ends(log: EventLog) -> None:
    writer, reader = writer_of(log), log.reader()
    assert reader.end("nobody") == 0
    for n in range(5):
        position = writer.append(b"%d" % n).result(5)
        assert reader.end("a") == position.offset
    writer.close()
    assert reader.read("a", reader.end("a"), 1 << 20) == []
    assert reader.read("a", 0, 1 << 20)[-1].end == reader.end("a")


def check_positions_lead_from_record_to_record(log: EventLog) -> None:
    """Where a record begins is where the one before it ends: so a place names one record for ever."""
    writer = writer_of(log)
    for n in range(20):
        writer.append(b"%d" % n).result(5)
    writer.close()
    together = log.reader().read("a", 0, 1 << 20)
    start, one_by_one = 0, []
    while found := log.reader().read("a", start, 1):
        one_by_one.append(found[0])
        start = found[0].end
    assert one_by_one == together


def check_two_writers_of_a_partition_never_mix(log: EventLog) -> None:
    """One of them is refused: of files the second, as it begins; of a broker the first, as it goes on."""
    first = writer_of(log)
    first.append(b"first").result(5)
    try:
        second = writer_of(log)
    except Conflict:
        first.append(b"second").result(5)
    else:
        second.append(b"second").result(5)
        with pytest.raises(Conflict, match="writer"):
            first.append(b"of the ghost").result(5)
        assert not first.offer(b"of the ghost")
        second.close()
    first.close()
    assert read_all(log.reader(), "a") == [b"first", b"second"]


def check_what_is_erased_leaves_its_place(log: EventLog) -> None:
    writer = writer_of(log)
    ends = [writer.append(b"event %d" % n).result(5).offset for n in range(6)]
    gone = {ends[0]: erased(7), ends[3]: erased(7), ends[4]: erased(7)}  # the second, and the last two
    eraser = log.eraser()
    eraser.finish()
    for _ in range(2):
        eraser.replace("a", gone)
    reader = log.reader()
    assert read_all(reader, "a") == [b"event 0", b"event 2", b"event 3"]
    assert reader.end("a") == ends[-1]
    second = reader.read("a", ends[0], 1)[0]
    assert (second.end, is_erased(second.payload)) == (ends[1], True)
    assert [record.end for record in reader.read("a", ends[3], 1 << 20)] == ends[4:]
    assert writer.append(b"later").result(5).offset > ends[-1]
    assert read_all(reader, "a", ends[3]) == [b"later"]
    writer.close()


def check_a_partition_needs_a_plain_name(log: EventLog) -> None:
    for name in ("", "../up", ".hidden", "a/b", "a b", "a*", "a>"):
        with pytest.raises(InvalidInput):
            writer_of(log, name)


def check_a_name_with_dots_is_one(log: EventLog) -> None:
    writer = writer_of(log, "serving-0.shop.svc")
    writer.append(b"x").result(5)
    writer.close()
    assert log.reader().partitions() == ("serving-0.shop.svc",)


LAWS: list[Callable[[EventLog], None]] = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.fixture(params=["files", "jetstream"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    """Every implementation, empty."""
    log: EventLog
    log = Files(tmp_path) if request.param == "files" else jetstream_log(request.getfixturevalue("nats_server"))
    yield log
    log.close()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_event_log(log: EventLog, law: Callable[[EventLog], None]) -> None:
    law(log)


def test_a_partition_has_one_writer(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    with pytest.raises(Conflict, match="writer"):
        FileEventWriter(tmp_path, "a")
    writer.close()
    FileEventWriter(tmp_path, "a").close()


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
