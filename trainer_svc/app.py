"""The trainer's composition root: the only place where its rooms are made and joined."""

import asyncio
import hashlib
import logging
import math
import os
import secrets
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry

import martlet.learn as ml
from martlet.artifacts.port import SignatureStore
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import Clock, SystemClock
from martlet.errors import Conflict, InvalidInput, NotFound, NotReady
from martlet.eventlog.erasure import FileEventEraser, NoEraser
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.files import FileEventLog
from martlet.eventlog.port import EventEraser, EventLog
from martlet.feature_encoding import ItemId
from martlet.manifest import canonical_json, spec_digest
from martlet.runtime.auth import Authorizer
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.learning_config import changed_setting, plain_learning
from martlet.runtime.parts import artifact_store, event_log
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.strategy_config import strategy_config
from martlet.runtime.tracing import tracer_of
from martlet.said import Said
from martlet.signed_versions import signed_with
from martlet.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
from martlet.wire.trainer import Erasure
from trainer_svc.audit import (
    Auditor,
    AuditReport,
    NoCheckpoints,
    NoLetters,
    NoStore,
    rewind_targets,
    sample_answers,
)
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.dead_letters import DeadLetterLog
from trainer_svc.dense_model import DenseModel
from trainer_svc.erasure.eraser import Eraser, Shelf
from trainer_svc.erasure.erasures import Erasing, said_of
from trainer_svc.event_source import EventSource
from trainer_svc.export.exporter import Exporter
from trainer_svc.hand_over import HandOver
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import PARTITION, Began, Erased, LogJournal, ReadOnlyJournal, read_journal
from trainer_svc.judge.evidence_loop import EvidenceLoop, EvidencePace
from trainer_svc.judge.evidence_state import EvidenceState
from trainer_svc.judge.evidence_thread import EvidenceMetrics, EvidenceThread
from trainer_svc.learner import Learner
from trainer_svc.lineage_parts import LETTER_PARTITION, LineageParts
from trainer_svc.loop_settings import Pace
from trainer_svc.loop_thread import LoopThread
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.publisher import Offer, Publisher, RegistryPort
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.rpc.servicer import TrainerServicer
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.lineage_folders import LineageFolders, Live, OtherLineages
from trainer_svc.strategies.lineage_settings import settings_of
from trainer_svc.strategies.live_view import LiveView, Standing
from trainer_svc.strategies.run_process import launcher
from trainer_svc.strategies.strategist import Strategist, StrategistThread
from trainer_svc.traced import TracedPublishing, TracedSteps
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_ports import AsTheyAre, LetterPort, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

logger = logging.getLogger(__name__)

CACHE_BYTES: Final = 128 << 20
RECORDS_FOR_AN_EXAMPLE: Final = 2  # mostly a prediction and an outcome: so a full step makes about one full batch
JUDGE_PARTITION: Final = "judge"
JUDGE_RECORDS: Final = 4096  # of one step of the judge
# Examples of one step when the trainer is behind, about: enough that the last batch, which is not full, costs little,
# and so few that versions and checkpoints need not wait long for the step's end.
STEP_EXAMPLES: Final = 8192
BATCHES_OF_A_STEP: Final = 2


class TrainerApp:
    """A trainer. Make it, `run` it.

    Args:
        preparing: makes what happens to examples before they are learned.
        options: of the command line, by which processes beside this one find the same settings.

    Raises:
        InvalidInput: no model is named, or the data directory belongs to another one.
        Conflict: another trainer uses the data directory.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        collectors: CollectorRegistry,
        preparing: Preparing = AsTheyAre,
        options: Sequence[str] = (),
    ) -> None:
        settings = config.trainer
        self._preparing = preparing
        self._config = config
        self._clock = clock
        self._ending = threading.Event()
        self._folders = LineageFolders(config.checkpoint_dir)
        self._model = live_model(config, self._folders)
        self._same_form = same_form(self._model, load_model(config))
        self._events = event_log(config, clock)
        self._erasers = _erasers(config, self._events)
        self._judge_journal = FileEventWriter(config.checkpoint_dir, JUDGE_PARTITION)
        self._lineage = self._opened(self._folders.live.lineage)
        for eraser in self._erasers:
            eraser.finish()  # before anything is read, and under the journal's lock
        self._readers = [self._events.reader() for _ in range(3)]
        journal, letters = FileEventLog(config.checkpoint_dir), FileEventLog(config.dead_letter_dir)
        self._judge_readers = [log.reader() for log in (self._events, self._events, journal)]
        self._erasing_readers = [log.reader() for log in (self._events, letters)]
        self._evidence_metrics = EvidenceMetrics(collectors, self._model.name)
        tracer = self._tracer = tracer_of(config.tracing, config.tls, "trainer")
        self._registry = BlockingRegistryClient(
            settings.registry,
            own_token(config.auth),
            tls=channel_security(config.tls),
            trace=None if tracer is None else tracer.current,
        )
        # One thread each: versions go out in order, checkpoints too, and neither waits for the other.
        self._executors = {
            name: ThreadPoolExecutor(1, name) for name in ("publisher", "checkpoint", "report", "eraser")
        }
        self._board = StatusBoard(
            self._model.name,
            TrainerMetrics(collectors),
            self._registry.report_measurements,
            self._executors["report"],
        )
        listen = Listen(settings.host, settings.grpc_port, settings.metrics_port)
        self._traced = (tracer, TracedSteps(self._board, tracer, self._model.name)) if tracer is not None else None
        tls = server_tls(config.tls, settings.host)
        authorizer = Authorizer(config.auth, mutual=tls is not None and tls.mutual)
        self.server = Server("trainer", listen, collectors, authorizer, tls, tracer)
        self._loop: TrainingLoop | None = None
        strategy = strategy_config(config.learning.strategy)
        view = LiveView(self._standing, self._log_ends, self._erasures, strategy.fine_tune_hours, clock)
        self._strategist = Strategist(self._folders, view, launcher(options), strategy)
        servicer = TrainerServicer(
            lambda: self._board.status, self._readmit, self._forget, self._erasures, self._strategist
        )
        self.server.add("martlet.v1.TrainerService", lambda grpc: add_TrainerServiceServicer_to_server(servicer, grpc))

    async def run(self, ports_file: Path | None) -> None:
        """Learns until SIGTERM or SIGINT.

        Raises:
            Exception: what ended the loop, if it failed.
        """
        await self.server.start()
        events = asyncio.get_running_loop()

        def recovered() -> None:
            asyncio.run_coroutine_threadsafe(self.server.set_serving(serving=True), events)

        def failed() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        thread, judge = self._make_thread(recovered, failed), self._make_judge(failed)
        self.server.announce(ports_file)
        thread.start()
        judge.start()
        strategist = StrategistThread(self._strategist, self._ending)
        strategist.start()

        async def end() -> None:
            self._ending.set()
            await asyncio.to_thread(strategist.join)
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(judge.join)

        await self.server.serve_until_signal([end], grace=1.0)
        await asyncio.to_thread(self._close)
        for failure in (thread.failure, judge.failure):
            if failure is not None:
                raise failure

    def _readmit(self, epoch: int) -> "Future[Offer]":
        if self._loop is None:
            raise NotReady("the trainer is still starting")
        return self._loop.readmit(epoch)

    def _forget(self, user_id: ItemId, said: Said) -> "Future[Erasure]":
        if self._loop is None:
            raise NotReady("the trainer is still starting")
        self._events.eraser()  # what cannot be carried through is not begun
        return self._loop.forget(user_id, said=said)

    def _erasures(self) -> list[Erasure]:
        return [] if self._loop is None else self._loop.erasures()

    def _standing(self) -> Standing | None:
        """Where the live lineage stands; from any thread."""
        loop, status = self._loop, self._board.status
        if loop is None or not status.last_published_digest:
            return None
        return Standing(
            lineage=loop.began.lineage,
            folder=self._folders.live.lineage,
            pin=loop.pin or status.last_published_digest,
            journal_position=loop.position,
            event_time_us=self._board.event_time_us,
            examples=self._board.examples,
            model_ref=loop.began.model_ref,
            wanted=loop.began.model_ref if self._same_form else self._config.trainer.model,
            loss=status.quality.get("logloss", math.nan),
            began_us=self._board.began_us,
        )

    def _log_ends(self) -> dict[str, int]:
        reader = self._readers[2]
        return {name: reader.end(name) for name in reader.partitions()}

    def _opened(self, lineage: str) -> LineageParts:
        # All checkpoints stay until it is known where the pin was taken off.
        config = self._config
        return LineageParts(self._folders, lineage, config.dead_letter_dir, config.trainer.checkpoints_kept, held=0)

    def _make_erasing(self, lineage: LineageParts) -> Erasing:
        events, letters = self._erasers
        event_reader, letter_reader = self._erasing_readers
        eraser = Eraser(
            self._model.name,
            Shelf(event_reader, events),
            Shelf(letter_reader, letters),
            LETTER_PARTITION,
            self._registry,
        )
        return Erasing(eraser, self._executors["eraser"], lineage.scrub)

    def _make_thread(self, recovered: Callable[[], None], failed: Callable[[], None]) -> LoopThread:
        poll_s = self._config.trainer.poll_ms / 1000
        loop = self._make_loop()
        return LoopThread(loop, self._board, self._clock, poll_s, self._ending, recovered, failed, self._go_over)

    def _go_over(self, word: HandOver) -> TrainingLoop:
        """Closes the lineage that was live and opens the one that the head belongs to."""
        folders, before = self._folders, self._folders.live
        record = next((one for one in folders.runs() if one.name == word.lineage), None)
        version = word.head.version or (record.run.version if record is not None else 0)
        since = record.run.journal_position if record is not None else 0
        folders.set_live(Live(word.lineage, before.lineage, since, replace(word.head, version=version)))
        self._strategist.went_live(word.lineage)
        self._lineage.close()
        self._lineage = self._opened(word.lineage)
        self._model = live_model(self._config, folders)
        self._same_form = same_form(self._model, load_model(self._config))
        return self._make_loop()

    def _make_loop(self) -> TrainingLoop:
        """The loop of the live lineage."""
        config, model, lineage, live = self._config, self._model, self._lineage, self._folders.live
        settings = config.trainer
        weigh = weigher(model.spec.layout, model.label)
        source = EventSource(
            self._readers[0], self._readers[1], settings.read_bytes, CACHE_BYTES, weigh, self._ending.wait
        )
        letters = DeadLetterLog(lineage.letter_writer, lineage.letter_reader, lineage.letter_partition, source.payload)
        store = artifact_store(config, cached=False)
        builder = VersionBuilder(store, ModelIdentity(model.name, model.spec, model.head.more))
        publisher = Publisher(builder, self._publishing(store), self._executors["publisher"], self._ending.wait)
        restorer = Restorer(
            lineage.journal,
            lineage.checkpoints,
            lambda began: make_state(began, model, config, source, NoLetters(), self._preparing),
            publisher.build,  # a store that is away delays going back and recovery, and ends neither
            lineage.foundings,
        )
        loop = self._loop = TrainingLoop(
            journal=lineage.journal,
            checkpoints=lineage.checkpoints,
            make_state=lambda began: make_state(began, model, config, source, letters, self._preparing),
            restorer=restorer,
            begin=lambda: beginning(model, config, f"{model.name}-{secrets.token_hex(4)}"),
            source=source,
            publisher=publisher,
            background=self._executors["checkpoint"],
            pace=pace_of(config),
            clock=self._clock,
            observer=self._board if self._traced is None else self._traced[1],
            erasing=self._make_erasing(lineage),
            kin=OtherLineages(self._folders, lineage.name),
            head=live.head,
        )
        self._pass_words_on(loop, live)
        return loop

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

    def _publishing(self, store: SignatureStore) -> RegistryPort:
        """The registry, as versions are published there: signed, if there is a key; traced, if there is a tracer."""
        signed = signed_with(self._config.signing.key, self._registry, store)
        return signed if self._traced is None else TracedPublishing(signed, *self._traced)

    def _make_judge(self, failed: Callable[[], None]) -> EvidenceThread:
        config, settings, model = self._config, self._config.trainer, self._model
        if model.label.link != "sigmoid":
            logger.warning(
                "%s: the judge compares log-losses, and this label is no yes or no: set registry.quality: health, else "
                "the lane stays in shadow",
                model.name,
            )
        tail, lookup, journal = self._judge_readers
        weigh = weigher(model.spec.layout, model.label.main)
        source = EventSource(tail, lookup, settings.read_bytes, CACHE_BYTES, weigh, self._ending.wait)
        rules = IntakeRules(model.name, model.spec, model.label.main, settings.dedup_window_seconds * 1_000_000)
        loop = EvidenceLoop(
            journal=LogJournal(self._judge_journal, journal, JUDGE_PARTITION),
            checkpoints=FolderCheckpoints(config.checkpoint_dir / "judge-checkpoints", settings.checkpoints_kept),
            state=EvidenceState(producer_name(config.checkpoint_dir, model.name), rules, source),
            source=source,
            registry=self._registry,
            pace=EvidencePace(JUDGE_RECORDS, settings.checkpoint_interval_seconds, STEP_EXAMPLES),
            clock=self._clock,
            observer=self._evidence_metrics,
            pause=self._ending.wait,
        )
        return EvidenceThread(loop, settings.evidence_interval_ms / 1000, self._ending, failed)

    def _close(self) -> None:
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
        self._registry.close()
        if self._tracer is not None:
            self._tracer.close()
        self._lineage.close()
        self._judge_journal.close()
        for reader in (*self._readers, *self._judge_readers, *self._erasing_readers):
            reader.close()
        self._events.close()


async def run(
    config: Config, ports_file: Path | None, preparing: Preparing = AsTheyAre, options: Sequence[str] = ()
) -> None:
    """Learns until SIGTERM or SIGINT (see `TrainerApp`)."""
    await TrainerApp(config, SystemClock(), CollectorRegistry(), preparing, options).run(ports_file)


def run_audit(config: Config, answers: int, preparing: Preparing = AsTheyAre) -> AuditReport:
    """Learns everything again and compares (see `trainer_svc.audit`). Reads only; the trainer may run meanwhile.

    Raises:
        NotFound: there is no journal.
        Conflict: the log is not whole any more, since a user was erased from it.
    """
    folders = LineageFolders(config.checkpoint_dir)
    folder, model = folders.path(folders.live.lineage), live_model(config, folders)
    log = event_log(config, SystemClock())
    events, lookup, journal = log.reader(), log.reader(), FileEventReader(folder)
    if PARTITION not in journal.partitions():
        raise NotFound(f"{folder} holds no journal")
    if any(isinstance(entry, Erased) for entry, _ in read_journal(journal, 0)):
        raise Conflict("a user was erased from the log: what was learned before cannot be learned again from it")
    source = EventSource(events, lookup, config.trainer.read_bytes, CACHE_BYTES)
    builder = VersionBuilder(NoStore(), ModelIdentity(model.name, model.spec, model.head.more))

    def fresh(began: Began) -> TrainingState:
        return make_state(began, model, config, source, NoLetters(), preparing)

    auditor = Auditor(
        fresh,
        builder,
        sample_answers(lookup, model.name, answers),
        rewind_targets(entry for entry, _ in read_journal(journal, 0)),
        Restorer(ReadOnlyJournal(journal), NoCheckpoints(), fresh, builder.build, FoundingFolder(folder)).suspect,
        FoundingFolder(folder),
    )
    return auditor.run(entry for entry, _ in read_journal(journal, 0))


def pace_of(config: Config) -> Pace:
    """How often the loop does things."""
    settings = config.trainer
    return Pace(
        RECORDS_FOR_AN_EXAMPLE * settings.batch_examples,
        settings.publish_interval_ms / 1000,
        ChainLimits(settings.chain_limit, settings.chain_bytes_share),
        settings.checkpoint_interval_seconds,
        step_weight(settings.batch_examples),
    )


def _erasers(config: Config, events: EventLog) -> list[EventEraser]:
    """Of the events and the dead letters. Events of a log that cannot erase are never asked to be."""
    letters = FileEventEraser(config.dead_letter_dir)
    try:
        return [events.eraser(), letters]
    except Conflict as refusal:
        return [NoEraser(str(refusal)), letters]


def step_weight(batch_examples: int) -> int:
    """See `Pace.weight`."""
    return max(BATCHES_OF_A_STEP * batch_examples, STEP_EXAMPLES)


def producer_name(folder: Path, model: str) -> str:
    """The judge's name to the registry: made once, and kept beside its journal, for batches are known by it."""
    path = folder / "judge-name"
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(f"judge/{model}-{secrets.token_hex(4)}")
        part.replace(path)
    return path.read_text()


def load_model(config: Config) -> ml.Model:
    """The model that the settings name, as they override it."""
    if not config.trainer.model:
        raise InvalidInput("bad setting: trainer.model must name the model to learn, as package.module:NAME")
    return ml.overridden(ml.load(config.trainer.model), plain_learning(config.learning))


def live_model(config: Config, folders: LineageFolders) -> ml.Model:
    """The model of the live lineage: as long as it can be loaded the one that the lineage began with.

    So learning goes on while a changed model, which the settings name, is brought up beside it.
    """
    wanted = load_model(config)
    reader = FileEventReader(folders.path(folders.live.lineage))
    try:
        began = next((entry for entry, _ in read_journal(reader, 0)), None) if reader.partitions() else None
    finally:
        reader.close()
    if not isinstance(began, Began) or began.model_ref == config.trainer.model:
        return wanted
    try:
        before = ml.overridden(ml.load(began.model_ref), began.learning)
    except InvalidInput as error:
        logger.warning("the model that learning began with cannot be loaded any more: %s", error)
        return wanted
    own = (spec_digest(before.spec), learning_digest(before))
    return before if own == (began.spec_digest, began.learning_digest) else wanted


def same_form(one: ml.Model, other: ml.Model) -> bool:
    """Whether a model is another one under a new name: a lineage of the one goes on with the other."""

    def form(model: ml.Model) -> tuple[object, ...]:
        shapes = {name: tuple(tensor.shape) for name, tensor in DenseModel(model).tensors().items()}
        return spec_digest(model.spec), learning_digest(model), shapes

    return one is other or form(one) == form(other)


def beginning(model: ml.Model, config: Config, lineage: str) -> Began:
    """The first entry of a new lineage."""
    settings = config.trainer
    return Began(
        lineage=lineage,
        model=model.name,
        model_ref=settings.model,
        spec_digest=spec_digest(model.spec),
        learning_digest=learning_digest(model),
        batch_examples=settings.batch_examples,
        initial_buckets=settings.initial_buckets,
        threads=settings.threads,
        dedup_window_seconds=settings.dedup_window_seconds,
        recent_requests=settings.recent_requests,
        table_dtype=settings.table_dtype,
        delta_encoding=settings.delta_encoding,
        exact_repair_every=settings.exact_repair_every,
        learning=without_strategy(plain_learning(config.learning)),
    )


def make_state(
    began: Began,
    model: ml.Model,
    config: Config,
    source: EventSource,
    letters: LetterPort,
    preparing: Preparing = AsTheyAre,
) -> TrainingState:
    """A fresh state for a lineage, with the settings that it began with.

    Raises:
        InvalidInput: the lineage is another model's, or was begun with other settings of learning.
    """
    own = beginning(model, config, began.lineage)
    if (began.model, began.spec_digest, began.learning_digest) != (own.model, own.spec_digest, own.learning_digest):
        raise InvalidInput(
            f"{config.data_dir} holds the learning of model {began.model!r} with other features, label or optimizers: "
            "name that model, or another data directory"
        )
    changed = changed_setting(without_strategy(began.learning), own.learning)
    if changed:
        raise InvalidInput(
            f"bad setting: {config.data_dir} holds learning with another {changed}: put it back, or name another data "
            "directory"
        )
    if msgspec.structs.replace(began, learning=own.learning) != own:
        logger.warning("settings of learning have changed; they take effect in a new data directory")
    settings = settings_of(began.learning)
    learner = Learner(model, began.initial_buckets, began.threads, began.table_dtype, settings.frozen)
    exporter = Exporter(model)
    dedup_us = began.dedup_window_seconds * 1_000_000
    rules = IntakeRules(model.name, model.spec, model.label, dedup_us, settings.earlier)
    return TrainingState(began, rules, learner, lambda: exporter.graph(learner), source, letters, preparing())


def without_strategy(learning: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of learning without those that only say when runs begin: what runs learn enters by another road."""
    return {name: value for name, value in learning.items() if name != "strategy"}


def learning_digest(model: ml.Model) -> str:
    """Names the settings of the label, the optimizers and the limits of rows: 16 hex digits."""
    limits: list[object] = [model.budgets] if model.budgets else []
    limits += [type(model.head.fusion).__name__, model.head.fusion] if model.head.fusion else []
    return hashlib.sha256(canonical_json([ml.plain_label(model.label), model.dense, model.rows, *limits])).hexdigest()[
        :16
    ]
