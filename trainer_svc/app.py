"""The trainer's composition root: the only place where its rooms are made and joined."""

import asyncio
import hashlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import Clock, SystemClock
from martlet.errors import Conflict, InvalidInput, NotFound, NotReady
from martlet.eventlog.erasure import FileEventEraser, erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.feature_encoding import ItemId
from martlet.manifest import canonical_json, spec_digest
from martlet.manifest_signatures import Signer
from martlet.runtime.auth import Authorizer
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.learning_config import changed_setting, plain_learning
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.tracing import tracer_of
from martlet.said import Said
from martlet.signed_versions import SigningPublisher
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
from trainer_svc.erasure.eraser import Eraser, Shelf
from trainer_svc.erasure.erasures import Erasing
from trainer_svc.event_source import EventSource
from trainer_svc.export.exporter import Exporter
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import PARTITION, Began, Erased, LogJournal, ReadOnlyJournal, read_journal
from trainer_svc.judge.evidence_loop import EvidenceLoop, EvidencePace
from trainer_svc.judge.evidence_state import EvidenceState
from trainer_svc.judge.evidence_thread import EvidenceMetrics, EvidenceThread
from trainer_svc.learner import Learner
from trainer_svc.loop_settings import Pace
from trainer_svc.loop_thread import LoopThread
from trainer_svc.publish_policy import ChainLimits
from trainer_svc.publisher import Offer, Publisher, RegistryPort
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.rpc.servicer import TrainerServicer
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.traced import TracedPublishing, TracedSteps
from trainer_svc.training_loop import TrainingLoop
from trainer_svc.training_ports import AsTheyAre, LetterPort, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

logger = logging.getLogger(__name__)

CACHE_BYTES: Final = 128 << 20
RECORDS_FOR_AN_EXAMPLE: Final = 2  # mostly a prediction and an outcome: so a full step makes about one full batch
LETTER_PARTITION: Final = "trainer"
JUDGE_PARTITION: Final = "judge"
JUDGE_RECORDS: Final = 4096  # of one step of the judge
# Examples of one step when the trainer is behind, about: enough that the last batch, which is not full, costs little,
# and so few that versions and checkpoints need not wait long for the step's end.
STEP_EXAMPLES: Final = 8192
BATCHES_OF_A_STEP: Final = 2


class TrainerApp:
    """A trainer. Make it, `run` it.

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
    ) -> None:
        settings = config.trainer
        self._preparing = preparing
        self._config = config
        self._clock = clock
        self._ending = threading.Event()
        self._model = load_model(config)
        self._erasers = [
            FileEventEraser(folder) for folder in (config.event_log_dir, config.dead_letter_dir, config.checkpoint_dir)
        ]
        self._journal = FileEventWriter(config.checkpoint_dir, PARTITION)
        self._judge_journal = FileEventWriter(config.checkpoint_dir, JUDGE_PARTITION)
        self._letters = FileEventWriter(config.dead_letter_dir, LETTER_PARTITION)
        for eraser in self._erasers:
            eraser.finish()  # before anything is read, and under the journal's lock
        self._readers = [
            FileEventReader(folder)
            for folder in (config.event_log_dir, config.event_log_dir, config.checkpoint_dir, config.dead_letter_dir)
        ]
        self._judge_readers = [
            FileEventReader(folder) for folder in (config.event_log_dir, config.event_log_dir, config.checkpoint_dir)
        ]
        self._erasing_readers = [FileEventReader(folder) for folder in (config.event_log_dir, config.dead_letter_dir)]
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
        servicer = TrainerServicer(lambda: self._board.status, self._readmit, self._forget, self._erasures)
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

        async def end() -> None:
            self._ending.set()
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
        return self._loop.forget(user_id, said)

    def _erasures(self) -> list[Erasure]:
        return [] if self._loop is None else self._loop.erasures()

    def _make_erasing(self) -> Erasing:
        events, letters, journal = self._erasers
        event_reader, letter_reader = self._erasing_readers
        eraser = Eraser(
            self._model.name,
            Shelf(event_reader, events),
            Shelf(letter_reader, letters),
            LETTER_PARTITION,
            self._registry,
        )

        def scrub(start: int) -> None:
            entry = self._readers[2].read(PARTITION, start, 1)[0]
            journal.replace(PARTITION, {start: erased(len(entry.payload))})

        return Erasing(eraser, self._executors["eraser"], scrub)

    def _make_thread(self, recovered: Callable[[], None], failed: Callable[[], None]) -> LoopThread:
        config, settings = self._config, self._config.trainer
        weigh = weigher(self._model.spec.layout, self._model.label)
        source = EventSource(self._readers[0], self._readers[1], settings.read_bytes, CACHE_BYTES, weigh)
        letters = DeadLetterLog(self._letters, self._readers[3], LETTER_PARTITION, source.payload)
        store = FolderStore(config.artifact_dir)
        builder = VersionBuilder(store, ModelIdentity(self._model.name, self._model.spec))
        publisher = Publisher(builder, self._publishing(store), self._executors["publisher"], self._ending.wait)
        journal = LogJournal(self._journal, self._readers[2])
        # All checkpoints stay until it is known where the pin was taken off.
        checkpoints = FolderCheckpoints(config.checkpoint_dir / "checkpoints", settings.checkpoints_kept, held=0)
        restorer = Restorer(
            journal,
            checkpoints,
            lambda began: make_state(began, self._model, config, source, NoLetters(), self._preparing),
            builder.build,
        )
        loop = self._loop = TrainingLoop(
            journal=journal,
            checkpoints=checkpoints,
            make_state=lambda began: make_state(began, self._model, config, source, letters, self._preparing),
            restorer=restorer,
            begin=lambda: beginning(self._model, config, f"{self._model.name}-{secrets.token_hex(4)}"),
            source=source,
            publisher=publisher,
            background=self._executors["checkpoint"],
            pace=Pace(
                RECORDS_FOR_AN_EXAMPLE * settings.batch_examples,
                settings.publish_interval_ms / 1000,
                ChainLimits(settings.chain_limit, settings.chain_bytes_share),
                settings.checkpoint_interval_seconds,
                step_weight(settings.batch_examples),
            ),
            clock=self._clock,
            observer=self._board if self._traced is None else self._traced[1],
            erasing=self._make_erasing(),
        )
        return LoopThread(loop, self._board, self._clock, settings.poll_ms / 1000, self._ending, recovered, failed)

    def _publishing(self, store: FolderStore) -> RegistryPort:
        """The registry, as versions are published there: signed, if there is a key; traced, if there is a tracer."""
        key = self._config.signing.key
        signed = SigningPublisher(self._registry, store, Signer(Path(key))) if key else self._registry
        return signed if self._traced is None else TracedPublishing(signed, *self._traced)

    def _make_judge(self, failed: Callable[[], None]) -> EvidenceThread:
        config, settings, model = self._config, self._config.trainer, self._model
        tail, lookup, journal = self._judge_readers
        source = EventSource(
            tail, lookup, settings.read_bytes, CACHE_BYTES, weigher(model.spec.layout, model.label.main)
        )
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
        for writer in (self._journal, self._judge_journal, self._letters):
            writer.close()
        for reader in (*self._readers, *self._judge_readers, *self._erasing_readers):
            reader.close()


async def run(config: Config, ports_file: Path | None, preparing: Preparing = AsTheyAre) -> None:
    """Learns until SIGTERM or SIGINT. `preparing`: makes what happens to examples before they are learned."""
    await TrainerApp(config, SystemClock(), CollectorRegistry(), preparing).run(ports_file)


def run_audit(config: Config, answers: int, preparing: Preparing = AsTheyAre) -> AuditReport:
    """Learns everything again and compares (see `trainer_svc.audit`). Reads only; the trainer may run meanwhile.

    Raises:
        NotFound: there is no journal.
        Conflict: the log is not whole any more, since a user was erased from it.
    """
    model = load_model(config)
    events, lookup, journal = (
        FileEventReader(folder) for folder in (config.event_log_dir, config.event_log_dir, config.checkpoint_dir)
    )
    if PARTITION not in journal.partitions():
        raise NotFound(f"{config.checkpoint_dir} holds no journal")
    if any(isinstance(entry, Erased) for entry, _ in read_journal(journal, 0)):
        raise Conflict("a user was erased from the log: what was learned before cannot be learned again from it")
    source = EventSource(events, lookup, config.trainer.read_bytes, CACHE_BYTES)
    builder = VersionBuilder(NoStore(), ModelIdentity(model.name, model.spec))

    def fresh(began: Began) -> TrainingState:
        return make_state(began, model, config, source, NoLetters(), preparing)

    auditor = Auditor(
        fresh,
        builder,
        sample_answers(lookup, model.name, answers),
        rewind_targets(entry for entry, _ in read_journal(journal, 0)),
        Restorer(ReadOnlyJournal(journal), NoCheckpoints(), fresh, builder.build).suspect,
    )
    return auditor.run(entry for entry, _ in read_journal(journal, 0))


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
    """The model that the settings name."""
    if not config.trainer.model:
        raise InvalidInput("bad setting: trainer.model must name the model to learn, as package.module:NAME")
    return ml.load(config.trainer.model)


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
        learning=plain_learning(config.learning),
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
    changed = changed_setting(began.learning, own.learning)
    if changed:
        raise InvalidInput(
            f"bad setting: {config.data_dir} holds learning with another {changed}: put it back, or name another data "
            "directory"
        )
    if began != own:
        logger.warning("settings of learning have changed; they take effect in a new data directory")
    learner = Learner(model, began.initial_buckets, began.threads, began.table_dtype)
    exporter = Exporter(model)
    rules = IntakeRules(model.name, model.spec, model.label, began.dedup_window_seconds * 1_000_000)
    return TrainingState(began, rules, learner, lambda: exporter.graph(learner), source, letters, preparing())


def learning_digest(model: ml.Model) -> str:
    """Names the settings of the label, the optimizers and the limits of rows: 16 hex digits."""
    limits = [model.budgets] if model.budgets else []
    return hashlib.sha256(canonical_json([ml.plain_label(model.label), model.dense, model.rows, *limits])).hexdigest()[
        :16
    ]
