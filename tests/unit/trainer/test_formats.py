"""The journal and the checkpoint of format 1, as they were first written, still read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from martlet.errors import Corrupt
from trainer_svc.checkpoint import CheckpointStore
from trainer_svc.journal import Acknowledged, Cut, Entry, Journal, Publish, Range, Refused, read_journal

GOLDEN = Path(__file__).parents[2] / "golden"
ENTRIES: list[Entry] = [
    Cut(1, (Range("serving-0", 0, 120), Range("serving-1", 8, 40)), 0),
    Publish(1, 1, True, 0, ""),
    Acknowledged(2, 1, 17, "mt1-" + "a" * 64),
    Refused(3, 2, 1, "mt1-" + "b" * 64, "the head is another"),
    Cut(4, (), 1_700_000_000_000_000),
]


def test_the_golden_journal_still_reads() -> None:
    assert read_journal(GOLDEN / "journal_v1") == ENTRIES


def test_entries_come_back_and_the_file_is_written_alike(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(*ENTRIES[:2])
    journal.append(*ENTRIES[2:])
    assert journal.entries() == ENTRIES
    journal.close()
    assert (tmp_path / "journal").read_bytes() == (GOLDEN / "journal_v1").read_bytes()


@pytest.mark.parametrize("data", [b"another file\n", b"martlet-journal 2\n"])
def test_another_file_is_no_journal(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(Corrupt, match="journal"):
        Journal(tmp_path / "journal")


def test_the_golden_checkpoint_still_reads(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "checkpoint_v1", tmp_path / "000000000042")
    found = CheckpointStore(tmp_path, 1).newest()
    assert found is not None
    step, arrays, document = found
    assert (step, document) == (42, b"\x81\xa4step*")
    np.testing.assert_array_equal(arrays["learner/x"], np.arange(4, dtype=np.float32))


def test_another_format_is_passed_over(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "checkpoint_v1", tmp_path / "000000000042")
    head = tmp_path / "000000000042" / "checkpoint.json"
    head.write_text(head.read_text().replace('"format": 1', '"format": 2'))
    assert CheckpointStore(tmp_path, 1).newest() is None


def test_older_checkpoints_go(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, 2)
    for step in range(5):
        store.save(step, {"x": np.zeros(1, np.float32)}, b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000003", "000000000004"]
