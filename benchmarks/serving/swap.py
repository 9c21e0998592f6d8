"""Swapping under load: requests that failed or were answered by another version than they name, and what it costs.

`python -m benchmarks.serving.swap` prints its figures.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures, at_most
from benchmarks.serving.stage import SERVER_CORE, Service, Versions, infer_request, packed_model, rss_mb, serving
from benchmarks.serving.swap_versions import Made, Swappable
from benchmarks.serving.told_registry import ToldRegistry, started
from benchmarks.serving.watching_load import Seen, WatchingLoad
from martlet.versions import VersionState

RATE: Final = 500.0
LOAD_CORE: Final = 1 - SERVER_CORE
ONE_IN: Final = 10  # is broken
BUCKETS: Final = 1 << 16
TOLERANCE: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    swaps: int
    steady_seconds: float
    pause: float
    long_swaps: int
    distinct: int


QUICK = Size(swaps=100, steady_seconds=5.0, pause=0.05, long_swaps=300, distinct=40)
FULL = Size(swaps=1000, steady_seconds=60.0, pause=0.25, long_swaps=10_000, distinct=200)


@dataclass(slots=True)
class Drive:
    """A model in serving, and the versions it was told to have."""

    registry: ToldRegistry
    versions: Swappable
    serving: Service
    request: Path
    made: dict[int, Made] = field(default_factory=dict)
    base: Made | None = None

    async def begin(self) -> None:
        """The first version, as the pin."""
        base = self.base = self._note(self.versions.base())
        self.registry.aspire((base.number, base.digest))
        await self._settled(base, VersionState.READY)

    async def swap(self, *, broken: bool = False) -> Made:
        """One more head; returns when it is READY, or has failed."""
        assert self.base is not None
        made = self._note(self.versions.broken() if broken else self.versions.sound())
        self.registry.aspire((self.base.number, self.base.digest), (made.number, made.digest))
        await self._settled(made, VersionState.FAILED if broken else VersionState.READY)
        return made

    async def _settled(self, made: Made, wanted: VersionState) -> None:
        found = await self.registry.settled(made.number, (VersionState.READY, VersionState.FAILED))
        if found is not wanted:
            raise RuntimeError(f"version {made.number} is {found.name}, not {wanted.name}")

    def wrong(self, seen: Seen) -> int:
        """Answers that do not say what the version that they name says, or name one that cannot be served."""
        return sum(
            sum(counts.values()) - self._right(version, counts, seen) for version, counts in seen.answers.items()
        )

    def _right(self, version: str, counts: dict[str, int], seen: Seen) -> int:
        made = self.made.get(int(version))
        if made is not None and made is self.base:
            return max(counts.values())
        if made is None or made.expected is None:
            return 0
        near = abs(seen.values[version] - made.expected) <= TOLERANCE * max(1.0, abs(made.expected))
        return max(counts.values()) if near else 0

    def _note(self, made: Made) -> Made:
        self.made[made.number] = made
        return made


@asynccontextmanager
async def driven(distinct: int) -> AsyncIterator[Drive]:
    """A serving process on its core with a told registry in this one."""
    with tempfile.TemporaryDirectory(prefix="martlet-swap-") as name:
        folder = Path(name)
        model = packed_model()
        versions = Swappable(Versions(model, folder, BUCKETS), folder, distinct)
        request = folder / "request.bin"
        request.write_bytes(infer_request(model, versions.probe))
        registry = ToldRegistry(model.name)  # type: ignore[abstract]  # it plays three of its RPCs
        server, address = await started(registry)
        settings = {"MARTLET_SERVING_MAX_MEAN_LOGIT_SHIFT": "1000"}
        with ExitStack() as stack:
            # In a thread: the registry that it waits for is on this loop.
            service = await asyncio.to_thread(stack.enter_context, serving(folder, address, settings))
            drive = Drive(registry, versions, service, request)
            await drive.begin()
            yield drive
        await server.stop(0)


async def under_load(figures: Figures, size: Size) -> None:
    """Consecutive swaps under a steady load, one in ten of them broken."""
    async with driven(size.distinct) as drive:
        load = WatchingLoad(drive.serving.address, drive.request, RATE, LOAD_CORE)
        await asyncio.sleep(2.0)
        steady = time.monotonic()
        await asyncio.sleep(size.steady_seconds)
        begun = time.monotonic()
        for number in range(size.swaps):
            await drive.swap(broken=number % ONE_IN == ONE_IN - 1)
            await asyncio.sleep(size.pause)
        ended = time.monotonic()
        await asyncio.sleep(1.0)
        seen = await asyncio.to_thread(load.end)
    p99_steady, p99 = seen.quantile_ms(0.99, steady, begun), seen.quantile_ms(0.99, begun, ended)
    waits = [seen.first[v] - drive.registry.told[int(v)] for v in seen.first if drive.made[int(v)].expected is not None]
    figures.add("swap.swaps", size.swaps, "swaps")
    figures.add("swap.swaps_per_s", size.swaps / (ended - begun), "swaps/s")
    figures.add("swap.requests", sum(seen.codes.values()), "requests")
    figures.add("swap.failed_requests", seen.failed, "requests", at_most(0))
    figures.add("swap.wrong_version", drive.wrong(seen), "answers", at_most(0))
    figures.add("swap.versions_seen", len(seen.answers), "versions")
    figures.add("swap.p99_steady_ms", p99_steady, "ms")
    figures.add("swap.p99_ms", p99, "ms")
    figures.add("swap.p99_ratio", p99 / p99_steady, "", at_most(1.2))
    figures.add("swap.told_to_first_p50_ms", float(np.median(waits)) * 1e3, "ms")
    figures.add("swap.told_to_first_p99_ms", float(np.quantile(waits, 0.99)) * 1e3, "ms")


async def many(figures: Figures, size: Size) -> None:
    """A long row of swaps: what stays behind in memory, and whether answers become slower."""
    async with driven(size.distinct) as drive:
        pid = drive.serving.process.pid
        load = WatchingLoad(drive.serving.address, drive.request, 100.0, LOAD_CORE)
        resident: list[float] = []
        begun = time.monotonic()
        for _ in range(size.long_swaps):
            await drive.swap()
            resident.append(rss_mb(pid) * 1e3)
        ended = time.monotonic()
        seen = await asyncio.to_thread(load.end)
    tail = resident[len(resident) // 5 :]
    slope = float(np.polyfit(np.arange(len(tail)), tail, 1)[0])
    tenth = (ended - begun) / 10
    early = seen.quantile_ms(0.5, begun + tenth, begun + 3 * tenth)
    late = seen.quantile_ms(0.5, ended - 2 * tenth, ended)
    figures.add("swap.long_swaps", size.long_swaps, "swaps")
    figures.add("swap.rss_slope_kb", slope, "kB/swap", at_most(1.0))
    figures.add("swap.p50_drift", late / early - 1, "", at_most(0.05))
    figures.add("swap.long_failed", seen.failed + drive.wrong(seen), "answers", at_most(0))


def measure(figures: Figures, *, quick: bool) -> None:
    """All of it."""
    size = QUICK if quick else FULL
    asyncio.run(under_load(figures, size))
    asyncio.run(many(figures, size))


def main(arguments: Sequence[str]) -> None:
    """`python -m benchmarks.serving.swap`."""
    figures = Figures()
    measure(figures, quick="--quick" in arguments or os.environ.get("QUICK", "") not in {"", "0"})


if __name__ == "__main__":
    main(sys.argv[1:])
