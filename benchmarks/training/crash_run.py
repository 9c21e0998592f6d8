"""Runs of a trainer that is killed all the time, beside a log that grows and a registry behind a faulty link."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.training.crash_events import EventLog
from benchmarks.training.crash_operator import Operator
from benchmarks.training.crash_trainer import BROKEN, FIXED, INITIAL_BUCKETS, POINT
from benchmarks.training.crash_verdict import MODEL_REF, Verdict, crash_config, judge
from benchmarks.training.failpoints import POINTS
from benchmarks.training.faulty_link import FaultyLink
from examples.demo.processes import Services
from martlet.eventlog.file_log import FileEventReader
from trainer_svc.journal import PARTITION, Published, Stepped, read_journal

FAULT_RATE: Final = 0.05
NAMED: Final = 0.75  # so many of the kills are at a named point
MEAN_HITS: Final = 4
PAUSE_SECONDS: Final = 2.0  # between two actions of the operator
ANEW: Final = 0.04  # so many of the lives begin from nothing
MODULE: Final = (sys.executable, "-m", "benchmarks.training.crash_trainer")
LONGEST_LIFE: Final = 2.0  # of one that does not come to its point
STALLED_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 1.0
SETTINGS: Final = {
    "MARTLET_TRAINER_MODEL": MODEL_REF,
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "60",
    "MARTLET_TRAINER_POLL_MS": "2",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "0.05",
    "MARTLET_TRAINER_CHAIN_LIMIT": "12",
    "MARTLET_TRAINER_INITIAL_BUCKETS": str(INITIAL_BUCKETS),
    "MARTLET_TRAINER_BATCH_EXAMPLES": "8",
    "MARTLET_TRAINER_EVIDENCE_INTERVAL_MS": "100",
    "MARTLET_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, slots=True)
class Course:
    """How one run goes.

    Attributes:
        kills: how often the trainer is killed.
        fixed_us: a run whose decisions are functions of the log: wall time stands here, and the log is there at once.
        events: of such a run.
        broken: an order of commit that is broken on purpose.
    """

    kills: int
    seed: int
    fixed_us: int = 0
    events: int = 0
    broken: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    verdict: Verdict
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class TrainerEnded(RuntimeError):
    """A trainer ended where it should not: it refuses to go on."""


class Trainers:
    """Starts trainers, one at a time: most are forked from a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "trainer.log"
        with self._path.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603  our own module
                [*MODULE, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def start(self, arguments: list[str], environment: dict[str, str]) -> "Life":
        """Forks one."""
        assert self._server.stdin is not None
        order = {"arguments": arguments, "environment": environment, "log": str(self._path)}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return Life(int(self._line()), lambda: int(self._line()))

    def start_anew(self, arguments: list[str], environment: dict[str, str]) -> "Life":
        """Starts one from nothing, as an operator would."""
        with self._path.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own module
                [*MODULE, *arguments], env=os.environ | environment, stdout=log, stderr=log
            )
        return Life(process.pid, process.wait)

    def close(self) -> None:
        """Ends the server; no trainer may run."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def log_tail(self) -> str:
        """The last lines that trainers wrote."""
        return "\n".join(self._path.read_text(errors="replace").splitlines()[-30:])

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()


class Life:
    """A trainer that runs. `wait` returns its exit code once it has ended."""

    def __init__(self, process: int, wait: Callable[[], int]) -> None:
        self._process = process
        self._ended = threading.Event()
        self.code = 0

        def watch() -> None:
            self.code = wait()
            self._ended.set()

        threading.Thread(target=watch, daemon=True).start()

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        return self._ended.wait(seconds)

    def signal(self, number: signal.Signals) -> int:
        """Sends a signal that ends it, unless it has ended; gives its exit code."""
        if not self._ended.is_set():
            os.kill(self._process, number)
        if not self._ended.wait(60):
            raise RuntimeError(f"trainer {self._process} does not end")
        return self.code


@dataclass(slots=True)
class Progress:
    """What a journal says of how far learning is."""

    position: int = 0
    flying: bool = False
    reached: dict[str, int] = field(default_factory=dict)

    def read(self, folder: Path) -> bool:
        """Reads on; whether there was something new."""
        before, reader = self.position, FileEventReader(folder)
        if PARTITION in reader.partitions():
            for entry, end in read_journal(reader, before):
                self.position = end
                if isinstance(entry, Stepped):
                    self.reached |= {cut.partition: cut.end for cut in entry.cut.ranges}
                self.flying = isinstance(entry, Published) or (self.flying and isinstance(entry, Stepped))
        reader.close()
        return self.position > before

    def is_at(self, ends: dict[str, int]) -> bool:
        """Whether all is learned, and no version is under way."""
        return self.reached == ends and not self.flying


class Run:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, course: Course, trainers: Trainers) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._course = course
        self._dice = random.Random(course.seed)  # noqa: S311  a harness's choices are no secret
        self._services = Services(folder, SETTINGS)
        self._registry = self._services.start("registry").address
        self._link = FaultyLink(self._registry, FAULT_RATE, course.seed)
        self._trainers = trainers
        self._events = EventLog(folder / "data" / "events", course.seed)
        self._kills: Counter[str] = Counter()

    def go(self) -> Outcome:
        """Kills as often as the course says, lets one trainer come to the end, and judges."""
        refusal = ""
        try:
            self._live()
        except TrainerEnded as end:
            refusal = str(end)
        self._events.close()
        self._link.close()
        self._services.stop_all()
        verdict = judge(self._folder / "data", self._events.told)
        if refusal:
            verdict = replace(verdict, state_equal=False, says=f"{verdict.says}; {refusal}")
        return Outcome(verdict, self._kills, self._link.faults)

    def _live(self) -> None:
        course = self._course
        if course.fixed_us:
            self._write_all()
            self._kill_all()
            self._end()
            return
        ending, operator = threading.Event(), None
        visitor = threading.Thread(target=self._grow, args=(ending,), daemon=True)
        visitor.start()
        try:
            operator = None if course.broken else Operator(self._registry, PAUSE_SECONDS, course.seed)
            self._kill_all()
        finally:
            if operator is not None:
                operator.end()
            ending.set()
            visitor.join()
        self._end()

    def _kill_all(self) -> None:
        while self._kills.total() < self._course.kills:
            self._live_and_die()

    def _live_and_die(self) -> None:
        """One life: to a named point, or for as long as chance says, the start included."""
        named = self._dice.random() < NAMED
        point = self._dice.choice(POINTS) if named else ""
        mean = MEAN_HITS if self._course.fixed_us else 3 * MEAN_HITS  # there the log is to last
        hits = 1 + int(self._dice.expovariate(1 / mean))
        life = self._start({POINT: f"{point}:{hits}"} if named else {}, anew=self._dice.random() < ANEW)
        if not life.ends_within(LONGEST_LIFE if named else self._dice.uniform(0.0, LONGEST_LIFE / 2)):
            life.signal(signal.SIGKILL)
            point = "any time"
        if life.code != -signal.SIGKILL:
            raise TrainerEnded(f"the trainer ended by itself: {life.code}\n{self._trainers.log_tail()}")
        self._kills[point] += 1

    def _start(self, more: dict[str, str], *, anew: bool = False) -> Life:
        course, ports = self._course, self._folder / "trainer.ports"
        own = {
            "MARTLET_TRAINER_REGISTRY": f"127.0.0.1:{self._link.port}",
            "MARTLET_TRAINER_GRPC_PORT": "0",
            "MARTLET_TRAINER_METRICS_PORT": "0",
            FIXED: str(course.fixed_us or ""),
            BROKEN: course.broken,
        }
        arguments = ["--data-dir", str(self._folder / "data"), "--ports-file", str(ports)]
        start = self._trainers.start_anew if anew else self._trainers.start
        return start(arguments, {**SETTINGS, **own, **more})

    def _grow(self, growing: threading.Event) -> None:
        while not growing.wait(self._dice.uniform(0.02, 0.1)):
            self._events.visit(random.randint(1, 12), time.time_ns() // 1000)  # noqa: S311

    def _write_all(self) -> None:
        start = self._course.fixed_us - 600_000_000
        for number in range(0, self._course.events, 50):
            self._events.visit(50, start + number * 5000)

    def _end(self) -> None:
        life = self._start({})
        self._await_the_end(life)
        code = life.signal(signal.SIGTERM)
        if code:
            raise TrainerEnded(f"the trainer ended with {code}:\n{self._trainers.log_tail()}")

    def _await_the_end(self, life: Life) -> None:
        """Returns once everything is learned, and nothing has been under way for a while."""
        told, left, progress = self._events.told, self._folder / "data", Progress()
        moved = time.monotonic()
        while time.monotonic() < moved + STALLED_SECONDS:
            if life.ends_within(QUIET_SECONDS):
                raise TrainerEnded(f"the trainer ended by itself: {life.code}\n{self._trainers.log_tail()}")
            if progress.read(crash_config(left).checkpoint_dir):
                moved = time.monotonic()
            elif progress.is_at(told.ends):
                return
        life.signal(signal.SIGKILL)
        raise TrainerEnded(f"the trainer does not come to the end: {progress}")
