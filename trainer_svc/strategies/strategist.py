"""Runs beside the live learner: begun when asked or due, each in a process of its own that gives way, and watched.

The live learner is never waited for and never waits. A run that a crash ended goes on; its folder says how far it came.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from martlet.errors import Conflict, InvalidInput
from martlet.runtime.strategy_config import RUN_NAMES, StrategyConfig
from martlet.said import Said
from martlet.wire import strategy_runs as wire
from trainer_svc.strategies.choice import Choice, Situation, choose, is_due
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.strategies.run_record import Run, RunRecord, RunState, read_run, write_run

logger = logging.getLogger(__name__)

SCHEDULE: Final = Said("schedule")
TICK_SECONDS: Final = 0.5
MOST_STARTS: Final = 3  # of one run, in a trainer's life: what ends so often ends for a reason


class RunProcess(Protocol):
    """A process that carries a run out."""

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        ...

    def end(self) -> None:
        """Ends it; returns once it has ended."""
        ...


class LiveLearner(Protocol):
    """What is asked of the live learner, from another thread."""

    def beginning(self, strategy: str) -> Run:
        """A run that begins where the live lineage stands now; strategy, reason and who are left to the caller.

        Raises:
            NotReady: nothing was published yet, or the trainer is still starting.
        """
        ...

    def situation(self, runs: Sequence[Run]) -> Situation:
        """What a choice rests on, after these runs, oldest first."""
        ...

    @property
    def forgetting(self) -> bool:
        """Whether a user is being forgotten."""
        ...


class Strategist:
    """See the module's docstring. Thread-safe.

    Args:
        launch: starts a run's process, by the name of its folder.
    """

    def __init__(
        self,
        folders: LineageFolders,
        learner: LiveLearner,
        launch: Callable[[str], RunProcess],
        settings: StrategyConfig,
    ) -> None:
        self._folders = folders
        self._learner = learner
        self._launch = launch
        self._settings = settings
        self._lock = threading.RLock()
        self._process: tuple[str, RunProcess] | None = None
        self._starts: dict[str, int] = {}
        self._refused = ""

    def start(self, strategy: str, said: Said) -> wire.StrategyRun:
        """Begins a run. `auto` chooses; what it chooses, and why, is told.

        Raises:
            InvalidInput: no such strategy.
            Conflict: a run is under way, a user is being forgotten, or `auto` sees no reason for a run.
            NotReady: nothing was published yet.
        """
        named = next((name for name in (*RUN_NAMES, "auto") if name == strategy), None)
        if named is None:
            raise InvalidInput(f"no strategy {strategy!r}: {', '.join(RUN_NAMES)} or auto can be run")
        with self._lock:
            chosen = Choice(named, said.why)
            if named == "auto":
                chosen = choose(self._situation(), replace(self._settings, name="auto"))
            return described(self._begin(chosen, said))

    def listed(self) -> tuple[list[wire.StrategyRun], str]:
        """All runs, oldest first, and the live one's name."""
        return [described(record) for record in self._folders.runs()], self._folders.live.lineage

    def went_live(self, lineage: str) -> None:
        """Learning goes on in that lineage."""
        with self._lock:
            for record in self._folders.runs():
                if record.name == lineage and record.run.state is not RunState.LIVE:
                    self._write(record, state=RunState.LIVE)

    def turn(self) -> None:
        """One round: looks after the process, takes up what was broken off, begins what is due."""
        with self._lock:
            self._settle()
            if self._learner.forgetting:
                self._stop_for_forgetting()
            elif self._process is None and not self._resume():
                self._begin_if_due()

    def close(self) -> None:
        """Ends the process; the run goes on when the trainer does."""
        with self._lock:
            if self._process is not None:
                self._process[1].end()
                self._process = None

    def _settle(self) -> None:
        if self._process is None:
            return
        name, process = self._process
        code = process.poll()
        if code is None:
            return
        self._process = None
        run = read_run(self._folders.path(name))
        logger.warning("run %s has ended: %s", name, run.error or run.state.value)
        if run.state in (RunState.ASKED, RunState.LEARNING) and self._starts[name] >= MOST_STARTS:
            self._write(RunRecord(name, run), state=RunState.FAILED, error=f"its process ended with {code}")

    def _resume(self) -> bool:
        """Starts the process of a run that is not at its end; says whether there is one."""
        for record in self._folders.runs():
            if record.run.state in (RunState.ASKED, RunState.LEARNING):
                self._starts[record.name] = self._starts.get(record.name, 0) + 1
                self._process = record.name, self._launch(record.name)
                return True
        return False

    def _begin_if_due(self) -> None:
        situation = self._situation()
        if not is_due(situation, self._settings):
            return
        choice = choose(situation, self._settings)
        if choice.strategy == "incremental":
            if choice.reason != self._refused:
                logger.info("no run begins: %s", choice.reason)
            self._refused = choice.reason
            return
        self._begin(choice, SCHEDULE)

    def _begin(self, choice: Choice, said: Said) -> RunRecord:
        if choice.strategy == "incremental":
            raise Conflict(f"no run is called for: {choice.reason}")
        if self._learner.forgetting:
            raise Conflict("a user is being forgotten: a run that began now would know them")
        busy = next((one for one in self._folders.runs() if one.run.state in (RunState.ASKED, RunState.LEARNING)), None)
        if busy is not None:
            raise Conflict(f"run {busy.name} is under way")
        run = self._learner.beginning(choice.strategy)
        asked = {"strategy": choice.strategy, "reason": choice.reason, "who": said.who, "caller": said.caller}
        record = self._folders.begin(msgspec.structs.replace(run, **asked))
        logger.warning("run %s begins: %s", record.name, choice.reason)
        return record

    def _situation(self) -> Situation:
        return self._learner.situation([record.run for record in self._folders.runs()])

    def _stop_for_forgetting(self) -> None:
        """What a run has learned knows the user."""
        if self._process is not None:
            self._process[1].end()
            self._process = None
        for record in self._folders.runs():
            if record.run.state in (RunState.ASKED, RunState.LEARNING):
                self._write(record, state=RunState.FAILED, error="a user was forgotten while it ran")
                self._folders.drop(record.name)

    def _write(self, record: RunRecord, state: RunState, error: str = "") -> None:
        changed = msgspec.structs.replace(record.run, state=state, error=error or record.run.error)
        write_run(self._folders.path(record.name), changed)


class StrategistThread(threading.Thread):
    """Turns a strategist until told to end. A failure of a turn is logged; what is live goes on."""

    def __init__(self, strategist: Strategist, ending: threading.Event) -> None:
        super().__init__(name="strategist", daemon=True)
        self._strategist = strategist
        self._ending = ending

    def run(self) -> None:
        """The thread's body."""
        while not self._ending.wait(TICK_SECONDS):
            try:
                self._strategist.turn()
            except Exception:
                logger.exception("runs of strategies wait")
        self._strategist.close()


def described(record: RunRecord) -> wire.StrategyRun:
    """A run as it is told to those who ask."""
    run = record.run
    return wire.StrategyRun(
        name=record.name,
        strategy=run.strategy,
        reason=run.reason,
        who=run.who,
        state=wire.RunState[run.state.name],
        asked_time_us=run.asked_us,
        until=run.until,
        version=run.version,
        digest=run.digest,
        examples=run.examples,
        cpu_seconds=run.cpu_seconds,
        error=run.error,
        report=run.report,
        caller=run.caller,
    )
