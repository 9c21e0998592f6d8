"""`python -m benchmarks.training.delta`: how few bytes an update ships, and how soon it is live. QUICK=1: 40 seconds.

Deltas of touched slots against a full publish; rows as int8 against float32; a delta of 0.3 % of a float16 table's rows
from the store into serving's arena.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.training.delta_quality import quality
from martlet.artifacts import FolderStore
from martlet.manifest import BlobRef, TableManifest
from martlet.row_encoding import RowEncoding
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_chain import read_delta
from martlet.table_layout import SLOTS
from serving_svc.table_arena import TableArena, TableView
from trainer_svc.delta_tracker import Touched

LOAD: Final = 0.93
WIDTH: Final = 16
DENSE_WEIGHTS: Final = 128_000  # of a 20 x 16 -> 256-128-64 network; they travel whole with every version
KEY_BYTES: Final = 8
NEW_KEYS: Final = 0.02  # of the touched buckets have a new key


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rows: of the table whose deltas are weighed.
        examples: of the stream that int8 is judged on.
        live_rows: of the tables that a delta goes live in.
    """

    rows: int
    examples: int
    live_rows: tuple[int, ...]


QUICK: Final = Size(200_000, 400_000, (1_000_000, 10_000_000))
FULL: Final = Size(1_000_000, 4_000_000, (1_000_000, 10_000_000, 100_000_000))


def sizes(figures: Figures, size: Size) -> None:
    """Bytes of a full publish and of deltas at 1 % touched rows."""
    random = np.random.default_rng(5)
    base = _table(size.rows, WIDTH, "float32", random)
    dense = len(encode_dense({"w": random.normal(size=DENSE_WEIGHTS).astype(np.float32)}))
    touched = _touched(base.buckets, size.rows // 100, random)
    delta = _delta(touched, WIDTH, "float32", random)
    full = len(encode_base(base)) + dense
    exact, half, eighth = (len(encode_delta(delta, encoding)) for encoding in RowEncoding)
    count = delta.rows.shape[0]
    figures.add("delta.full_bytes", full, "bytes")
    figures.add("delta.float32_bytes_per_row", exact / count, "bytes")
    figures.add("delta.float16_bytes_per_row", half / count, "bytes")
    figures.add("delta.int8_bytes_per_row", eighth / count, "bytes")
    figures.add("delta.shrink_vs_full", full / (exact + dense), "x", at_least(20))
    figures.add("delta.shrink_vs_full_int8", full / (eighth + dense), "x")
    figures.add("delta.int8_vs_fp32_rows", exact / eighth, "x", at_least(3))
    keyed = count * (KEY_BYTES + 4 * WIDTH)  # ids and rows, as a parameter server would push them
    figures.add("delta.int8_vs_keyed_fp32_rows", keyed / eighth, "x")


def live(figures: Figures, rows: int, width: int = 8, share: float = 0.003, rounds: int = 5) -> None:
    """A delta of so many rows of a float16 table: read, verified, derived, its predecessor released."""
    random = np.random.default_rng(6)
    base = _table(rows, width, "float16", random)
    with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
        store = FolderStore(Path(folder) / "artifacts")
        table = _published(store, base, width, int(rows * share), rounds, random)
        arena = TableArena(Path(folder) / "arena", base, width, headroom=0.1)
        held = base.keys.nbytes + base.rows.nbytes + arena.root().directory.nbytes
        del base
        seconds, released, extra = _swaps(store, table, arena, rounds)
        arena.close()
    name = f"{rows // 1_000_000}m"
    figures.add(f"delta.live_ms_{name}", 1000 * float(np.median(seconds)), "ms", at_most(1000))
    figures.add(f"delta.release_ms_{name}", 1000 * float(np.median(released)), "ms")
    figures.add(
        f"delta.live_extra_memory_{name}", 100 * max(extra) / held, "% of what the version before takes", at_most(5)
    )


def _swaps(
    store: FolderStore, table: TableManifest, arena: TableArena, rounds: int
) -> tuple[list[float], list[float], list[int]]:
    view, seconds, released, extra = arena.root(), [], [], []
    for position in range(rounds):
        free, began = arena.free_buckets, time.perf_counter()
        child = arena.derive(view, read_delta(store, table, position))
        ready = time.perf_counter()
        copied = free - arena.free_buckets
        arena.release(view)
        seconds.append(ready - began)
        released.append(time.perf_counter() - ready)
        extra.append(copied * _bucket_bytes(arena) + child.directory.nbytes)
        _check(arena, child)
        view = child
    return seconds, released, extra


def _check(arena: TableArena, view: TableView) -> None:
    if np.isnan(arena.rows[view.special]).any():
        raise AssertionError("the special rows are not there")


def _published(
    store: FolderStore, base: TableBase, width: int, touched: int, rounds: int, random: np.random.Generator
) -> TableManifest:
    """The chain in a store; the base's blob is not needed."""
    table = TableManifest("t", width, base.buckets, "float16", BlobRef("mt1-" + "0" * 64, 0))
    for _ in range(rounds):
        delta = _delta(_touched(base.buckets, touched, random), width, "float16", random)
        previous = (table.base, *table.deltas)[-1].digest
        named = TableDelta(
            len(table.deltas) + 1, previous, delta.buckets, delta.row_mask, delta.key_mask, delta.keys, delta.rows,
            delta.special,
        )  # fmt: skip
        blob = store.put(encode_delta(named))
        table = TableManifest("t", width, base.buckets, "float16", table.base, (*table.deltas, blob))
    return table


def _table(rows: int, width: int, dtype: str, random: np.random.Generator) -> TableBase:
    buckets = int(rows / LOAD / SLOTS)
    pool = random.normal(0, 0.1, 1 << 16).astype(dtype)
    return TableBase(
        random.integers(-(1 << 62), 1 << 62, (buckets, SLOTS)),
        np.resize(pool, (buckets, SLOTS, width)),
        np.zeros((3, width), dtype),
    )


def _touched(buckets: int, rows: int, random: np.random.Generator) -> Touched:
    """So many random rows, a few of them of new keys."""
    slots = np.sort(random.choice(buckets * SLOTS, rows, replace=False))
    numbers, first = np.unique(slots // SLOTS, return_index=True)
    bits = (1 << slots % SLOTS).astype(np.uint8)
    masks = np.bitwise_or.reduceat(bits, first)
    return Touched(numbers.astype(np.int32), masks, np.where(random.random(masks.shape) < NEW_KEYS, masks, 0))


def _delta(touched: Touched, width: int, dtype: str, random: np.random.Generator) -> TableDelta:
    count, keys = (int(np.bitwise_count(mask).sum()) for mask in (touched.rows, touched.keys))
    rows: npt.NDArray[np.float32] = random.normal(0, 0.1, (count, width)).astype(np.float32)
    return TableDelta(
        1, "", touched.buckets, touched.rows, touched.keys.astype(np.uint8), random.integers(0, 1 << 62, keys),
        rows.astype(dtype), np.zeros((3, width), dtype),
    )  # fmt: skip


def _bucket_bytes(arena: TableArena) -> int:
    return arena.keys.itemsize * SLOTS + arena.rows.itemsize * arena.rows.shape[1] * SLOTS


def measure(figures: Figures, size: Size) -> None:
    """All of it."""
    sizes(figures, size)
    quality(figures, size.examples)
    for rows in size.live_rows:
        live(figures, rows)


def main() -> None:
    """Measures and writes out/bench/delta.json."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    figures = Figures()
    measure(figures, QUICK if quick else FULL)
    figures.write(Path("out/bench/delta.json"))


if __name__ == "__main__":
    main()
