"""Checkpoints: the trainer's whole state in one file, from which a restart goes on.

Format 1: eight bytes (`MARTCKP` and the format number), SHA-256 of the rest, the journal's position (u64) up to which
its entries have taken effect, the step (u64), then the state as safetensors. Numbers are little-endian. A file appears
whole: written aside, synced, renamed.
"""

import contextlib
import hashlib
import logging
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from martlet.digest import blob_digest
from martlet.errors import Corrupt

CHECKPOINT_FORMAT: Final = 1
MOST_KEPT: Final = 64  # while nobody knows which one is needed, beside the oldest
MAGIC: Final = b"MARTCKP" + bytes([CHECKPOINT_FORMAT])
_PREFIX: Final = struct.Struct("<8s32s")
_WHERE: Final = struct.Struct("<QQ")

Arrays = dict[str, npt.NDArray[np.generic]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state, where it stands in the journal, and after which step."""

    journal_position: int
    step: int
    state: Mapping[str, npt.NDArray[np.generic]]


class CheckpointStore(Protocol):
    """What the loop asks of a store of checkpoints."""

    def write(self, checkpoint: Checkpoint) -> str:
        """Stores a checkpoint durably; gives the state's digest."""
        ...

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint."""
        ...

    def before(self, position: int) -> Checkpoint | None:
        """The newest whole checkpoint at or before a position of the journal."""
        ...

    def hold(self, position: int) -> None:
        """From now on keeps the newest checkpoint at or before this position of the journal, and all newer ones."""
        ...


def encode_state(state: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """A state as bytes: equal states give equal bytes."""
    return save({name: np.asarray(state[name], order="C") for name in sorted(state)})


def state_digest(state: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """The digest that equal states share."""
    return blob_digest(encode_state(state))


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint's file."""
    rest = _WHERE.pack(checkpoint.journal_position, checkpoint.step) + encode_state(checkpoint.state)
    return _PREFIX.pack(MAGIC, hashlib.sha256(rest).digest()) + rest


def decode_checkpoint(data: bytes) -> Checkpoint:
    """Reads a checkpoint's file.

    Raises:
        Corrupt: damaged, cut short, or of another format.
    """
    if len(data) < _PREFIX.size + _WHERE.size:
        raise Corrupt("a checkpoint cut short")
    magic, digest = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise Corrupt(f"no checkpoint of format {CHECKPOINT_FORMAT}")
    rest = memoryview(data)[_PREFIX.size :]
    if hashlib.sha256(rest).digest() != digest:
        raise Corrupt("a checkpoint does not match its digest")
    position, step = _WHERE.unpack_from(rest)
    return Checkpoint(position, step, load(bytes(rest[_WHERE.size :])))


class FolderCheckpoints:
    """Checkpoints in a folder, named by step and journal position. The last `keep` stay, and what `hold` says.

    Not thread-safe.

    Args:
        held: a position as for `hold`; None: nothing but the last ones is kept.
    """

    def __init__(self, folder: Path, keep: int, held: int | None = None) -> None:
        self._folder = folder
        self._held = held
        self._keep = max(1, keep)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink()

    def write(self, checkpoint: Checkpoint) -> str:
        """Stores a checkpoint durably, then removes old ones; gives the state's digest."""
        # A rewind changes the state between two steps: the one before it must not be overwritten.
        path = self._folder / f"{checkpoint.step:012d}-{checkpoint.journal_position:012d}.checkpoint"
        part = path.with_suffix(".part")
        data = encode_checkpoint(checkpoint)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(self._folder)
        self._prune()
        return blob_digest(memoryview(data)[_PREFIX.size + _WHERE.size :])

    def newest(self) -> Checkpoint | None:
        """The newest whole one. A damaged one is passed over: an older one and the journal give the same state."""
        return _first_whole(self._paths())

    def before(self, position: int) -> Checkpoint | None:
        """The newest whole one at or before a position of the journal."""
        return _first_whole([path for path in self._paths() if _position_of(path) <= position])

    def hold(self, position: int) -> None:
        """Keeps the newest one at or before a position, and all newer ones."""
        self._held = position

    def _prune(self) -> None:
        for old in self._dispensable(self._paths()):
            old.unlink()

    def _dispensable(self, paths: list[Path]) -> list[Path]:
        """What may go. As long as none is old enough for the held position, nearly all stay, the oldest in any case."""
        if self._held is None:
            return paths[self._keep :]
        for place, path in enumerate(paths):
            if _position_of(path) <= self._held:
                return paths[max(self._keep, place + 1) :]
        return paths[MOST_KEPT:-1]

    def _paths(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("*.checkpoint"), reverse=True)


def _first_whole(paths: Sequence[Path]) -> Checkpoint | None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            try:
                return decode_checkpoint(path.read_bytes())
            except Corrupt as error:
                logger.warning("%s is passed over: %s", path.name, error)
    return None


def _position_of(path: Path) -> int:
    """A checkpoint's position in the journal, from its first bytes; a file that has none stands before everything."""
    with path.open("rb") as file:
        start = file.read(_PREFIX.size + _WHERE.size)
    return int(_WHERE.unpack_from(start, _PREFIX.size)[0]) if len(start) == _PREFIX.size + _WHERE.size else 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
