"""`python -m benchmarks.training.table`: the embedding table's memory, lookups and growth. QUICK=1: without 100 M keys.

Keys are random; a table is made for them at 0.93 full and filled in batches, as learning does. Memory is what the
process holds in memory more than before the table was made. Speed is by the thread's processor time.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from martlet.table_layout import SLOTS
from trainer_svc.table import EmbeddingTable, TableFull
from trainer_svc.table.growth import GROW_LOAD

WIDTH: Final = 8
SPECIALS: Final = 2
BATCH: Final = 1 << 16
NEW_KEYS: Final = 1000
READS: Final = 5
GIGA: Final = 1e9
PAGE: Final = os.sysconf("SC_PAGE_SIZE")

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: keys held by each table, keys looked up, and keys of the rival."""

    held: tuple[int, ...]
    looked_up: int
    rival: int


QUICK: Final = Size(held=(10_000_000,), looked_up=4_000_000, rival=1_000_000)
FULL: Final = Size(held=(10_000_000, 100_000_000), looked_up=20_000_000, rival=10_000_000)


def tables(figures: Figures, size: Size) -> None:
    """Memory and speed of tables of 8 float16 and an accumulator a row; the first one also grows."""
    for position, held in enumerate(size.held):
        suffix = f"_{held // 1_000_000}m"
        gc.collect()
        before = resident()
        with ThreadPoolExecutor(1) as helper:
            table = empty(int(held / (SLOTS * GROW_LOAD)) + 1, helper)
            inserted = fill(table, held)
            taken = resident() - before
            if position == 0:
                figures.add("table.bytes_per_key", taken / table.size, "bytes")
            figures.add(f"table.resident_gb{suffix}", taken / GIGA, "GB", at_most(4.0) if held >= 10**8 else None)
            figures.add(f"table.inserts_per_s{suffix}", inserted, "keys/s/core")
            lookups(figures, table, held, size.looked_up, "" if held == size.held[-1] else suffix)
            if position == 0:
                growth(figures, table, held, before)


def lookups(figures: Figures, table: EmbeddingTable, held: int, count: int, suffix: str) -> None:
    """Keys found, and rows read, in batches; all are held, in random order."""
    wanted = [keys for keys, _ in zip(batches(held), range(count // BATCH), strict=False)]
    seconds = cpu_seconds(lambda: [table.find(keys) for keys in wanted])
    figures.add(f"table.lookups_per_s{suffix}", len(wanted) * BATCH / seconds, "keys/s/core", at_least(5e6))
    seconds = cpu_seconds(lambda: [table.gather(table.find(keys)) for keys in wanted])
    figures.add(f"table.rows_read_per_s{suffix}", len(wanted) * BATCH / seconds, "rows/s/core")


def growth(figures: Figures, table: EmbeddingTable, held: int, before: int) -> None:
    """A growth beside reading: the most memory while it goes on, and how long its begin and its end took.

    A step here reads 320,000 rows and brings 1,000 new keys, which is about a batch of 4,096 examples.
    """
    peak, stalls, new, known = 0, [0.0], fresh_keys(held), next(batches(held))
    buckets = table.buckets
    while table.buckets == buckets:
        upsert(table, next(new)[:NEW_KEYS])
        for _ in range(READS):
            table.gather(table.find(known))
        peak = max(peak, resident() - before)
        began = time.perf_counter()
        table.end_step()
        stalls.append(time.perf_counter() - began)
    figures.add("table.growth_peak_gb", peak / GIGA, "GB")
    figures.add("table.growth_longest_stall_s", max(stalls), "s")


def fullest(figures: Figures) -> None:
    """How full a table is when it asks to be grown, and when a key first finds no place."""
    table = empty(250_000, None)
    try:
        fill(table, table.slots)
    except TableFull:
        figures.add("table.fill", table.size / table.slots, "share of slots", at_least(0.93))


def rival(figures: Figures, keys: int) -> None:
    """A dict from key to row number, as a table in Python would have it."""
    gc.collect()
    before, held = resident(), np.concatenate(list(batches(keys)))
    numbers = {key: row for row, key in enumerate(held.tolist())}
    figures.add("table.rivals.dict_bytes_per_key", (resident() - before) / len(numbers), "bytes")
    wanted = held[:1_000_000].tolist()
    seconds = cpu_seconds(lambda: [numbers[key] for key in wanted])
    figures.add("table.rivals.dict_lookups_per_s", len(wanted) / seconds, "keys/s/core")


def empty(buckets: int, helper: ThreadPoolExecutor | None) -> EmbeddingTable:
    """A table of 8 float16 a row with row-wise state."""
    return EmbeddingTable("t8", WIDTH, buckets, SPECIALS, dtype="float16", helper=helper)


def fill(table: EmbeddingTable, count: int) -> float:
    """Gives so many keys rows; returns keys a second of processor time."""
    upsert(empty(100, None), np.arange(3))  # compiles
    seconds, done = 0.0, 0
    for keys in batches(count):
        began = time.thread_time()
        upsert(table, keys)
        seconds += time.thread_time() - began
        done += keys.shape[0]
    return done / seconds


def upsert(table: EmbeddingTable, keys: Int64s) -> None:
    """Rows for keys of one space."""
    table.upsert(keys, np.zeros(keys.shape[0], np.uint16), np.ones(keys.shape[0], np.int64), 1)


def batches(count: int) -> Iterator[Int64s]:
    """So many random keys, always the same."""
    for start in range(0, count, BATCH):
        yield np.random.default_rng(start).integers(-(1 << 63), (1 << 63) - 1, min(BATCH, count - start))


def fresh_keys(held: int) -> Iterator[Int64s]:
    """Random keys that no table here holds."""
    start = held + 1
    while True:
        yield np.random.default_rng(start).integers(-(1 << 63), (1 << 63) - 1, BATCH)
        start += BATCH


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least processor time of three runs."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def main() -> None:
    """Measures, and writes out/bench/table.json."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    size, figures = (QUICK if quick else FULL), Figures()
    fullest(figures)
    tables(figures, size)
    rival(figures, size.rival)
    figures.write(Path("out/bench/table.json"))


if __name__ == "__main__":
    main()
