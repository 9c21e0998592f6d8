"""`python -m benchmarks.operations.fuzz`: hostile bytes at every reader and every RPC, counted. QUICK=1: a tenth.

Each target has a process of its own: one that dies, hangs or raises what is not the domain's is a crash, and its input
is kept in `out/fuzz/`.
"""

import faulthandler
import hashlib
import logging
import multiprocessing as mp
import os
import shutil
import signal
import sys
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from benchmarks.figures import Figures, at_least, at_most
from tests.fuzz.edges import Edges
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import FINE, Target, scratch, targets

KEPT = Path("out/fuzz")
HANG_SECONDS = 10
MOST_KEPT = 20  # of one target
SERVICES = {
    "rpc serving": "martlet.v1.Serving",
    "rpc events": "martlet.v1.Events",
    "rpc registry": "martlet.v1.R",
    "rpc trainer": "martlet.v1.Trainer",
    "rpc open inference": "inference.",
}
READERS = (
    *("events", "trainer intake", "log segment", "journal", "manifest", "signature", "base", "delta", "dense"),
    *("checkpoint", "graph", "settings", "rollout policy", "tokens"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many inputs each target gets; those of YAML and of files are slower, and get fewer."""

    inputs: int
    seed: int = 1


QUICK = Size(1_100)
FULL = Size(11_000)


@dataclass(slots=True)
class Found:
    """What came of one target: how many inputs, how many were refused in words, and what went wrong."""

    inputs: int = 0
    refused: int = 0
    crashes: list[tuple[str, bytes]] = field(default_factory=list)


class HangError(Exception):
    """An input took longer than anything may."""


def fuzz(figures: Figures, size: Size) -> None:
    """Feeds all targets, and adds the figures."""
    found = {name: _apart(name, size) for name in (*READERS, *SERVICES)}
    inputs, refused = sum(one.inputs for one in found.values()), sum(one.refused for one in found.values())
    crashes = [(name, *crash) for name, one in found.items() for crash in one.crashes]
    for name, told, data in crashes:
        KEPT.mkdir(parents=True, exist_ok=True)
        path = KEPT / f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        sys.stderr.write(f"{name}: {told} ({path})\n")
    figures.add("fuzz.targets", len(found), "")
    figures.add("fuzz.inputs", inputs, "inputs", at_least(10 * 19 * size.inputs // 11))
    figures.add("fuzz.refused_share", refused / max(inputs, 1), "")
    hangs = sum(told.startswith(HangError.__name__) for _, told, _ in crashes)
    figures.add("fuzz.crashes", len(crashes) - hangs, "", at_most(0))
    figures.add("fuzz.hangs", hangs, "", at_most(0))


def _apart(name: str, size: Size) -> Found:
    """One target in a process of its own; if that dies, the input at which it did is the crash."""
    receiver, sender = mp.Pipe(duplex=False)
    folder = scratch()
    began = time.monotonic()
    process = mp.get_context("spawn").Process(target=_child, args=(name, size, folder, sender))
    process.start()
    sender.close()
    try:
        found: Found = receiver.recv()
    except EOFError:
        last = folder / "last"
        found = Found(0, 0, [("the process died", last.read_bytes() if last.exists() else b"")])
    process.join()
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"{name}: {found.inputs} inputs, {len(found.crashes)} crashes, {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return found


def _child(name: str, size: Size, folder: Path, sender: "mp.connection.Connection") -> None:
    faulthandler.enable()
    logging.disable()
    signal.signal(signal.SIGALRM, _hangs)
    if name in SERVICES:
        with Edges(folder) as edges:
            sender.send(_fed(Target(edges.seeds(SERVICES[name]), edges.call), name, size, folder))
    else:
        sender.send(_fed(targets(folder)[name], name, size, folder))


def _fed(target: Target, name: str, size: Size, folder: Path) -> Found:
    random = Random(zlib.crc32(name.encode()) + size.seed)  # noqa: S311  the same inputs each time
    found = Found()
    last = os.open(folder / "last", os.O_RDWR | os.O_CREAT)
    while found.inputs < size.inputs and len(found.crashes) < MOST_KEPT:
        data = mutated(random, target.seeds)
        os.pwrite(last, data, 0)
        os.ftruncate(last, len(data))
        found.inputs += 1
        signal.alarm(HANG_SECONDS)
        try:
            target.read(data)
        except FINE:
            found.refused += 1
        except Exception as error:  # noqa: BLE001  whatever it is, it is what was looked for
            found.crashes.append((f"{type(error).__name__}: {error}"[:300], data))
        finally:
            signal.alarm(0)
    os.close(last)
    return found


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise HangError(f"longer than {HANG_SECONDS} s")


def main() -> int:
    """0: nothing was found."""
    figures = Figures()
    fuzz(figures, QUICK if os.environ.get("QUICK") else FULL)
    return 0 if all(entry["met"] is not False for entry in figures.entries.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
