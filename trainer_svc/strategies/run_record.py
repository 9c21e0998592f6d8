"""What is known of a strategy's run: one small file in its folder, format 1, replaced whole."""

from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from martlet.durable import write_durably
from martlet.errors import Corrupt, NotFound

RUN_FORMAT: Final = 1
_NAME: Final = "run.json"


class RunState(StrEnum):
    """How far a run has come.

    ASKED: it is to begin, or to go on after a crash. LEARNING: a process is at it. OFFERED: its version is on the
    structural road, or has left it. LIVE: its version was promoted and learning went on from it. FAILED: it ended with
    an error, or its version was refused; `error` says why.
    """

    ASKED = "asked"
    LEARNING = "learning"
    OFFERED = "offered"
    LIVE = "live"
    FAILED = "failed"


class Run(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        strategy, reason: what is done, and why; `who` asked for it, with whose token or certificate (`caller`).
        state: how far it has come.
        asked_us: wall time at which it was asked for.
        event_time_us: how far event time had come then.
        until: partition → position up to which the run learns the log.
        model_ref: the model that it learns, as `package.module:NAME`.
        parent: digest of the version that it goes on from; "": from nothing.
        parent_lineage: the folder's name of the lineage that made that one.
        parent_name: that lineage's own name, which the run's begins with.
        journal_position: where the live lineage's journal stood then.
        version, digest: what came of it.
        live_examples: what the live learner had learned when it was asked for.
        examples: learned by the run, in `cpu_seconds` of processors.
        report: what was taken over from where, for people.
        options: of a backfill (see `trainer_svc.backfill.run.BackfillOptions`).
    """

    strategy: str
    reason: str
    who: str
    asked_us: int
    event_time_us: int
    until: dict[str, int]
    model_ref: str
    parent_name: str
    parent: str = ""
    parent_lineage: str = ""
    journal_position: int = 0
    state: RunState = RunState.ASKED
    version: int = 0
    digest: str = ""
    live_examples: int = 0
    examples: int = 0
    cpu_seconds: float = 0.0
    error: str = ""
    report: tuple[str, ...] = ()
    options: dict[str, str] = {}
    caller: str = ""
    format: int = RUN_FORMAT


class RunRecord(NamedTuple):
    """A run and the name of its folder."""

    name: str
    run: Run


def read_run(folder: Path) -> Run:
    """The run of a folder.

    Raises:
        NotFound: it holds none.
        Corrupt: the file is damaged or of another format.
    """
    try:
        run = msgspec.json.decode((folder / _NAME).read_bytes(), type=Run)
    except FileNotFoundError as error:
        raise NotFound(f"{folder} holds no run") from error
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{folder / _NAME}: {error}") from error
    if run.format != RUN_FORMAT:
        raise Corrupt(f"{folder / _NAME} is of format {run.format}, which is not known here (known: {RUN_FORMAT})")
    return run


def write_run(folder: Path, run: Run) -> None:
    """Replaces what is known, durably."""
    write_durably(folder / _NAME, memoryview(msgspec.json.encode(run)))
