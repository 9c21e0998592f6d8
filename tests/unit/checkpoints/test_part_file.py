"""The file of a part: a golden one holds the format still; damage of any kind is noticed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.digest import CHUNK_SIZE
from martlet.errors import Corrupt
from trainer_svc.checkpoints.part_file import read_body, read_head, write_part
from trainer_svc.checkpoints.parts import Parts, change_in, parts_of_change, parts_of_state, state_in
from trainer_svc.checkpoints.state import Arrays, StateChange, TableChange, apply

GOLDEN = Path(__file__).parents[2] / "golden"
NAME = "000000000056-000000001234"

STATE: Arrays = {
    "cursor/cursor": np.frombuffer(b'{"epoch":1}', np.uint8),
    "intake/seen/4": np.array([], np.uint64),
    "learner/generation": np.array(3, np.int64),
    "learner/rows/t/keys": np.array([[1, -(2**63), 0, 0], [2**63 - 1, 0, 0, 0]], np.int64),
    "learner/rows/t/marks": np.array([0, 65535], np.uint16),
    "learner/rows/t/rows": np.arange(9, dtype=np.float32).reshape(9, 1),
}
CHANGE = StateChange(
    1300,
    57,
    {"cursor/cursor": np.frombuffer(b'{"epoch":2}', np.uint8), "learner/generation": np.array(3, np.int64)},
    {
        "learner/rows/t/": TableChange(
            np.array([1], np.int32),
            {"keys": np.array([[5, 6, 7, 8]]), "rows": np.full((1, 4, 1), 0.5, np.float32)},
            {"rows": np.full((1, 1), 0.25, np.float32)},
            {"marks": np.array([0], np.int32)},
            {"marks": np.array([7], np.uint16)},
        )
    },
)


def written(folder: Path) -> tuple[Path, Path]:
    """A base and a change behind it."""
    base, change = folder / f"{NAME}.base", folder / "000000000057-000000001300.changes"
    digest, _ = write_part(base, 1234, 56, "", parts_of_state(STATE))
    write_part(change, 1300, 57, digest, parts_of_change(CHANGE))
    return base, change


def read(path: Path) -> Parts:
    head, _ = read_head(path)
    return read_body(path, head)


def test_the_golden_checkpoint_still_reads_and_is_still_written_so(tmp_path: Path) -> None:
    for path in written(tmp_path):
        assert (GOLDEN / "checkpoints_v2" / path.name).read_bytes() == path.read_bytes()
    base, change = sorted((GOLDEN / "checkpoints_v2").iterdir())
    state = state_in(read(base))
    assert {name: array.tolist() for name, array in state.items()} == {n: a.tolist() for n, a in STATE.items()}
    after = apply(change_in(read_head(change)[0], read(change)), state)
    assert after["learner/rows/t/keys"].tolist() == [[1, -(2**63), 0, 0], [5, 6, 7, 8]]
    assert after["learner/rows/t/rows"].reshape(-1).tolist() == [0, 1, 2, 3, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert after["learner/rows/t/marks"].tolist() == [7, 0]
    assert after["cursor/cursor"].tobytes() == b'{"epoch":2}'
    assert "intake/seen/4" not in after


def test_another_format_is_told_apart(tmp_path: Path) -> None:
    base, _ = written(tmp_path)
    base.write_bytes(base.read_bytes()[:-1] + b"\x09")
    with pytest.raises(Corrupt, match=r"format 9 is not known here .known: 2"):
        read(base)


@given(data=st.data())
@settings(deadline=None)
def test_a_damaged_part_is_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    base, change = written(tmp_path_factory.mktemp("damaged"))
    path = data.draw(st.sampled_from((base, change)))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        read(path)


@given(data=st.data())
@settings(deadline=None)
def test_a_part_cut_short_is_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    base, _ = written(tmp_path_factory.mktemp("cut"))
    content = base.read_bytes()
    base.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(Corrupt):
        read(base)


def test_large_bodies_are_verified_chunk_by_chunk(tmp_path: Path) -> None:
    arrays: Parts = {("whole", "a"): np.arange(CHUNK_SIZE // 4), ("whole", "b"): np.arange(7, dtype=np.uint8)}
    write_part(tmp_path / f"{NAME}.base", 1, 1, "", arrays)
    found = read(tmp_path / f"{NAME}.base")
    assert {key: array.tolist() for key, array in found.items()} == {key: a.tolist() for key, a in arrays.items()}
