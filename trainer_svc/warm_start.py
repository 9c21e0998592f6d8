"""Warm start by name: a changed model begins with what its parent learned, as far as names say that it is the same.

* *Dense weights* of the same name and shape are taken over. One that was widened keeps its parent's values in its first
  rows and columns; what is new there is zero, so that scores do not change. (Columns are told apart by their place: new
  inputs of a layer belong behind the old ones.) What was narrowed is new, for nobody can say which columns stayed.
* *Rows* are taken over by key space: each key of the parent's rows of that space gets a row. Wider rows begin with the
  parent's columns; the others are the noise that a new row begins with. Narrower ones are new.
* *Default rows* go by the name of their feature, *running numbers* by that of their number.
* *The optimizers' state* goes with what it belongs to if the rule is the same, else it begins anew. For new columns it
  is zero. Counts of rare ids and learning rates' steps go over only if the whole model is of the same form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from trainer_svc.learner import Learner
from trainer_svc.table.embedding_table import EmbeddingTable, TableFull

_AT_ONCE: Final = 1 << 16  # rows carried over at once
_NUMBERS: Final = "numbers."

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may be taken over, by patterns as in the shell.

    Attributes:
        weights: of the names of dense weights.
        spaces: of the names of key spaces.
        optimizer: whether the optimizers' state goes over too.
    """

    weights: tuple[str, ...] = ("*",)
    spaces: tuple[str, ...] = ("*",)
    optimizer: bool = True


@dataclass(slots=True)
class WarmStartReport:
    """What became of everything, by name."""

    taken: list[str] = field(default_factory=list)
    padded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def lines(self) -> tuple[str, ...]:
        """One line for each name.

        >>> WarmStartReport(taken=["net.head.bias"], new=["space brand"]).lines()
        ('taken: net.head.bias', 'new: space brand')
        """
        told = {"taken": self.taken, "padded": self.padded, "new": self.new, "dropped": self.dropped}
        return tuple(f"{what}: {name}" for what, names in told.items() for name in names)


def warm_start(child: Learner, parent: Learner, wanted: Wanted | None = None) -> WarmStartReport:
    """Gives a fresh learner what another one has learned; neither may be of another thread. Cost: the parent's rows.

    The same two learners give the same bits.
    """
    wanted, report = wanted or Wanted(), WarmStartReport()
    _take_dense(child, parent, wanted, report)
    _take_numbers(child, parent, report)
    for space in child.spec.salts:
        _take_space(child, parent, space, wanted, report)
    report.dropped += [f"space {space}" for space in parent.spec.salts if space not in child.spec.salts]
    _take_defaults(child, parent, wanted, report)
    return report


def _take_dense(child: Learner, parent: Learner, wanted: Wanted, report: WarmStartReport) -> None:
    own, theirs = child.dense.tensors(), parent.dense.tensors()
    fits: dict[str, bool] = {}
    for name, tensor in own.items():
        if name.startswith(_NUMBERS):
            continue
        before = theirs.get(name)
        if before is None or not _named(name, wanted.weights):
            report.new.append(name)
        elif before.shape == tensor.shape:
            _copy(tensor, before)
            report.taken.append(name)
            fits[name] = True
        elif before.ndim == tensor.ndim and all(a <= b for a, b in zip(before.shape, tensor.shape, strict=True)):
            with torch.no_grad():
                tensor.zero_()
            _copy(tensor[tuple(slice(0, size) for size in before.shape)], before)
            report.padded.append(f"{name} {list(before.shape)} -> {list(tensor.shape)}")
            fits[name] = False
        else:
            report.new.append(f"{name} {list(before.shape)} -> {list(tensor.shape)}")
    report.dropped += [name for name in theirs if name not in own and not name.startswith(_NUMBERS)]
    _take_dense_optimizer(child, parent, fits, wanted, report)


def _take_dense_optimizer(
    child: Learner, parent: Learner, fits: Mapping[str, bool], wanted: Wanted, report: WarmStartReport
) -> None:
    same = type(child.model.dense) is type(parent.model.dense)
    if not (wanted.optimizer and same and fits):
        report.new.append("optimizer of the dense weights")
        return
    own, theirs = child.dense_slots(), parent.dense_slots()
    for name in fits:
        for mine, before in zip(own[name], theirs[name], strict=True):
            mine[tuple(slice(0, size) for size in before.shape)] = before
    whole = all(fits.values()) and len(fits) == len(own) == len(theirs)
    child.take_rates(parent, steps=whole)
    report.taken.append("optimizer of the dense weights")


def _take_numbers(child: Learner, parent: Learner, report: WarmStartReport) -> None:
    names, before = child.dense.numbers.running, parent.dense.numbers.running
    shared = [name for name in names if name in before]
    child.take_moments({name: parent.moments_of(name) for name in shared})
    report.taken += [f"number {name}" for name in shared]
    report.new += [f"number {name}" for name in names if name not in before]


def _take_space(child: Learner, parent: Learner, space: str, wanted: Wanted, report: WarmStartReport) -> None:
    for table in _tables_of(child, space):
        source = _source(parent, space, table)
        if source is None or not _named(space, wanted.spaces):
            report.new.append(f"space {space} (width {table.width})")
            continue
        carry = wanted.optimizer and type(child.model.rows) is type(parent.model.rows)
        count = _carry(child, table, source, (space, list(parent.spec.salts).index(space)), carry=carry)
        told = f"space {space}: {count} rows"
        if source.width == table.width:
            report.taken.append(told)
        else:
            report.padded.append(f"{told} {source.width} -> {table.width}")


def _source(parent: Learner, space: str, table: EmbeddingTable) -> EmbeddingTable | None:
    """The parent's table of the space whose rows are as wide, or the widest of the narrower ones."""
    found = [one for one in _tables_of(parent, space) if one.width <= table.width]
    return max(found, key=lambda one: one.width, default=None)


def _tables_of(learner: Learner, space: str) -> Iterator[EmbeddingTable]:
    widths = {feature.width for feature in learner.spec.features if feature.space == space}
    return (table for table in learner.tables.values() if table.width in widths)


def _carry(
    child: Learner, table: EmbeddingTable, source: EmbeddingTable, space: tuple[str, int], *, carry: bool
) -> int:
    """Gives each key of a space a row, and the row its parent's columns; returns how many."""
    name, before = space
    number = list(child.spec.salts).index(name)
    held = np.flatnonzero(_held(source) & (source.spaces.reshape(-1) == before))
    special = 1 + next(
        place for place, feature in enumerate(_features(child, table)) if _space_of(child, feature) == name
    )
    for start in range(0, held.shape[0], _AT_ONCE):
        slots = held[start : start + _AT_ONCE]
        keys = source.keys.reshape(-1)[slots]
        rows = _places(table, keys, number, special)
        kept = rows < table.slots  # a key that another space holds already keeps its default row
        rows, slots = rows[kept], slots[kept]
        table.rows[rows, : source.width] = source.rows[slots].astype(table.rows.dtype)
        table.last_used.reshape(-1)[rows] = source.last_used.reshape(-1)[slots]
        if carry:
            for mine, theirs in _column_pairs(table, source):
                table.optimizer[rows[:, None], mine] = source.optimizer[slots[:, None], theirs]
    return int(held.shape[0])


def _held(table: EmbeddingTable) -> npt.NDArray[np.bool_]:
    """bool[slots]: where a key is held: `find` gives a key its own slot, and an empty slot's key none."""
    keys = np.ascontiguousarray(table.keys.reshape(-1))
    return np.asarray(table.find(keys) == np.arange(keys.shape[0]), np.bool_)


def _places(table: EmbeddingTable, keys: npt.NDArray[np.int64], space: int, special: int) -> npt.NDArray[np.int64]:
    spaces = np.full(keys.shape[0], space, np.uint16)
    specials = np.full(keys.shape[0], special, np.int64)
    while True:
        try:
            return table.upsert(keys, spaces, specials, 0)
        except TableFull:
            table.grow()


def _column_pairs(table: EmbeddingTable, source: EmbeddingTable) -> Iterator[tuple[Array, Array]]:
    """Which columns of the optimizer's state belong together: as many of a row's width as there are, then the rest."""
    blocks = source.optimizer.shape[1] // source.width if source.width > 1 else source.optimizer.shape[1]
    own = np.arange(table.optimizer.shape[1])
    theirs = np.arange(source.optimizer.shape[1])
    for block in range(blocks):
        start, width = block * source.width, source.width
        yield own[block * table.width : block * table.width + width], theirs[start : start + width]
    rest = theirs[blocks * source.width :]
    if rest.shape[0]:
        yield own[-rest.shape[0] :], rest


def _take_defaults(child: Learner, parent: Learner, wanted: Wanted, report: WarmStartReport) -> None:
    """The rows that unknown ids are scored with, by the names of their features."""
    for table in child.tables.values():
        for place, feature in enumerate(_features(child, table), 1):
            found = _default_of(parent, feature)
            if found is None or not _named(_space_of(child, feature), wanted.spaces) or found.shape[0] > table.width:
                report.new.append(f"default row of {feature}")
                continue
            table.rows[table.slots + place, : found.shape[0]] = found.astype(table.rows.dtype)
            report.taken.append(f"default row of {feature}")


def _default_of(learner: Learner, feature: str) -> Array | None:
    for table in learner.tables.values():
        names = _features(learner, table)
        if feature in names:
            row: Array = table.rows[table.slots + 1 + names.index(feature)]
            return row
    return None


def _features(learner: Learner, table: EmbeddingTable) -> list[str]:
    return [name for one in learner.model.tables if one.name == table.name for name in one.features]


def _space_of(learner: Learner, feature: str) -> str:
    return next(one.space for one in learner.spec.features if one.name == feature)


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _copy(to: torch.Tensor, values: torch.Tensor) -> None:
    with torch.no_grad():
        to.copy_(values)
