"""A base with the changes behind it is the state, whatever happened to it, and whatever happened to the files."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt
from tests.unit.checkpoints.states import PREFIX, Model, alike
from trainer_svc.checkpoints import folder as folder_module
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.retention import MOST_KEPT
from trainer_svc.checkpoints.state import Arrays, Checkpoint


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def state_of(checkpoint: Checkpoint | None) -> Arrays:
    assert checkpoint is not None
    return dict(checkpoint.state)


def chained(root: Path, changes: int, keep: int = 99) -> tuple[FolderCheckpoints, list[Arrays]]:
    """A base and so many changes; the state after each."""
    model, store, states = Model(7, buckets=512), FolderCheckpoints(root, keep), []
    model.change()
    store.write(model.checkpoint())
    states.append(model.checkpoint().state)
    for _ in range(changes):
        model.change()
        store.extend(model.take())
        model.table.tracker.saved()
        states.append({name: np.array(array) for name, array in model.state().items()})
    return store, [dict(state) for state in states]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@given(seed=st.integers(0, 10_000), fails=st.sets(st.integers(0, 11), max_size=4))
@settings(max_examples=40, deadline=None)
def test_base_and_changes_are_the_state(
    dtype: str, seed: int, fails: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also when a write fails: what it held travels with the next one. A table grows only by a new base."""
    store, model = FolderCheckpoints(tmp_path_factory.mktemp("chain"), 3), Model(seed, dtype=dtype)
    store.write(model.checkpoint())
    model.table.tracker.saved()
    for number in range(12):
        for _ in range(1 + seed % 3):
            model.change()
        change = model.take()
        model.change()  # learning goes on while it is written
        if number in fails:
            model.table.tracker.unsaved_failed()
            continue
        store.extend(change)
        model.table.tracker.saved()
    model.change()
    store.extend(model.take())
    assert alike(state_of(store.newest()), model.state())


def test_a_change_costs_what_changed(tmp_path: Path) -> None:
    """Not what the table is large."""

    def size_of_a_change(buckets: int) -> int:
        root = tmp_path / str(buckets)
        model, store = Model(1, buckets), FolderCheckpoints(root, 9)
        model.change()
        store.write(model.checkpoint())
        model.table.tracker.saved()
        model.change()
        store.extend(model.take())
        return max(root.glob("*.changes")).stat().st_size

    assert size_of_a_change(1 << 14) < 1.05 * size_of_a_change(1 << 8)


def test_a_long_chain_becomes_a_base(tmp_path: Path) -> None:
    model, store = Model(3, buckets=256), FolderCheckpoints(tmp_path, 2)
    store.write(model.checkpoint())
    model.table.tracker.saved()
    for _ in range(60):
        model.change(keys=20)
        store.extend(model.take())
        model.table.tracker.saved()
    bases = [name for name in names(tmp_path) if name.endswith(".base")]
    assert 1 <= len(bases) <= 3
    assert bases[0] > "000000000000"
    assert len(names(tmp_path)) < 40
    assert alike(state_of(FolderCheckpoints(tmp_path, 2).newest()), model.state())


def test_a_chain_that_cannot_be_folded_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder_module.write_part

    def full_disk(path: Path, *rest: object) -> tuple[str, int]:
        if path.suffix == ".base":
            raise OSError(28, "no space left")
        return real(path, *rest)  # type: ignore[arg-type]

    store, model = FolderCheckpoints(tmp_path, 2), Model(3)
    store.write(model.checkpoint())
    monkeypatch.setattr(folder_module, "write_part", full_disk)
    for _ in range(30):
        model.change(keys=20)
        store.extend(model.take())
        model.table.tracker.saved()
    assert alike(state_of(store.newest()), model.state())


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [damage, cut_short, Path.unlink])
@pytest.mark.parametrize("place", range(1, 6))
def test_a_damaged_part_is_passed_over_with_all_that_rests_on_it(
    tmp_path: Path, harm: Callable[[Path], None], place: int
) -> None:
    _, states = chained(tmp_path, 5)
    harm(sorted(tmp_path.iterdir())[place])
    store = FolderCheckpoints(tmp_path, 3)
    assert alike(state_of(store.newest()), states[place - 1])


def test_without_a_whole_chain_there_is_none_and_a_change_is_refused(tmp_path: Path) -> None:
    chained(tmp_path, 3)
    damage(min(tmp_path.iterdir()))
    store = FolderCheckpoints(tmp_path, 3)
    assert store.newest() is None
    with pytest.raises(Corrupt, match="no checkpoint"):
        store.extend(Model(1).take())


def test_a_change_on_a_chain_that_was_harmed_meanwhile_asks_for_a_base(tmp_path: Path) -> None:
    store, _ = chained(tmp_path, 3)
    sorted(tmp_path.iterdir())[1].unlink()
    model = Model(7, buckets=512)
    for _ in range(9):
        model.change()
    with pytest.raises(Corrupt, match="rests on"):
        store.extend(model.take())
    store.write(model.checkpoint())
    assert alike(state_of(store.newest()), model.state())


def test_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    chained(tmp_path, 2)
    store, model = FolderCheckpoints(tmp_path, 99), Model(7, buckets=512)
    newest = store.newest()
    model.table.restore(
        {name.removeprefix(PREFIX): a for name, a in state_of(newest).items() if name.startswith(PREFIX)}
    )
    model.table.tracker.take_unsaved()
    model.table.tracker.saved()
    model.step = 3
    model.change()
    store.extend(model.take())
    assert [name.rpartition(".")[2] for name in names(tmp_path)] == ["base", "changes", "changes", "changes"]
    assert alike(state_of(store.newest()), model.state())


def test_a_part_of_another_chain_does_not_fit(tmp_path: Path) -> None:
    """Each part names its predecessor by its digest."""
    _, states = chained(tmp_path / "own", 3)
    model, other = Model(8, buckets=512), FolderCheckpoints(tmp_path / "other", 9)
    model.change()
    other.write(model.checkpoint())
    for _ in range(3):
        model.change()
        other.extend(model.take())
        model.table.tracker.saved()
    second = names(tmp_path / "own")[2]
    (tmp_path / "own" / second).write_bytes((tmp_path / "other" / second).read_bytes())
    assert alike(state_of(FolderCheckpoints(tmp_path / "own", 9).newest()), states[1])


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    _, states = chained(tmp_path, 2)
    (tmp_path / "000000000009-000000000090.changes.part").write_bytes(b"cut short by a crash")
    assert alike(state_of(FolderCheckpoints(tmp_path, 9).newest()), states[2])
    assert not list(tmp_path.glob("*.part"))


def whole(position: int, step: int, value: float = 0.0) -> Checkpoint:
    return Checkpoint(position, step, {"x": np.array([value])})


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, 2)
    for step in (1, 2, 3):
        store.write(whole(step, step))
    assert names(tmp_path) == ["000000000002-000000000002.base", "000000000003-000000000003.base"]


def test_what_a_kept_checkpoint_rests_on_is_kept(tmp_path: Path) -> None:
    store, _ = chained(tmp_path, 4, keep=1)
    assert len(names(tmp_path)) == 5
    model = Model(9)
    for _ in range(9):
        model.change()
    store.write(model.checkpoint())
    assert len(names(tmp_path)) == 1


def test_two_states_after_one_step_are_both_kept(tmp_path: Path) -> None:
    """A rewind changes the state between two steps; the checkpoint before it may be the one that the next needs."""
    store = FolderCheckpoints(tmp_path, 5)
    store.write(whole(10, 3, 1.0))
    store.write(whole(20, 3, 2.0))
    assert (state_of(store.before(15))["x"][0], state_of(store.newest())["x"][0]) == (1.0, 2.0)
    assert store.before(9) is None


def test_what_is_held_stays_however_old(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, 2, held=0)
    for number in range(1, 7):
        store.write(whole(10 * number, number))
    assert store.before(10) is not None, "nothing goes before it is known what is needed"
    store.hold(35)
    store.write(whole(70, 7))
    assert store.before(29) is None
    held = store.before(35)
    assert held is not None
    assert held.journal_position == 30


def test_while_nobody_knows_what_is_needed_the_disk_does_not_fill(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path, 2, held=0)
    for number in range(1, MOST_KEPT + 10):
        store.write(whole(10 * number, number))
    assert len(names(tmp_path)) == MOST_KEPT + 1
    oldest = store.before(10)
    assert oldest is not None
    assert oldest.step == 1
