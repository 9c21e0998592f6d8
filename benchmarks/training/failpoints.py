"""Named points at which a trainer's process kills itself. They are put into a started process from outside.

The product knows nothing of them: functions at its seams are wrapped.
"""

import importlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

# (module, attribute path) → the point's name; it is reached before and after each call.
SEAMS: Final = {
    ("martlet.eventlog.file_log", "_write_all"): "log_written",  # after: in the file, not yet synced
    ("martlet.eventlog.file_log", "FileEventWriter._set_durable"): "log_durable",  # before: synced, not acknowledged
    ("trainer_svc.journal", "LogJournal.append"): "journal",
    ("trainer_svc.training_state", "TrainingState.take_step"): "step",
    ("trainer_svc.training_state", "TrainingState.take_off"): "take_off",
    ("trainer_svc.training_state", "TrainingState.land"): "acknowledgement",
    ("trainer_svc.training_state", "TrainingState.rewind"): "rewind",
    ("trainer_svc.training_state", "TrainingState.restore"): "restore",
    ("trainer_svc.checkpoints.folder", "write_part"): "checkpoint",
    ("trainer_svc.checkpoints.part_file", "_TreeWriter.digest"): "checkpoint_body",  # not yet synced, nor renamed
    ("trainer_svc.checkpoints.part_file", "sync_folder"): "checkpoint_renamed",
    ("trainer_svc.checkpoints.folder", "FolderCheckpoints._write_base"): "checkpoint_base",
    ("trainer_svc.checkpoints.folder", "FolderCheckpoints._prune"): "checkpoint_prune",
    ("trainer_svc.version_builder", "VersionBuilder.build"): "build",
    ("trainer_svc.publisher", "Publisher._send"): "publish",
}
POINTS: Final = tuple(f"{name}.{when}" for name in SEAMS.values() for when in ("before", "after"))


@dataclass(slots=True)
class Failpoint:
    """Where the process dies: the `hits`-th time that it comes to a point. Thread-safe."""

    point: str
    hits: int

    def reach(self, point: str) -> None:
        """The process has come to a point."""
        if point != self.point:
            return
        with _LOCK:
            self.hits -= 1
            if self.hits == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_LOCK: Final = threading.Lock()


def install(failpoint: Failpoint) -> None:
    """Wraps the seams of this process."""
    for (module, path), name in SEAMS.items():
        if failpoint.point.startswith(f"{name}."):
            _wrap(importlib.import_module(module), path.split("."), name, failpoint.reach)


def _wrap(owner: Any, path: list[str], name: str, reach: Callable[[str], None]) -> None:
    for part in path[:-1]:
        owner = getattr(owner, part)
    inner = getattr(owner, path[-1])

    def wrapped(*arguments: Any, **named: Any) -> Any:
        reach(f"{name}.before")
        result = inner(*arguments, **named)
        reach(f"{name}.after")
        return result

    setattr(owner, path[-1], wrapped)
