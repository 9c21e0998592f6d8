"""The log on JetStream while its server dies: what is acknowledged is there, in order, once."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from martlet.errors import Corrupt, InvalidInput, OverCapacity, Unavailable
from martlet.eventlog.broker_writer import WriterLimits
from martlet.eventlog.erasure import is_erased
from martlet.eventlog.jetstream.log import JetStreamEventLog
from martlet.eventlog.port import EventReader
from martlet.events import LogPosition
from tests.servers.nats import NatsServer, jetstream_log

NAME = "outages"
LIMITS = WriterLimits(patience_seconds=60.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """One that may be killed."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def log(server: NatsServer) -> Iterator[JetStreamEventLog]:
    log = jetstream_log(server, NAME, LIMITS)
    yield log
    log.close()


def events(reader: EventReader) -> list[bytes]:
    found: list[bytes] = []
    start = 0
    while records := reader.read("a", start, 1 << 20):
        assert [record.end for record in records] == list(range(start + 1, start + 1 + len(records)))
        found += [record.payload for record in records if not is_erased(record.payload)]
        start = records[-1].end
    return found


def test_nothing_acknowledged_is_lost_or_doubled_however_often_the_server_dies(
    server: NatsServer, log: JetStreamEventLog
) -> None:
    dice, writer = random.Random(5), log.writer("a", 100_000)
    told: list[tuple[bytes, Future[LogPosition]]] = []
    for life in range(5):
        for n in range(400):
            payload = b"%d-%d" % (life, n)
            told.append((payload, writer.append(payload)))
        time.sleep(dice.uniform(0.0, 0.05))
        server.kill()
        told.append((b"while it is away %d" % life, writer.append(b"while it is away %d" % life)))
        server.start()
    positions = [future.result(30).offset for _, future in told]
    assert positions == sorted(set(positions))
    reader = log.reader()
    assert events(reader) == [payload for payload, _ in told]
    for (payload, _), position in list(zip(told, positions, strict=True))[:: len(told) // 20]:
        assert reader.read("a", position - 1, 1)[0].payload == payload
    writer.close()


def test_a_writer_that_begins_while_the_server_is_away_waits_for_it(server: NatsServer, log: JetStreamEventLog) -> None:
    server.kill()
    writer = log.writer("a", 100)
    waiting = writer.append(b"patient")
    with pytest.raises(Unavailable):
        log.reader().partitions()
    assert not waiting.done()
    server.start()
    assert waiting.result(30).partition == "a"
    assert events(log.reader()) == [b"patient"]
    writer.close()


def test_who_waits_too_long_is_told_and_the_record_is_kept(server: NatsServer) -> None:
    log = jetstream_log(server, NAME, replace(LIMITS, patience_seconds=0.2))
    writer = log.writer("a", 100)
    writer.append(b"before").result(10)
    server.kill()
    with pytest.raises(Unavailable, match="may still get there"):
        writer.append(b"late").result(20)
    server.start()
    for _ in range(100):  # the link comes back by itself
        try:
            writer.append(b"after").result(20)
            break
        except Unavailable:
            continue
    found = events(log.reader())
    assert found[:2] == [b"before", b"late"]
    assert set(found[2:]) == {b"after"}
    writer.close()
    log.close()


def test_a_full_queue_refuses_while_the_server_is_away(server: NatsServer, log: JetStreamEventLog) -> None:
    server.kill()
    writer = log.writer("a", 3)
    taken = [writer.offer(b"x") for _ in range(1200)]
    assert taken[0]
    assert not taken[-1]
    with pytest.raises(OverCapacity):
        writer.append(b"x").result(0)
    server.start()
    writer.close()
    assert len(events(log.reader())) == sum(taken)


def test_closing_does_not_wait_for_a_server_that_stays_away(server: NatsServer) -> None:
    log = jetstream_log(server, NAME, replace(LIMITS, close_seconds=0.2))
    writer = log.writer("a", 100)
    server.kill()
    late = writer.append(b"lost")
    writer.close()
    with pytest.raises(Unavailable):
        late.result(0)
    log.close()
    server.start()


def test_a_record_that_the_server_would_not_take_is_a_bad_setting(server: NatsServer) -> None:
    log = jetstream_log(server, NAME, replace(LIMITS, record_bytes=2 << 20))
    writer = log.writer("a", 100)
    with pytest.raises(InvalidInput, match=r"event_log\.record_bytes"):
        writer.append(b"x").result(10)
    writer.close()
    log.close()


def test_a_log_that_drops_old_records_is_read_from_what_is_left(server: NatsServer) -> None:
    log = jetstream_log(server, NAME, LIMITS, keep_seconds=1.0)
    writer, reader = log.writer("a", 100), log.reader()
    old = [writer.append(b"old %d" % n).result(10).offset for n in range(5)]
    until = time.monotonic() + 30
    while reader.read("a", 0, 1 << 20):
        assert time.monotonic() < until
        if reader.read("a", 0, 1 << 20)[0].end == old[-1]:
            break
        time.sleep(0.1)
    writer.append(b"new").result(10)
    first, second = reader.read("a", 0, 1 << 20)
    assert (first.end, is_erased(first.payload), second.payload) == (old[-1], True, b"new")
    with pytest.raises(Corrupt, match="keeps nothing before"):
        reader.read("a", old[1], 1 << 20)
    assert reader.read("a", old[-1], 1 << 20) == [second]
    writer.close()
    log.close()


def test_a_stream_that_went_back_is_noticed(server: NatsServer, tmp_path: Path, log: JetStreamEventLog) -> None:
    """As after a loss of power, where the server acknowledges before it syncs."""
    writer = log.writer("a", 100)
    end = [writer.append(b"%d" % n).result(10).offset for n in range(5)][-1]
    reader = log.reader()
    with pytest.raises(Corrupt, match="lost records"):
        reader.read("a", end + 3, 100)
    writer.close()
