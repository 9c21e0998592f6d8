"""What the trainer keeps on disk: checkpoints, journal, dead letters. Golden files hold the formats still."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.events import LogPosition
from martlet.manifest import VersionKind
from trainer_svc.checkpoints.state import encode_state, state_digest
from trainer_svc.dead_letters import DeadLetterLog, read_letters
from trainer_svc.event_source import Cut, Place, Range
from trainer_svc.joiner import DeadLetter
from trainer_svc.journal import (
    PARTITION,
    Acknowledged,
    Began,
    Entry,
    LogJournal,
    Offered,
    Overtaken,
    Published,
    Readmitted,
    Refused,
    Rewound,
    Stepped,
    decode_entry,
    encode_entry,
    read_journal,
)
from trainer_svc.outcome_account import DeadReason

GOLDEN = Path(__file__).parents[2] / "golden"

STATE: dict[str, npt.NDArray[np.generic]] = {
    "learner/keys": np.array([[1, -(2**63)], [2**63 - 1, 0]], np.int64),
    "learner/generation": np.array(3, np.int64),
    "learner/spaces": np.array([0, 65535], np.uint16),
    "learner/rows": np.array([[0.5], [-1.25]], np.float32),
    "cursor/cursor": np.frombuffer(b'{"epoch":1}', np.uint8),
    "intake/seen/4": np.array([], np.uint64),
}
ENTRIES: tuple[Entry, ...] = (
    Began("shop-1", "shop", "shop:MODEL", "s", "l", 256, 4096, 1, 86400, 256),
    Stepped(Cut((Range("serving-0", 0, 120), Range("serving-1", 7, 9)), ("serving-1",)), 1_700_000_000_000_000),
    Published(1, VersionKind.SNAPSHOT, "0.1.0"),
    Acknowledged(1, "mt1-a", 1),
    Published(2, VersionKind.DELTA, "0.1.0"),
    Refused(2, "mt1-b", "answers would move too far"),
    Overtaken(3, "mt1-c", 2, "mt1-d"),
    Rewound("mt1-a", 1, 3, False, {"serving-0": (7, 21)}),
    Offered(3, "mt1-e"),
    Readmitted(3, "mt1-e"),
)


def test_the_golden_journal_still_reads() -> None:
    assert tuple(entry for entry, _ in read_journal(FileEventReader(GOLDEN / "trainer_journal_v1"), 0)) == ENTRIES


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_entries_come_back(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"{}", "journal"),
        (b'{"type":"slept"}', "journal"),
        (encode_entry(ENTRIES[0]).replace(b'"format":1', b'"format":2'), "format 2"),
    ],
)
def test_entries_of_another_kind_are_refused(payload: bytes, complaint: str) -> None:
    with pytest.raises(Corrupt, match=complaint):
        decode_entry(payload)


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    positions: list[int] = []
    for entry in ENTRIES:
        writer = FileEventWriter(tmp_path, PARTITION)
        positions.append(LogJournal(writer, FileEventReader(tmp_path)).append(entry))
        writer.close()
    found = list(read_journal(FileEventReader(tmp_path), positions[2]))
    assert found == list(zip(ENTRIES[3:], positions[3:], strict=True))


def test_equal_states_share_a_digest_whatever_order_they_were_made_in() -> None:
    turned = dict(reversed(list(STATE.items())))
    assert encode_state(turned) == encode_state(STATE)
    changed = STATE | {"learner/rows": np.array([[0.5], [-1.0]], np.float32)}
    assert state_digest(changed) != state_digest(STATE)


def test_letters_of_a_step_are_written_once(tmp_path: Path) -> None:
    def fetch(place: Place) -> bytes:
        return b"bytes of %d" % place.start

    letters = [
        DeadLetter(DeadReason.UNREADABLE, "why", Place("a", 3)),
        DeadLetter(DeadReason.TOO_OLD, "", Place("a", 9)),
    ]
    for _ in range(2):
        writer = FileEventWriter(tmp_path, "trainer")
        log = DeadLetterLog(writer, FileEventReader(tmp_path), "trainer", fetch)
        log.write(4, letters)
        log.write(5, [])
        writer.close()
    (record,) = read_letters(FileEventReader(tmp_path), "trainer")
    assert (record.step, record.format) == (4, 1)
    assert [(one.reason, one.partition, one.offset) for one in record.letters] == [
        ("unreadable", "a", 3),
        ("too old", "a", 9),
    ]
    assert record.letters[0].payload == "Ynl0ZXMgb2YgMw=="


class FullDisk:
    """A writer whose disk is full at first."""

    def __init__(self, inner: FileEventWriter, refusals: int) -> None:
        self._inner = inner
        self.refusals = refusals

    def append(self, payload: bytes) -> "Future[LogPosition]":
        if not self.refusals:
            return self._inner.append(payload)
        self.refusals -= 1
        refused: Future[LogPosition] = Future()
        refused.set_exception(OSError(28, "No space left on device"))
        return refused

    def offer(self, payload: bytes) -> bool:
        return self._inner.offer(payload)

    def close(self) -> None:
        self._inner.close()


def test_letters_wait_for_a_disk_that_is_full(tmp_path: Path) -> None:
    """They are written in the midst of a step: it goes on once there is room, unless the trainer ends."""
    pauses: list[float] = []
    letters = [DeadLetter(DeadReason.UNREADABLE, "why", Place("a", 3))]
    disk = FullDisk(FileEventWriter(tmp_path, "trainer"), 3)
    log = DeadLetterLog(
        disk,
        FileEventReader(tmp_path),
        "trainer",
        lambda _place: b"",
        lambda seconds: pauses.append(seconds) is not None,
    )
    log.write(4, letters)
    assert [record.step for record in read_letters(FileEventReader(tmp_path), "trainer")] == [4]
    assert len(pauses) == 3
    disk.refusals = 1
    ending = DeadLetterLog(disk, FileEventReader(tmp_path), "trainer", lambda _place: b"", lambda _seconds: True)
    with pytest.raises(OSError, match="space"):
        ending.write(5, letters)
    disk.close()
