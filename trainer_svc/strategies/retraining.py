"""A strategy's run: a lineage of its own learns the log up to a fixed cut, beside the live learner, and is offered.

It stops at nothing: killed anywhere, it goes on from its newest checkpoint and its own journal, as the live learner
does. Its version takes the structural road; only when that is promoted does learning go on from here.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import martlet
from martlet.errors import Conflict, InvalidInput, MartletError
from martlet.manifest import Manifest, VersionKind, encode_manifest, manifest_digest
from martlet.versions import CatalogState, LineageState, VersionRecord
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.checkpoints.folder import CheckpointStore
from trainer_svc.committing import Committed
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Founded, Grafted, Journal, Overtaken, Published, Stepped
from trainer_svc.loop_settings import Pace
from trainer_svc.restorer import Restorer
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.run_record import Run
from trainer_svc.training_ports import Arrays
from trainer_svc.version_builder import VersionBuilder

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
MOST_OFFERS: Final = 20  # each into another epoch


class StructuralRoad(Protocol):
    """What a run asks of the registry."""

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version; a refused one comes back with state REJECTED.

        Raises:
            Conflict: the epoch is another, or its parent is in no good standing.
        """
        ...

    def lineage(self, model: str) -> LineageState:
        """Where the model's live lineage stands."""
        ...


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a run begins as: a whole state, or None for nothing; and what was taken over from where, for people."""

    state: Arrays | None
    report: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of a run."""

    version: int
    digest: str
    examples: int


class Retraining:
    """One run. Blocking, for as long as it takes. Not thread-safe.

    Args:
        journal, checkpoints: the run's own.
        committed: the run's own, not opened yet.
        source: sees the log up to the run's cut.
        found: makes what the run begins as; called once in a run's life, unless it is killed meanwhile.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        *,
        run: Run,
        journal: Journal,
        committed: Committed,
        checkpoints: CheckpointStore,
        checkpointing: Callable[[Committed], Checkpointing],
        restorer: Restorer,
        foundings: FoundingFolder,
        found: Callable[[], Foundation],
        source: EventSource,
        builder: VersionBuilder,
        registry: StructuralRoad,
        pace: Pace,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._journal = journal
        self._committed = committed
        self._checkpoints = checkpoints
        self._make_checkpointing = checkpointing
        self._restorer = restorer
        self._foundings = foundings
        self._found = found
        self._source = source
        self._builder = builder
        self._registry = registry
        self._pace = pace
        self._pause = pause
        self.report: tuple[str, ...] = ()

    def found_only(self) -> None:
        """Begins, and leaves the log to whoever goes on: where there is no live learner yet."""
        self._open()

    def run(self) -> Offered:
        """Learns up to the cut, and offers the version.

        Raises:
            Conflict: the registry does not admit it; the message says why.
            Corrupt, InvalidInput: it cannot begin from what it should.
        """
        self._open()
        self._learn()
        return self._offer()

    def _open(self) -> None:
        committed = self._committed
        opened = committed.open(self._checkpoints)
        self._checkpointing = self._make_checkpointing(committed)
        if opened:
            self._checkpointing.taken_over()
        committed.replay(self._restorer, lambda _entry: False)
        self._begin()

    def _begin(self) -> None:
        if any(isinstance(entry, Founded) for entry, _ in self._journal.read(0)):
            return
        run, foundation = self._run, self._found()
        self.report = foundation.report
        digest = "" if foundation.state is None else self._foundings.store(foundation.state)
        entry = Founded(run.strategy, run.reason, digest, run.parent, run.until, run.asked_us)
        self._committed.record(entry)
        self._restorer.execute(self._committed.state, entry)

    def _learn(self) -> None:
        """Every step is taken as if when the run was asked for, so that windows end as for the live learner."""
        state = self._committed.state
        while True:
            cut = self._source.cut(state.positions, self._pace.records, self._pace.weight)
            if not cut.ranges:
                return
            entry = Stepped(cut, self._run.asked_us)
            self._committed.record(entry)
            state.take_step(entry)
            self._checkpointing.settle()
            self._checkpointing.begin_if_due()

    def _offer(self) -> Offered:
        """Offers the version in the present epoch, below the present pin; again, if either has changed meanwhile."""
        for _ in range(MOST_OFFERS):
            flight = self._committed.state.cursor.at.flight
            manifest = flight if flight is not None else self._take_off()
            encoded = encode_manifest(manifest)
            digest = manifest_digest(encoded)
            record = self._sent(manifest.model, encoded)
            if record is None:
                entry = Overtaken(self._committed.state.cursor.at.number, digest, *self._elsewhere(manifest))
                self._committed.record(entry)
                self._committed.state.land(entry)
            elif record.state in (CatalogState.REJECTED, CatalogState.ROLLED_BACK, CatalogState.QUARANTINED):
                raise Conflict(f"version {record.version} is {record.state.name}: {record.reason}")
            else:
                return Offered(record.version, digest, self._committed.state.examples)
        raise Conflict("the epoch changes too often to offer a version")

    def _elsewhere(self, refused: Manifest) -> tuple[int, str]:
        """The epoch and the parent to offer it with after a conflict.

        Where health alone decides there is no structural road: it has to go on from the head, not from the pin.
        """
        standing, own = self._standing(refused.model), refused.lineage
        same = (own.epoch, own.parent) == (standing.epoch, _parent(standing))
        return standing.epoch, standing.head_digest if same else _parent(standing)

    def _take_off(self) -> Manifest:
        state = self._committed.state
        if not state.cursor.at.parent:
            standing = self._standing(self._committed.began.model)
            graft = Grafted(standing.epoch, _parent(standing))
            self._committed.record(graft)
            state.cursor.grafted(graft)
        entry = Published(state.cursor.at.number + 1, VersionKind.SNAPSHOT, martlet.__version__)
        self._committed.record(entry)
        manifest = self._builder.build(state.take_off(entry))
        state.cursor.built(manifest)
        self._checkpointing.begin_whole()  # so that learning goes on from here at once
        self._checkpointing.wait()
        return manifest

    def _sent(self, model: str, encoded: bytes) -> VersionRecord | None:
        """The registry's answer; None for a conflict."""

        def send() -> VersionRecord | None:
            try:
                return self._registry.publish(encoded)
            except Conflict as conflict:
                logger.info("the version of %s conflicts: %s", model, conflict)
                return None

        return self._insisted(send)

    def _standing(self, model: str) -> LineageState:
        """Where the live lineage stands once it stands: not while it is frozen, or training has to go back."""
        seconds = FIRST_PAUSE
        while True:
            found = self._insisted(lambda: self._registry.lineage(model))
            if not found.rewind and not found.frozen and found.head_digest:
                return found
            self._pause(seconds)
            seconds = min(2 * seconds, LONGEST_PAUSE)

    def _insisted(self, attempt: Callable[[], T]) -> T:
        seconds = FIRST_PAUSE
        while True:
            try:
                return attempt()
            except InvalidInput:  # it will not become better
                raise
            except (MartletError, OSError) as error:
                logger.warning("offering waits %.1f s: %s", seconds, error)
            self._pause(seconds)
            seconds = min(2 * seconds, LONGEST_PAUSE)


def _parent(standing: LineageState) -> str:
    """The pin: what is known to be good. A head that is taken back would take its descendants with it."""
    return standing.pin_digest or standing.head_digest
