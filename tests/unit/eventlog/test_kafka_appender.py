"""What an appender does where a transaction's end is in doubt, or it must be taken back."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from martlet.errors import Conflict, Unavailable
from martlet.eventlog.kafka import appender as appending
from martlet.eventlog.kafka.appender import KafkaAppender
from martlet.eventlog.kafka.topics import Topics
from martlet.eventlog.pending import PendingRecord


class Delivered:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset


class Cluster:
    """Keeps what is committed; answers to commits are lost, or commits refused, as staged."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.open: list[bytes] = []
        self.staged: list[KafkaError | None] = []
        self.calls: list[str] = []

    def producer(self, _settings: dict[str, Any]) -> "Cluster":
        return self

    def init_transactions(self, _seconds: float) -> None:
        self.calls.append("begin")
        self.open = []

    def begin_transaction(self) -> None:
        self.open = []

    def produce(self, _topic: str, payload: bytes, partition: int, on_delivery: Callable[..., None]) -> None:
        on_delivery(None, Delivered(len(self.log) + len(self.open)))
        self.open.append(payload)

    def commit_transaction(self, _seconds: float) -> None:
        self.calls.append("commit")
        fault = self.staged.pop(0) if self.staged else None
        if fault is None or fault.retriable():
            self.log += self.open
            self.open = []
        if fault is not None:
            raise KafkaException(fault)

    def abort_transaction(self, _seconds: float) -> None:
        self.calls.append("abort")
        self.open = []


LOST = KafkaError(KafkaError._TIMED_OUT, "the answer is lost", retriable=True)
REFUSED = KafkaError(KafkaError.INVALID_TXN_STATE, "take it back", txn_requires_abort=True)
FENCED = KafkaError(KafkaError._FENCED, "fenced", fatal=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(appending, "Producer", cluster.producer)
    monkeypatch.setattr(appending, "AdminClient", lambda _: None)
    monkeypatch.setattr(appending, "make_topic", lambda *_: None)
    return cluster


def records(*payloads: bytes) -> list[PendingRecord]:
    return [PendingRecord(number, payload, 0.0, None) for number, payload in enumerate(payloads)]


def test_a_commit_in_doubt_is_committed_again_and_nothing_is_sent_twice(cluster: Cluster) -> None:
    cluster.staged = [LOST, LOST]
    appender, batch = KafkaAppender({}, Topics("log"), "a", 100), records(b"1", b"2")
    for _ in range(2):
        with pytest.raises(Unavailable, match="the answer is lost"):
            appender.append(batch)
    assert appender.append(batch) == [1, 2]
    assert cluster.log == [b"1", b"2"]
    assert cluster.calls == ["begin", "commit", "commit", "commit"]
    assert appender.append(records(b"3")) == [3]


def test_a_transaction_that_must_be_taken_back_is_sent_again(cluster: Cluster) -> None:
    cluster.staged = [REFUSED]
    appender = KafkaAppender({}, Topics("log"), "a", 100)
    with pytest.raises(Unavailable):
        appender.append(records(b"1"))
    assert appender.append(records(b"1")) == [1]
    assert cluster.log == [b"1"]
    assert cluster.calls == ["begin", "commit", "abort", "commit"]


def test_who_is_fenced_writes_no_more(cluster: Cluster) -> None:
    cluster.staged = [FENCED]
    appender = KafkaAppender({}, Topics("log"), "a", 100)
    with pytest.raises(Conflict, match="another writer"):
        appender.append(records(b"1"))
    assert cluster.log == []
