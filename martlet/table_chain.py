"""A base and the deltas behind it: their order, and the table that they give. Pure, apart from reading blobs.

The chain is a log: from a base and the deltas after it any later table is put together, bit for bit.
"""

from collections.abc import Iterable
from typing import Final

from martlet.artifacts.port import ArtifactStore
from martlet.errors import Corrupt, InvalidInput
from martlet.manifest import BlobRef, TableManifest
from martlet.table_blobs import TableBase, TableDelta, decode_base, decode_delta, places

WHOLE: Final = -1


def check_link(delta: TableDelta, table: str, sequence: int, previous: str) -> None:
    """Passes a delta that stands at this place of a chain.

    Raises:
        Corrupt: it is another one's place: a gap, a repetition, a swap, or a delta of another chain.
    """
    if delta.sequence != sequence:
        raise Corrupt(f"table {table!r}: delta {delta.sequence} stands where delta {sequence} belongs")
    if delta.previous != previous:
        raise Corrupt(
            f"table {table!r}: delta {sequence} does not belong behind {previous}: it follows {delta.previous or '?'}"
        )


def replayed(base: TableBase, deltas: Iterable[TableDelta]) -> TableBase:
    """The table after these deltas. The base stays as it is.

    Raises:
        Corrupt: a delta has other special rows, another width or dtype than the base.
    """
    keys, rows, special = base.keys.copy(), base.rows.copy(), base.special
    for delta in deltas:
        check_fit(delta, base)
        bucket, place = places(delta.key_mask)
        keys[delta.buckets[bucket], place] = delta.keys
        bucket, place = places(delta.row_mask)
        rows[delta.buckets[bucket], place] = delta.rows
        special = delta.special
    return TableBase(keys, rows, special)


def check_fit(delta: TableDelta, base: TableBase) -> None:
    """Passes a delta whose arrays fit a base.

    Raises:
        Corrupt: other special rows, another width or another dtype.
    """
    if delta.special.shape != base.special.shape or delta.rows.shape[1] != base.rows.shape[2]:
        raise Corrupt("a delta has other special rows or another width than its base")
    if not delta.rows.dtype == delta.special.dtype == base.rows.dtype:
        raise Corrupt(f"a delta has rows of {delta.rows.dtype}, its base of {base.rows.dtype}")


def read_delta(store: ArtifactStore, table: TableManifest, position: int) -> TableDelta:
    """The delta at this position of a table's chain (from 0), which says that it stands there.

    Raises:
        Corrupt: damaged, or out of its place.
        NotFound: absent.
    """
    delta = decode_delta(store.get(table.deltas[position]), table.width, table.buckets, table.dtype)
    check_link(delta, table.name, position + 1, predecessor(table, position).digest)
    return delta


def predecessor(table: TableManifest, position: int) -> BlobRef:
    """The blob before the delta at this position."""
    return (table.base, *table.deltas)[position]


def read_table(store: ArtifactStore, table: TableManifest, length: int = WHOLE) -> TableBase:
    """A version's table from its base and chain; `length`: only so many deltas of it, for an earlier version's.

    Raises:
        Corrupt: a blob is damaged, or out of its place in the chain.
        NotFound: a blob is absent.
        InvalidInput: the chain is shorter.
    """
    count = len(table.deltas) if length == WHOLE else length
    if not 0 <= count <= len(table.deltas):
        raise InvalidInput(f"table {table.name!r} has a chain of {len(table.deltas)} deltas, not {length}")
    base = decode_base(store.get(table.base), table.width, table.buckets, table.dtype)
    if not count:
        return base  # which may be most of the memory: not copied for nothing
    return replayed(base, (read_delta(store, table, position) for position in range(count)))
