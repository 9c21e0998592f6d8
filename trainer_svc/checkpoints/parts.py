"""Checkpoints and changes as the arrays of a part, and back."""

from collections.abc import Mapping
from enum import StrEnum

from martlet.errors import Corrupt
from trainer_svc.checkpoints.part_file import Head
from trainer_svc.checkpoints.state import Array, Arrays, StateChange, TableChange

Parts = dict[tuple[str, str], Array]


class Role(StrEnum):
    """What an array is to its part. All but the first belong to a table, whose prefix begins their name."""

    WHOLE = "whole"
    BUCKETS = "buckets"
    CHANGED = "changed"
    SPECIAL = "special"
    PLACES = "places"
    VALUES = "values"


def parts_of_state(state: Mapping[str, Array]) -> Parts:
    """Of a base: equal states give equal parts."""
    return {(Role.WHOLE, name): state[name] for name in sorted(state)}


def parts_of_change(change: StateChange) -> Parts:
    """Of a part that follows another."""
    parts: Parts = parts_of_state(change.whole)
    for prefix, table in change.tables.items():
        parts[Role.BUCKETS, prefix] = table.buckets
        for role, arrays in _roles(table).items():
            parts |= {(role, prefix + name): array for name, array in arrays.items()}
    return parts


def state_in(parts: Mapping[tuple[str, str], Array]) -> Arrays:
    """The state of a base.

    Raises:
        Corrupt: it is none.
    """
    if any(role != Role.WHOLE for role, _ in parts):
        raise Corrupt("a base holds a change")
    return {name: array for (_, name), array in parts.items()}


def change_in(head: Head, parts: Mapping[tuple[str, str], Array]) -> StateChange:
    """The change of a part that follows another."""
    whole = {name: array for (role, name), array in parts.items() if role == Role.WHOLE}
    prefixes = {name: array for (role, name), array in parts.items() if role == Role.BUCKETS}
    tables = {prefix: _table_in(parts, prefix, buckets) for prefix, buckets in prefixes.items()}
    return StateChange(head.journal_position, head.step, whole, tables)


def _roles(table: TableChange) -> dict[Role, Mapping[str, Array]]:
    return {
        Role.CHANGED: table.changed,
        Role.SPECIAL: table.specials,
        Role.PLACES: table.places,
        Role.VALUES: table.values,
    }


def _table_in(parts: Mapping[tuple[str, str], Array], prefix: str, buckets: Array) -> TableChange:
    def of(wanted: Role) -> Arrays:
        return {
            name.removeprefix(prefix): array
            for (role, name), array in parts.items()
            if role == wanted and name.startswith(prefix)
        }

    return TableChange(buckets, of(Role.CHANGED), of(Role.SPECIAL), of(Role.PLACES), of(Role.VALUES))
