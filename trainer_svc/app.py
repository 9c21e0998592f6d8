"""The trainer's composition root: the only place that constructs."""

import hashlib
import logging
import os
import signal
import threading
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

import martlet.learn as ml
from martlet.artifacts import ArtifactStore, FolderStore
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import SystemClock
from martlet.errors import InvalidInput
from martlet.eventlog.file_log import FileEventReader
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import Config
from martlet.runtime.server import Listen, Server
from martlet.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
from trainer_svc.audit import AuditReport, NoStore, audit
from trainer_svc.checkpoint import CheckpointStore
from trainer_svc.course import Course
from trainer_svc.event_source import EventSource
from trainer_svc.export.exporter import Exporter
from trainer_svc.journal import Journal, read_journal
from trainer_svc.learner import Learner
from trainer_svc.publisher import Publisher
from trainer_svc.rpc.servicer import TrainerServicer
from trainer_svc.status import StatusBoard
from trainer_svc.training_loop import DeadLetters, LoopSettings, TrainingLoop
from trainer_svc.version_builder import VersionBuilder

logger = logging.getLogger(__name__)


def make_course(config: Config, artifacts: ArtifactStore) -> Course:
    """A course at its very beginning."""
    settings = config.trainer
    if not settings.model:
        raise InvalidInput("bad setting: trainer.model must name the model to learn, as package.module:NAME")
    model = ml.load(settings.model)
    learner = Learner(model, settings.initial_buckets, settings.threads)
    learning = {
        name: getattr(settings, name) for name in ("model", "batch_examples", "initial_buckets", "dedup_window_seconds")
    }
    digest = hashlib.sha256(msgspec.json.encode(learning, order="sorted")).hexdigest()[:16]
    builder = VersionBuilder(learner, Exporter(model), artifacts, settings.model, digest)
    window_us = settings.dedup_window_seconds * 1_000_000
    return Course(learner, builder, settings.batch_examples, window_us, settings.recent_requests)


def run_audit(config: Config, answers: int) -> AuditReport:
    """Learns everything again and compares (see `trainer_svc.audit`). The trainer must not run meanwhile."""
    entries = read_journal(config.checkpoint_dir / "journal")
    return audit(make_course(config, NoStore()), FileEventReader(config.event_log_dir), entries, answers)


async def run(config: Config, ports_file: Path | None) -> None:
    """Learns and serves its status until SIGTERM or SIGINT."""
    settings = config.trainer
    registry = CollectorRegistry()
    board = StatusBoard(registry)
    server = Server(
        "trainer", Listen(settings.host, settings.grpc_port, settings.metrics_port), registry, Authorizer(config.auth)
    )
    server.add(
        "martlet.v1.TrainerService", lambda grpc: add_TrainerServiceServicer_to_server(TrainerServicer(board), grpc)
    )
    await server.start()
    client = BlockingRegistryClient(settings.registry, config.auth.token)
    publisher = Publisher(client)
    journal = Journal(config.checkpoint_dir / "journal")
    loop = TrainingLoop(
        make_course(config, FolderStore(config.artifact_dir)),
        EventSource(FileEventReader(config.event_log_dir), settings.read_bytes),
        journal,
        CheckpointStore(config.checkpoint_dir / "checkpoints", settings.checkpoints_kept),
        publisher,
        DeadLetters(config.data_dir / "dead-letters" / "trainer.jsonl"),
        LoopSettings(
            settings.poll_ms / 1000,
            settings.publish_interval_ms / 1000,
            settings.chain_limit,
            settings.checkpoint_interval_seconds,
        ),
        SystemClock(),
        board,
        client.report_measurements,
    )
    loop.recover()
    thread = LoopThread(loop)
    thread.start()
    await server.set_serving(serving=True)
    server.announce(ports_file)
    await server.serve_until_signal((), 1.0)
    loop.stop()
    thread.join(30.0)
    publisher.close()
    client.close()
    journal.close()
    thread.raise_failure()


class LoopThread(threading.Thread):
    """Runs the loop; a failure ends the process, and a restart recovers from the journal."""

    def __init__(self, loop: TrainingLoop) -> None:
        super().__init__(name="training-loop", daemon=True)
        self._loop = loop
        self._failure: BaseException | None = None

    def run(self) -> None:
        """The thread's body."""
        try:
            self._loop.run()
        except BaseException as error:  # kept for the main thread, which ends the process with it
            logger.exception("learning failed; the process ends, and a restart recovers")
            self._failure = error
            os.kill(os.getpid(), signal.SIGTERM)

    def raise_failure(self) -> None:
        """Raises what ended the loop, if something did."""
        if self._failure is not None:
            raise self._failure
