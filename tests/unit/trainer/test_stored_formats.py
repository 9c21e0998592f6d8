"""What the trainer keeps on disk: checkpoints, journal, dead letters. Golden files hold the formats still."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.manifest import VersionKind
from trainer_svc.checkpoint import (
    MOST_KEPT,
    Checkpoint,
    FolderCheckpoints,
    decode_checkpoint,
    encode_checkpoint,
    encode_state,
    state_digest,
)
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
CHECKPOINT = Checkpoint(1234, 56, STATE)

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


def same(left: Checkpoint, right: Checkpoint) -> bool:
    return (left.journal_position, left.step) == (right.journal_position, right.step) and all(
        left.state[name].dtype == right.state[name].dtype
        and left.state[name].shape == right.state[name].shape
        and left.state[name].tobytes() == right.state[name].tobytes()
        for name in left.state.keys() | right.state.keys()
    )


def test_the_golden_checkpoint_still_reads_and_is_still_written_so() -> None:
    golden = (GOLDEN / "trainer_v1.checkpoint").read_bytes()
    assert same(decode_checkpoint(golden), CHECKPOINT)
    assert encode_checkpoint(CHECKPOINT) == golden


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


@given(at=st.integers(0, len(encode_checkpoint(CHECKPOINT)) - 1), bit=st.integers(0, 7))
def test_a_damaged_checkpoint_is_noticed(at: int, bit: int) -> None:
    data = bytearray(encode_checkpoint(CHECKPOINT))
    data[at] ^= 1 << bit
    with pytest.raises(Corrupt):
        decode_checkpoint(bytes(data))


@given(st.integers(0, len(encode_checkpoint(CHECKPOINT)) - 1))
def test_a_checkpoint_cut_short_is_noticed(size: int) -> None:
    with pytest.raises(Corrupt):
        decode_checkpoint(encode_checkpoint(CHECKPOINT)[:size])


def test_the_last_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, keep=2)
    assert store.newest() is None
    digests = [store.write(Checkpoint(step, step, STATE)) for step in (1, 2, 3)]
    assert set(digests) == {state_digest(STATE)}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000000000002-000000000002.checkpoint",
        "000000000003-000000000003.checkpoint",
    ]
    newest = tmp_path / "000000000003-000000000003.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / "000000000004.part").write_bytes(b"cut short by a crash")
    found = FolderCheckpoints(tmp_path, keep=2).newest()
    assert found is not None
    assert found.step == 2
    assert not list(tmp_path.glob("*.part"))


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


def test_two_states_after_one_step_are_both_kept(tmp_path: Path) -> None:
    """A rewind changes the state between two steps; the checkpoint before it may be the one that the next needs."""
    store = FolderCheckpoints(tmp_path, 5)
    for position, value in ((10, 1.0), (20, 2.0)):
        store.write(Checkpoint(position, 3, {"x": np.array([value])}))
    before, newest = store.before(15), store.newest()
    assert before is not None
    assert newest is not None
    assert (before.state["x"][0], newest.state["x"][0]) == (1.0, 2.0)
    assert store.before(9) is None


def test_what_is_held_stays_however_old(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, 2, held=0)
    for number in range(1, 7):
        store.write(Checkpoint(10 * number, number, {"x": np.array([number])}))
    assert store.before(10) is not None, "nothing goes before it is known what is needed"
    store.hold(35)
    store.write(Checkpoint(70, 7, {"x": np.array([7])}))
    assert store.before(29) is None
    held = store.before(35)
    assert held is not None
    assert held.journal_position == 30


def test_while_nobody_knows_what_is_needed_the_disk_does_not_fill(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, 2, held=0)
    for number in range(1, MOST_KEPT + 10):
        store.write(Checkpoint(10 * number, number, {"x": np.array([number])}))
    assert len(list(tmp_path.iterdir())) == MOST_KEPT + 1
    oldest = store.before(10)
    assert oldest is not None
    assert oldest.step == 1
