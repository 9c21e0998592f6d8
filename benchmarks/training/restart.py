"""`python -m benchmarks.training.restart`: how long a trainer with a large table takes from its start until it learns.

QUICK=1: a million rows instead of ten.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures, at_most
from benchmarks.training.crash_model import WIDE
from martlet.client.health import Health, health_of
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.runtime.config import Config
from trainer_svc.audit import NoLetters
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import Checkpoint
from trainer_svc.event_source import EventSource
from trainer_svc.journal import PARTITION, LogJournal
from trainer_svc.learner import Learner
from trainer_svc.lineages.pace import CACHE_BYTES
from trainer_svc.lineages.state import beginning, make_state

MODEL_REF: Final = "benchmarks.training.crash_model:WIDE"
LOAD: Final = 0.9
SLOTS: Final = 4
STARTS: Final = 3
PORT: Final = "grpc_port"
PATIENCE: Final = 120.0


def restart(figures: Figures, rows: int, folder: Path) -> None:
    """Writes a checkpoint of so many rows of 8 columns, starts trainers on it: from exec until health is SERVING."""
    config = _config(folder)
    size = _checkpoint(config, rows)
    seconds = sorted(_start(config, folder) for _ in range(STARTS))
    name = f"{rows // 1_000_000}m"
    figures.add(f"crash.checkpoint_mb_{name}", size / 1e6, "MB")
    figures.add(f"crash.restart_s_{name}", seconds[STARTS // 2], "s", at_most(5.0))


def _config(folder: Path) -> Config:
    config = Config(data_dir=folder / "data")
    return replace(config, trainer=replace(config.trainer, model=MODEL_REF))


def _checkpoint(config: Config, rows: int) -> int:
    """A lineage that has only begun, but with so many rows; gives the checkpoint's size in bytes."""
    began = beginning(WIDE, config, "restart")
    writer = FileEventWriter(config.checkpoint_dir, PARTITION)
    position = LogJournal(writer, FileEventReader(config.checkpoint_dir)).append(began)
    writer.close()
    reader = FileEventReader(config.event_log_dir)
    state = make_state(began, WIDE, config, EventSource(reader, reader, 1 << 20, CACHE_BYTES), NoLetters()).state()
    learner = Learner(WIDE, int(rows / LOAD / SLOTS))
    (table,) = learner.tables.values()
    for start in range(0, rows, 1_000_000):
        keys = np.arange(start, min(start + 1_000_000, rows), dtype=np.int64)
        table.upsert(keys, np.zeros(keys.shape[0], np.uint16), np.ones(keys.shape[0], np.int64), 1)
    state |= {f"learner/{name}": array for name, array in learner.state().items()}
    folder = config.checkpoint_dir / "checkpoints"
    FolderCheckpoints(folder, 3).write(Checkpoint(position, 0, state))
    return max(folder.iterdir()).stat().st_size


def _start(config: Config, folder: Path) -> float:
    ports = folder / "ports"
    ports.unlink(missing_ok=True)
    own = {
        "MARTLET_TRAINER_MODEL": MODEL_REF,
        "MARTLET_TRAINER_GRPC_PORT": "0",
        "MARTLET_TRAINER_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "trainer_svc", "--data-dir", str(config.data_dir), "--ports-file", str(ports)]
    began = time.monotonic()
    with (folder / "trainer.log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)  # noqa: S603  our own module
    try:
        while not (ports.exists() and ports.read_text().endswith("}\n")):
            _check(process, began)
        address = f"127.0.0.1:{json.loads(ports.read_text())[PORT]}"
        while asyncio.run(health_of(address)) is not Health.SERVING:
            _check(process, began)
        return time.monotonic() - began
    finally:
        process.kill()
        process.wait()


def _check(process: "subprocess.Popen[bytes]", began: float) -> None:
    if process.poll() is not None or time.monotonic() > began + PATIENCE:
        raise RuntimeError("the trainer does not start")
    time.sleep(0.05)


def main() -> None:
    """Measures, and writes out/bench/restart.json."""
    quick, figures = os.environ.get("QUICK", "") not in {"", "0"}, Figures()
    with tempfile.TemporaryDirectory() as folder:
        restart(figures, 1_000_000 if quick else 10_000_000, Path(folder))
    figures.write(Path("out/bench/restart.json"))


if __name__ == "__main__":
    main()
