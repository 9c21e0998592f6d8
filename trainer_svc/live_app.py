"""The composition root of the live lineage: its state, its loop, and the change to another lineage."""

import math
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import msgspec
from prometheus_client import CollectorRegistry

from martlet.artifacts.port import SignatureStore
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import Clock
from martlet.errors import Conflict, NotReady
from martlet.eventlog.erasure import FileEventEraser, NoEraser
from martlet.eventlog.files import FileEventLog
from martlet.eventlog.port import EventEraser, EventLog
from martlet.feature_encoding import ItemId
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store
from martlet.runtime.strategy_config import strategy_config
from martlet.runtime.tracing import Tracer
from martlet.said import Said
from martlet.signed_versions import signed_with
from martlet.wire.trainer import Erasure
from trainer_svc.audit import NoLetters
from trainer_svc.dead_letters import DeadLetterLog
from trainer_svc.erasure.eraser import Eraser, Shelf
from trainer_svc.erasure.erasures import Erasing, said_of
from trainer_svc.event_source import EventSource
from trainer_svc.hand_over import HandOver
from trainer_svc.journal import Began
from trainer_svc.journal_trimming import FOREVER_US, NoTrimmer, Trimming
from trainer_svc.lag_metrics import Reading
from trainer_svc.lineage_parts import LETTER_PARTITION, LineageParts
from trainer_svc.lineages.model import live_model, load_model, same_form
from trainer_svc.lineages.pace import CACHE_BYTES, pace_of
from trainer_svc.lineages.state import beginning, make_state
from trainer_svc.loop_thread import LoopThread
from trainer_svc.publisher import Offer, Publisher, RegistryPort
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.strategies.choice import HOUR_US
from trainer_svc.strategies.lineage_folders import LineageFolders, Live, OtherLineages
from trainer_svc.strategies.live_view import Standing
from trainer_svc.traced import TracedPublishing, TracedSteps
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_ports import LetterPort, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder


class ComposedLive:
    """Everything that the live lineage consists of. What is asked of it may be asked from any thread.

    Attributes:
        model: what it learns.
        board: what it shows.

    Args:
        preparing: makes what happens to examples before they are learned.
        ending: set when the trainer is to end.

    Raises:
        InvalidInput: no model is named, or the data directory belongs to another one.
        Conflict: another trainer uses the data directory.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        folders: LineageFolders,
        events: EventLog,
        registry: BlockingRegistryClient,
        tracer: Tracer | None,
        collectors: CollectorRegistry,
        preparing: Preparing,
        ending: threading.Event,
    ) -> None:
        self._config = config
        self._clock = clock
        self._folders = folders
        self._events = events
        self._registry = registry
        self._preparing = preparing
        self._ending = ending
        self.model = live_model(config, folders)
        self._same_form = same_form(self.model, load_model(config))
        self._erasers = _erasers(config, events)
        self._lineage = self._opened(folders.live.lineage)
        for eraser in self._erasers:
            eraser.finish()  # before anything is read, and under the journal's lock
        self._readers = [events.reader() for _ in range(2)]
        self._erasing_readers = [log.reader() for log in (events, FileEventLog(config.dead_letter_dir))]
        # One thread each: versions go out in order, checkpoints too, and neither waits for the other.
        self._executors = {
            name: ThreadPoolExecutor(1, name) for name in ("publisher", "checkpoint", "report", "eraser")
        }
        self._metrics, report = TrainerMetrics(collectors, clock), self._executors["report"]
        self.board = StatusBoard(self.model.name, self._metrics, registry.report_measurements, report)
        self._traced = None if tracer is None else (tracer, TracedSteps(self.board, tracer, self.model.name))
        self._loop: TrainingLoop | None = None

    def thread(
        self, recovered: Callable[[], None], failed: Callable[[], None], went_live: Callable[[str], None]
    ) -> LoopThread:
        """The loop's thread.

        Args:
            recovered: called once the loop turns.
            failed: called when it ends with an error.
            went_live: called with a lineage's name when learning goes over to it.
        """
        poll_s = self._config.trainer.poll_ms / 1000

        def go_over(word: HandOver) -> TrainingLoop:
            return self._go_over(word, went_live)

        return LoopThread(self._make_loop(), self.board, self._clock, poll_s, self._ending, recovered, failed, go_over)

    def readmit(self, epoch: int) -> "Future[Offer]":
        """See `TrainingLoop.readmit`.

        Raises:
            NotReady: the trainer is still starting.
        """
        return self._started().readmit(epoch)

    def forget(self, user_id: ItemId, said: Said) -> "Future[Erasure]":
        """See `TrainingLoop.forget`.

        Raises:
            NotReady: the trainer is still starting.
            Conflict: nothing can be erased from this log: what cannot be carried through is not begun.
        """
        loop = self._started()
        self._events.eraser()
        return loop.forget(user_id, said=said)

    def erasures(self) -> list[Erasure]:
        """See `TrainingLoop.erasures`."""
        return [] if self._loop is None else self._loop.erasures()

    def standing(self) -> Standing | None:
        """Where the lineage stands; None before its first version."""
        loop, status = self._loop, self.board.status
        if loop is None or not status.last_published_digest:
            return None
        return Standing(
            lineage=loop.began.lineage,
            folder=self._folders.live.lineage,
            pin=loop.pin or status.last_published_digest,
            journal_position=loop.position,
            event_time_us=self.board.event_time_us,
            examples=self.board.examples,
            model_ref=loop.began.model_ref,
            wanted=loop.began.model_ref if self._same_form else self._config.trainer.model,
            loss=status.quality.get("logloss", math.nan),
            began_us=self.board.began_us,
        )

    def reading(self) -> Reading:
        """How far it has read."""
        loop, board = self._loop, self.board
        if loop is None:
            return Reading(self.model.name)
        return Reading(self.model.name, board.status.consumed, board.times_us, loop.record_span, loop.damaged)

    def journal_position(self) -> int:
        """How far the journal has taken effect."""
        return 0 if self._loop is None else self._loop.position

    def stop(self) -> None:
        """Waits for what runs beside the loop; what has not begun does not begin any more."""
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Gives the lock back."""
        self._lineage.close()
        for reader in (*self._readers, *self._erasing_readers):
            reader.close()

    def _started(self) -> TrainingLoop:
        if self._loop is None:
            raise NotReady("the trainer is still starting")
        return self._loop

    def _opened(self, lineage: str) -> LineageParts:
        # All checkpoints stay until it is known where the pin was taken off.
        config = self._config
        return LineageParts(self._folders, lineage, config.dead_letter_dir, config.trainer.checkpoints_kept, held=0)

    def _go_over(self, word: HandOver, went_live: Callable[[str], None]) -> TrainingLoop:
        """Closes the lineage that was live and opens the one that the head belongs to."""
        folders, before = self._folders, self._folders.live
        record = next((one for one in folders.runs() if one.name == word.lineage), None)
        version = word.head.version or (record.run.version if record is not None else 0)
        since = record.run.journal_position if record is not None else 0
        folders.set_live(Live(word.lineage, before.lineage, since, replace(word.head, version=version)))
        went_live(word.lineage)
        self._lineage.close()
        self._lineage = self._opened(word.lineage)
        self.model = live_model(self._config, folders)
        self._same_form = same_form(self.model, load_model(self._config))
        return self._make_loop()

    def _make_loop(self) -> TrainingLoop:
        """The loop of the live lineage."""
        config, model, lineage, live = self._config, self.model, self._lineage, self._folders.live
        source = self._make_source()
        letters = DeadLetterLog(
            lineage.letter_writer, lineage.letter_reader, lineage.letter_partition, source.payload, self._ending.wait
        )
        store = artifact_store(config, cached=False)
        builder = VersionBuilder(store, ModelIdentity(model.name, model.spec, model.head.more))

        def making(own: LetterPort) -> Callable[[Began], TrainingState]:
            return lambda began: make_state(began, model, config, source, own, self._preparing)

        publisher = self._make_publisher(builder, store)
        # Versions are built again by way of the publisher: a store that is away delays going back, and does not end it.
        restorer = Restorer(
            lineage.journal, lineage.checkpoints, making(NoLetters()), publisher.build, lineage.foundings
        )
        loop = self._loop = TrainingLoop(
            journal=lineage.journal,
            checkpoints=lineage.checkpoints,
            make_state=making(letters),
            restorer=restorer,
            begin=lambda: beginning(model, config, f"{model.name}-{secrets.token_hex(4)}"),
            source=source,
            publisher=publisher,
            background=self._executors["checkpoint"],
            pace=pace_of(config),
            clock=self._clock,
            observer=self.board if self._traced is None else self._traced[1],
            erasing=self._make_erasing(lineage),
            trimming=self._make_trimming(lineage),
            kin=OtherLineages(self._folders, lineage.name),
            head=live.head,
        )
        self._pass_words_on(loop, live)
        return loop

    def _make_publisher(self, builder: VersionBuilder, store: SignatureStore) -> Publisher:
        failed = self._metrics.publish_failures.labels(self.model.name).inc
        registry = self._publishing(store)
        return Publisher(builder, registry, self._executors["publisher"], self._ending.wait, failed)

    def _make_source(self) -> EventSource:
        tail, lookup = self._readers
        weigh = weigher(self.model.spec.layout, self.model.label)
        return EventSource(tail, lookup, self._config.trainer.read_bytes, CACHE_BYTES, weigh, self._ending.wait)

    def _make_erasing(self, lineage: LineageParts) -> Erasing:
        events, letters = self._erasers
        event_reader, letter_reader = self._erasing_readers
        eraser = Eraser(
            self.model.name,
            Shelf(event_reader, events),
            Shelf(letter_reader, letters),
            LETTER_PARTITION,
            self._registry,
        )
        return Erasing(eraser, self._executors["eraser"], lineage.scrub)

    def _make_trimming(self, lineage: LineageParts) -> Trimming:
        """The window of a fine-tuning is found by the journal, as far as that reaches back."""
        settings = self._config.trainer
        if not settings.journal_hours:
            return Trimming(NoTrimmer(), FOREVER_US)
        hours = max(settings.journal_hours, strategy_config(self._config.learning.strategy).fine_tune_hours)
        return Trimming(lineage.trimmer, int(hours * HOUR_US), self._folders.parents_under_way)

    def _publishing(self, store: SignatureStore) -> RegistryPort:
        """The registry, as versions are published there: signed, if there is a key; traced, if there is a tracer."""
        signed = signed_with(self._config.signing.key, self._registry, store)
        return signed if self._traced is None else TracedPublishing(signed, *self._traced)

    def _pass_words_on(self, loop: TrainingLoop, live: Live) -> None:
        """Who was forgotten in the lineage before, since this one began, is forgotten here too."""
        if live.previous is None:
            return
        words = self._folders.forgotten_since(live.previous, live.since)
        known = {one.user_id for one in self._folders.forgotten_since(live.lineage, 0)}
        asked = [loop.forget(word.user_id, word.until, said_of(word)) for word in words if word.user_id not in known]
        done = msgspec.structs.replace(live, previous=None)
        if not asked:
            self._folders.set_live(done)
        for future in asked:  # in their order, so all are done when the last one is
            if future is asked[-1]:
                future.add_done_callback(lambda _: self._folders.set_live(done))


def _erasers(config: Config, events: EventLog) -> list[EventEraser]:
    """Of the events and the dead letters. Events of a log that cannot erase are never asked to be."""
    letters = FileEventEraser(config.dead_letter_dir)
    try:
        return [events.eraser(), letters]
    except Conflict as refusal:
        return [NoEraser(str(refusal)), letters]
