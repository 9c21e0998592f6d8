"""What reading the metrics takes: time and processor time of a scrape, with twenty versions about.

`python -m benchmarks.operations.scrape` (QUICK=1: fewer scrapes). A replica, and a host of two workers, hold twenty
versions at once, each asked by name; registry and trainer are those of a real loop that has published twenty. Nobody
else asks anything meanwhile. Processor time is what the processes tell of themselves, less what they take when idle.
"""

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from benchmarks.figures import Figures, at_most
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.versions import AspiredVersion, Role
from tests.integration.test_host import Host
from tests.integration.test_serving import CONTEXT, ITEMS
from tests.integration.tiny_version import MODEL
from tests.metrics.running_loop import Loop, running_loop

VERSIONS: Final = 20
IDLE_SECONDS: Final = 2.0
GOAL_MS: Final = 50.0
CALLERS: Final = 12  # fresh connections for each version, so that every worker of a host gets some
_CPU: Final = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)
_PUBLISHED: Final = re.compile(r"^martlet_trainer_published_version\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Size:
    """How many scrapes."""

    scrapes: int


QUICK: Final = Size(30)
FULL: Final = Size(300)


def scrape(figures: Figures, size: Size) -> None:
    """All services."""
    asyncio.run(_all(figures, size))


async def _all(figures: Figures, size: Size) -> None:
    for name, workers in (("serving", 1), ("serving_host_of_2", 2)):
        with tempfile.TemporaryDirectory() as folder:
            await _replica(figures, size, name, workers, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        async with running_loop(Path(folder)) as loop:
            await _until_published(loop)
            for service in ("registry", "trainer"):
                await asyncio.to_thread(_measure, figures, size, service, loop.ports[service].metrics_port)


async def _replica(figures: Figures, size: Size, name: str, workers: int, root: Path) -> None:
    """A host holds twenty versions, and has answered by each of them."""
    host = Host(root)
    await host.start(MARTLET_SERVING_WORKERS=str(workers))
    try:
        digests = [host.trainer.publish() for _ in range(VERSIONS)]
        roles = [Role.HEAD, Role.PIN, *[Role.CANDIDATE] * (VERSIONS - 2)]
        aspired = [
            AspiredVersion(n, digest, role, 0) for n, (digest, role) in enumerate(zip(digests, roles, strict=True), 1)
        ]
        host.registry.aspire(1, *aspired)
        wanted = set(range(1, VERSIONS + 1))
        await host.until(lambda: _holders(host, wanted) == workers)
        for version in wanted:
            await _asked(host, version)
        await asyncio.to_thread(_measure, figures, size, name, host.metrics_port)
    finally:
        host.process.terminate()
        await host.process.wait()
        await host.registry.server.stop(0)


def _holders(host: Host, versions: set[int]) -> int:
    return sum(held >= versions for held in host.registry.ready.values())


async def _asked(host: Host, version: int) -> None:
    for _ in range(CALLERS):
        async with ServingClient(f"127.0.0.1:{host.grpc_port}", policy=CallPolicy(timeout=10, tries=4)) as client:
            await client.rank(MODEL, 1, ITEMS, CONTEXT, version=version)


async def _until_published(loop: Loop) -> None:
    while True:
        await loop.act()
        found = _PUBLISHED.search(await loop.page("trainer"))
        if found is not None and float(found[1]) >= VERSIONS:
            return


def _measure(figures: Figures, size: Size, name: str, port: int) -> None:
    idle = _spent(lambda: time.sleep(IDLE_SECONDS), port)
    took: list[float] = []

    def scrapes() -> None:
        for _ in range(size.scrapes):
            began = time.perf_counter()
            _page(port)
            took.append(time.perf_counter() - began)

    spent = _spent(scrapes, port)
    page, lasted = _page(port), sum(took)
    series = sum(not line.startswith("#") for line in page.splitlines())
    own = max(0.0, spent - idle * lasted / IDLE_SECONDS)
    end = f"at_{VERSIONS}_versions"
    figures.add(f"scrape.{name}_ms_{end}", 1e3 * statistics.median(took), "ms", at_most(GOAL_MS))
    figures.add(f"scrape.{name}_p99_ms_{end}", 1e3 * sorted(took)[int(0.99 * len(took))], "ms")
    figures.add(f"scrape.{name}_cpu_ms_{end}", 1e3 * own / size.scrapes, "ms")
    figures.add(f"scrape.{name}_series_{end}", series, "series")
    figures.add(f"scrape.{name}_page_kb_{end}", len(page) / 1024, "KiB")


def _spent(work: Callable[[], None], port: int) -> float:
    """Processor seconds that the processes behind a page take meanwhile."""
    before = _cpu(port)
    work()
    return _cpu(port) - before


def _cpu(port: int) -> float:
    found = _CPU.search(_page(port))
    return float(found[1]) if found else float("nan")


def _page(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        return bytes(reply.read()).decode()


def main() -> int:
    """Measures, and writes out/bench/scrape.json; 1 if a goal is missed."""
    figures = Figures()
    scrape(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/scrape.json"))
    return int(any(entry["met"] is False for entry in figures.entries.values()))


if __name__ == "__main__":
    sys.exit(main())
