"""Which lineage is live, who made a version, and what a lineage began as: on disk, whole or not at all."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from martlet.errors import Corrupt, InvalidInput
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.runtime.strategy_config import strategy_config
from tests.unit.trainer.world import BEGAN
from trainer_svc.hand_over import Head
from trainer_svc.journal import PARTITION, Acknowledged, Forgot, LogJournal
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.lineage_folders import LineageFolders, Live, OtherLineages
from trainer_svc.strategies.run_record import Run, RunState, read_run, write_run

RUN = Run("full_retrain", "because", "me", 5, 4, {"a": 10}, "shop:MODEL", "shop-1")


def journal(folder: Path, *entries: object) -> None:
    writer = FileEventWriter(folder, PARTITION)
    kept = LogJournal(writer, FileEventReader(folder))
    for entry in (BEGAN, *entries):
        kept.append(entry)  # type: ignore[arg-type]
    writer.close()


def test_the_first_lineage_is_live_until_another_is(tmp_path: Path) -> None:
    folders = LineageFolders(tmp_path)
    assert folders.live == Live()
    assert folders.path("") == tmp_path
    live = Live("full_retrain-1", "", 12, Head(7, "mt1-x", 2))
    folders.set_live(live)
    assert LineageFolders(tmp_path).live == live


@pytest.mark.parametrize("content", [b"{", b'{"format": 2}', b'{"lineage": 5}'])
def test_a_damaged_word_is_not_believed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "live.json").write_bytes(content)
    with pytest.raises(Corrupt, match=r"live\.json"):
        _ = LineageFolders(tmp_path).live


def test_runs_are_numbered_and_remembered(tmp_path: Path) -> None:
    folders = LineageFolders(tmp_path)
    names = [folders.begin(msgspec.structs.replace(RUN, strategy=name)).name for name in ("transfer", "fine_tune")]
    assert names == ["transfer-1", "fine_tune-2"]
    assert [record.name for record in folders.runs()] == names
    done = msgspec.structs.replace(RUN, state=RunState.OFFERED, version=3, digest="mt1-y")
    write_run(folders.path("transfer-1"), done)
    assert read_run(folders.path("transfer-1")) == done


def test_a_version_is_known_by_its_run_or_by_the_journal(tmp_path: Path) -> None:
    folders = LineageFolders(tmp_path)
    journal(tmp_path, Acknowledged(1, "mt1-first", 1))
    record = folders.begin(msgspec.structs.replace(RUN, digest="mt1-run"))
    journal(folders.path(record.name), Acknowledged(1, "mt1-run", 2), Acknowledged(2, "mt1-later", 3))
    kin = OtherLineages(folders, record.name)
    assert kin.lineage_of("mt1-first") == ""
    assert [kin.lineage_of(digest) for digest in ("mt1-run", "mt1-later", "mt1-nobody", "")] == [None] * 4
    assert OtherLineages(folders, "").lineage_of("mt1-later") == record.name


def test_words_to_forget_are_found_from_a_place_on(tmp_path: Path) -> None:
    folders = LineageFolders(tmp_path)
    early, late = Forgot(1, "ann", {"a": 5}, 1), Forgot(2, "bob", {"a": 9}, 2)
    journal(tmp_path, early, late)
    ends = [record.end for record in FileEventReader(tmp_path).read(PARTITION, 0, 1 << 20)]
    assert folders.forgotten_since("", 0) == [early, late]
    assert folders.forgotten_since("", ends[1]) == [late]


def test_dropping_the_others_leaves_the_live_one_and_what_is_known_of_runs(tmp_path: Path) -> None:
    folders = LineageFolders(tmp_path)
    journal(tmp_path)
    kept, gone = folders.begin(RUN).name, folders.begin(RUN).name
    for name in (kept, gone):
        journal(folders.path(name))
        FoundingFolder(folders.path(name)).store({"x": np.arange(3)})
    folders.drop_others(kept)
    assert (folders.path(kept) / PARTITION).is_dir()
    assert list(folders.path(kept).glob("*.safetensors"))
    assert not (tmp_path / PARTITION).exists()
    assert not list(folders.path(gone).glob("*.safetensors"))
    assert len(folders.runs()) == 2


def test_a_founding_state_is_what_its_digest_says(tmp_path: Path) -> None:
    folder = FoundingFolder(tmp_path)
    state = {"learner/x": np.arange(6, dtype=np.float32).reshape(2, 3), "progress/": np.array([1], np.uint8)}
    digest = folder.store(state)
    loaded = folder.load(digest)
    assert loaded.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert folder.store(dict(reversed(state.items()))) == digest
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(Corrupt, match="damaged"):
        folder.load(digest)
    folder.clear()
    with pytest.raises(Corrupt, match="not in"):
        folder.load(digest)


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        ({"nmae": "auto"}, r"learning\.strategy\.nmae is no setting"),
        ({"name": "magic"}, "Invalid enum value 'magic'"),
        ({"every_hours": -1}, r"learning\.strategy\.every_hours must be 0 or more"),
    ],
)
def test_a_bad_setting_is_one_line(plain: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        strategy_config(plain)
