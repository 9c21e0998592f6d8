"""The hand of the trainer: cut, journal, learn, publish, commit; again and again.

Nothing is learned before its cut is on disk, and nothing is forgotten before its acknowledgement is.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from martlet.clock import Clock
from martlet.errors import MartletError
from martlet.measurement import MeasurementBatch
from trainer_svc.checkpoint import CheckpointStore
from trainer_svc.course import Course
from trainer_svc.event_source import EventSource
from trainer_svc.joiner import DeadLetter
from trainer_svc.journal import Acknowledged, Cut, Entry, Journal, Publish, Refused
from trainer_svc.publish_policy import PublishAction, PublishView, publish_action
from trainer_svc.publisher import Arrived, Publisher

logger = logging.getLogger(__name__)
IDLE_US = 1_000_000


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """When to act: seconds, deltas of a chain, and the most records of one step."""

    poll_seconds: float
    publish_seconds: float
    chain_limit: int
    checkpoint_seconds: float
    step_records: int = 2048


class Observer(Protocol):
    """Who wants to know how the course stands. Must not change it."""

    def update(self, course: Course) -> None:
        """A step was made, or a publish was answered."""
        ...

    def committed(self, course: Course) -> None:
        """A checkpoint holds the course as it is now."""
        ...


class DeadLetters:
    """A file of what could not be used: one JSON line each, with its reason. After a crash a line may stand twice."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def add(self, letters: list[DeadLetter]) -> None:
        """Appends them."""
        if not letters:
            return
        lines = [{"reason": letter.reason, **asdict(letter.outcome)} for letter in letters]
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


class TrainingLoop:
    """Runs a course in one thread.

    Attributes:
        course: the state; only the loop's thread may touch it while it runs.

    Args:
        observer: told of steps and commits, in the loop's thread: for metrics and status.
        report: sends measurements; may fail, they are lost then (the prediction records are not).
    """

    def __init__(
        self,
        course: Course,
        source: EventSource,
        journal: Journal,
        checkpoints: CheckpointStore,
        publisher: Publisher,
        dead_letters: DeadLetters,
        settings: LoopSettings,
        clock: Clock,
        observer: Observer,
        report: Callable[[MeasurementBatch], None],
    ) -> None:
        self.course = course
        self._source = source
        self._journal = journal
        self._checkpoints = checkpoints
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._report = report
        self._published_at = self._committed_at = clock.monotonic()
        self._committed_entries = 0
        self._stop = threading.Event()

    def recover(self) -> None:
        """Takes the newest whole checkpoint and re-executes the journal behind it."""
        newest = self._checkpoints.newest()
        if newest is not None:
            _, arrays, document = newest
            self.course.restore(arrays, document)
        entries = self._journal.entries()
        behind = entries[self.course.entries :]
        logger.info("step %d from the checkpoint; %d entries to re-execute", self.course.step, len(behind))
        self._committed_entries = self.course.entries
        for entry in behind:
            self._again(entry)
        if self.course.in_flight is not None:
            self._publisher.submit(self.course.in_flight)
        self._observer.update(self.course)

    def run(self) -> None:
        """Learns until `stop`."""
        while not self._stop.is_set():
            if not self.turn():
                self._stop.wait(self._settings.poll_seconds)
        self.commit()

    def stop(self) -> None:
        """Ends `run` after the step in progress. From any thread."""
        self._stop.set()

    def turn(self) -> bool:
        """One round; whether there was something to learn."""
        self._settle()
        learned = self._step()
        self._publish_if_due()
        if self._clock.monotonic() - self._committed_at >= self._settings.checkpoint_seconds:
            self.commit()
        return learned

    def commit(self) -> None:
        """One commit of everything, if anything happened since the last."""
        self._committed_at = self._clock.monotonic()
        if self.course.entries > self._committed_entries:
            arrays, document = self.course.snapshot()
            self._checkpoints.save(self.course.step, arrays, document)
            self._committed_entries = self.course.entries
            self._observer.committed(self.course)
            self._report_measurements()

    def _step(self) -> bool:
        ranges, payloads, caught_up = self._source.poll(self.course.positions, self._settings.step_records)
        if not ranges and not self._window_is_over():
            return False
        now_us = self._clock.now_us() if caught_up else 0
        cut = Cut(self.course.step + 1, ranges, now_us)
        self._journal.append(cut)
        self._dead_letters.add(self.course.consume(cut, payloads))
        self._observer.update(self.course)
        return bool(ranges)

    def _window_is_over(self) -> bool:
        """Without new events time still passes: about once a second, while something waits for it."""
        return self.course.joiner.waits and self._clock.now_us() - self.course.joiner.watermark_us > IDLE_US

    def _publish_if_due(self) -> None:
        course = self.course
        view = PublishView(
            in_flight=course.in_flight is not None,
            has_parent=course.sequence > 0,
            needs_base=course.needs_base or course.table_grew,
            learned=course.learned_since,
            elapsed=self._clock.monotonic() - self._published_at,
            chain=course.chain,
        )
        action = publish_action(view, self._settings.publish_seconds, self._settings.chain_limit)
        if action is PublishAction.NOTHING:
            return
        snapshot = action is PublishAction.SNAPSHOT
        entry = Publish(course.step, course.sequence + 1, snapshot, course.epoch, course.parent_digest)
        self._journal.append(entry)
        self._published_at = self._clock.monotonic()
        self._publisher.submit(course.publish(entry))

    def _settle(self) -> None:
        """Takes the registry's answer over, at a step's boundary and in the journal first."""
        result = self._publisher.take_result()
        if result is None:
            return
        step = self.course.step
        if isinstance(result, Arrived):
            arrived = Acknowledged(step, result.sequence, result.version, result.digest)
            self._journal.append(arrived)
            self.course.acknowledge(arrived)
        else:
            refused = Refused(step, result.sequence, result.epoch, result.parent, result.reason)
            self._journal.append(refused)
            self.course.refuse(refused)
        self._observer.update(self.course)

    def _again(self, entry: Entry) -> None:
        if isinstance(entry, Cut):
            self._dead_letters.add(self.course.consume(entry, self._source.again(entry.ranges)))
        elif isinstance(entry, Publish):
            self.course.publish(entry)
        elif isinstance(entry, Acknowledged):
            self.course.acknowledge(entry)
        else:
            self.course.refuse(entry)

    def _report_measurements(self) -> None:
        measurements = self.course.scoreboard.take()
        if not measurements:
            return
        producer = f"trainer/{self.course.learner.model.name}"
        try:
            self._report(MeasurementBatch(producer, self.course.entries, measurements))
        except MartletError as error:
            logger.warning("measurements were not reported: %s", error)
