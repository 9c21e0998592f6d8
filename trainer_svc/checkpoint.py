"""Checkpoints: the trainer's whole state as one commit.

Format 1: a folder named by the step, with `arrays.safetensors`, `state.msgpack`, and `checkpoint.json`, which holds the
digests of both and is written last. The folder is made aside and renamed, so it is there whole or not at all.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from martlet.digest import blob_digest
from martlet.errors import Corrupt

logger = logging.getLogger(__name__)

CHECKPOINT_FORMAT: Final = 1
Arrays = Mapping[str, npt.NDArray[np.generic]]


class CheckpointStore:
    """A folder of checkpoints. One writer; not thread-safe."""

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder = folder
        self._kept = kept
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, arrays: Arrays, document: bytes) -> None:
        """Commits a checkpoint, then removes the oldest beyond those kept."""
        part = self._folder / ".part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        blobs = {"arrays.safetensors": save(dict(arrays)), "state.msgpack": document}
        head = {
            "format": CHECKPOINT_FORMAT,
            "step": step,
            "files": {name: blob_digest(data) for name, data in blobs.items()},
        }
        for name, data in {**blobs, "checkpoint.json": json.dumps(head, sort_keys=True).encode()}.items():
            _write(part / name, data)
        _sync(part)
        target = self._folder / f"{step:012d}"
        if target.exists():  # the same step again holds the same state
            shutil.rmtree(target)
        part.rename(target)
        _sync(self._folder)
        for old in self._steps()[: -self._kept]:
            shutil.rmtree(self._folder / f"{old:012d}")

    def newest(self) -> tuple[int, Arrays, bytes] | None:
        """The newest whole checkpoint as (step, arrays, document); damaged ones are passed over and told."""
        for step in reversed(self._steps()):
            try:
                return (step, *self._load(step))
            except (Corrupt, OSError) as error:
                logger.warning("checkpoint %d cannot be used: %s", step, error)
        return None

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def _load(self, step: int) -> tuple[Arrays, bytes]:
        folder = self._folder / f"{step:012d}"
        head = json.loads((folder / "checkpoint.json").read_bytes())
        if head.get("format") != CHECKPOINT_FORMAT:
            raise Corrupt(f"checkpoint format {head.get('format')!r} is not known here (known: {CHECKPOINT_FORMAT})")
        blobs = {name: (folder / name).read_bytes() for name in ("arrays.safetensors", "state.msgpack")}
        for name, data in blobs.items():
            if head["files"].get(name) != blob_digest(data):
                raise Corrupt(f"{name} does not match its digest")
        return load(blobs["arrays.safetensors"]), blobs["state.msgpack"]


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
