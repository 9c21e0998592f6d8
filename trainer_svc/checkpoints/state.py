"""What a checkpoint holds: a whole state, or what changed of it since the checkpoint before.

A state is a dictionary of arrays. Those of an embedding table stand under one prefix, and are as large as the table;
everything else is small, and is written whole each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from martlet.digest import blob_digest
from martlet.errors import Corrupt
from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import ANY, marked

# How a table's arrays lie, by name. A name that is not known here is written whole: never wrong, only dear.
BY_BUCKET: Final = frozenset({"keys", "spaces", "last_used"})  # [n, ...]
BY_SLOT: Final = frozenset({"rows", "optimizer"})  # [n * 4 + specials, ...]
MOSTLY_ZERO: Final = frozenset({"marks"})  # [n]; changes where no row does

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state, where it stands in the journal, and after which step."""

    journal_position: int
    step: int
    state: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class TableChange:
    """What changed in a table (copies).

    Attributes:
        buckets: int32[m], ascending.
        changed: by name, [m, ...] for an array by bucket, [m, 4, ...] for one by slot.
        specials: by name, the rows behind the slots of an array by slot, all of them.
        places, values: by name, where an array that is mostly zero is not, int32[k], and what it holds there.
    """

    buckets: npt.NDArray[np.int32]
    changed: Mapping[str, Array]
    specials: Mapping[str, Array]
    places: Mapping[str, npt.NDArray[np.int32]]
    values: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class StateChange:
    """What changed since the checkpoint before (copies).

    Attributes:
        whole: by name, every array that is not kept by bucket.
        tables: by prefix.
    """

    journal_position: int
    step: int
    whole: Mapping[str, Array]
    tables: Mapping[str, TableChange]


def encode_state(state: Mapping[str, Array]) -> bytes:
    """A state as bytes: equal states give equal bytes."""
    return save({name: np.asarray(state[name], order="C") for name in sorted(state)})


def state_digest(state: Mapping[str, Array]) -> str:
    """The digest that equal states share."""
    return blob_digest(encode_state(state))


def copy_of(state: Mapping[str, Array]) -> Arrays:
    """All of a state. Cost: all of it."""
    return {name: np.array(array) for name, array in state.items()}


def is_small(state: Mapping[str, Array], unsaved: Mapping[str, npt.NDArray[np.int32]]) -> bool:
    """Whether less than half of the tables' buckets changed, so that their change is worth being told apart."""
    changed = sum(buckets.shape[0] for buckets in unsaved.values())
    return bool(2 * changed < sum(state[prefix + "keys"].shape[0] for prefix in unsaved))


def changed_since(
    state: Mapping[str, Array],
    unsaved: Mapping[str, npt.NDArray[np.int32]],
    journal_position: int,
    step: int,
) -> StateChange:
    """Copies what changed: of each table, by prefix, the given buckets. Cost: what it copies, and where zeros end."""
    whole = {name: np.array(array) for name, array in state.items() if not _is_kept_by_bucket(name, unsaved)}
    tables = {prefix: _table_change(_of_table(state, prefix), buckets) for prefix, buckets in unsaved.items()}
    return StateChange(journal_position, step, whole, tables)


def apply(change: StateChange, before: Arrays) -> Arrays:
    """The state after a change; the arrays of the tables are changed in place.

    Raises:
        Corrupt: the change is none of this state.
    """
    after: Arrays = dict(change.whole)
    for prefix, table in change.tables.items():
        try:
            _apply_to_table(table, prefix, before)
        except (KeyError, IndexError, ValueError) as error:
            raise Corrupt(f"a change of {prefix} does not fit the state before it: {error}") from error
        after |= {prefix + name: before[prefix + name] for name in (*table.changed, *table.places)}
    return after


def _table_change(table: Mapping[str, Array], buckets: npt.NDArray[np.int32]) -> TableChange:
    slots = table["keys"].shape[0] * SLOTS
    by_slot = {name: array for name, array in table.items() if name in BY_SLOT}
    changed = {name: array[buckets] for name, array in table.items() if name in BY_BUCKET}
    changed |= {name: _by_bucket(array, slots)[buckets] for name, array in by_slot.items()}
    zeros = {name: array for name, array in table.items() if name in MOSTLY_ZERO}
    places = {name: marked(array, ANY).astype(np.int32) for name, array in zeros.items()}
    values = {name: array[places[name]] for name, array in zeros.items()}
    return TableChange(
        buckets, changed, {name: array[slots:].copy() for name, array in by_slot.items()}, places, values
    )


def _apply_to_table(table: TableChange, prefix: str, state: Arrays) -> None:
    slots = state[prefix + "keys"].shape[0] * SLOTS
    for name, changed in table.changed.items():
        array = state[prefix + name]
        if name in table.specials:
            array[slots:] = table.specials[name]
            _by_bucket(array, slots)[table.buckets] = changed
        else:
            array[table.buckets] = changed
    for name, places in table.places.items():
        state[prefix + name][:] = 0
        state[prefix + name][places] = table.values[name]


def _by_bucket(array: Array, slots: int) -> Array:
    """A view of an array by slot, [n, 4, ...]."""
    return array[:slots].reshape(slots // SLOTS, SLOTS, *array.shape[1:])


def _of_table(state: Mapping[str, Array], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _is_kept_by_bucket(name: str, prefixes: Sequence[str] | Mapping[str, object]) -> bool:
    own = next((name.removeprefix(prefix) for prefix in prefixes if name.startswith(prefix)), "")
    return own in BY_BUCKET | BY_SLOT | MOSTLY_ZERO
