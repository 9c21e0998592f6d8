"""The composition root: the only place where serving's rooms are made and joined."""

import asyncio
import contextlib
import gc
import itertools
import os
import secrets
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from martlet.client.registry import RegistryClient
from martlet.clock import Clock
from martlet.exploration import Exploration
from martlet.manifest_signatures import TrustedKeys
from martlet.oip import open_inference_pb2_grpc
from martlet.runtime.auth import Authorizer
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store, event_log
from martlet.runtime.process_metrics import watch_process
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.tracing import tracer_of
from martlet.signed_versions import SignatureChecks
from martlet.v1 import events_pb2_grpc, serving_pb2_grpc
from martlet.versions import AspiredModel, ServableStatus
from martlet.wire.events import encode_event
from martlet.wire.item_events import decode_item_event
from serving_svc.answering import Answering
from serving_svc.batch_metrics import BatchMetrics
from serving_svc.batcher import Batcher
from serving_svc.candidates import Candidates
from serving_svc.event_intake import EventIntake
from serving_svc.explainer import Explainer
from serving_svc.head_gate import check_head
from serving_svc.health_meter import HealthMeter, HealthMetrics
from serving_svc.health_report import HealthReporter
from serving_svc.inference import Inference
from serving_svc.item_store import ItemStore
from serving_svc.item_tail import ItemTail
from serving_svc.loader import Trial
from serving_svc.manager import Manager
from serving_svc.onnx_loader import OnnxLoaders, Tables
from serving_svc.prediction_log import PredictionLog
from serving_svc.queue_metrics import IntakeMetrics, Queues, watch_queues
from serving_svc.retriever import Retriever
from serving_svc.rpc.events import EventsServicer
from serving_svc.rpc.open_inference import OpenInferenceServicer
from serving_svc.rpc.serving import ServingServicer
from serving_svc.servable import Servable, ServableId
from serving_svc.shadow import ShadowScoring
from serving_svc.shadow_metrics import ShadowMetrics
from serving_svc.shared_tables import SharedTables
from serving_svc.source import RegistrySource
from serving_svc.swap_metrics import SwapMetrics, watch_source, watch_versions
from serving_svc.table_metrics import watch_arenas
from serving_svc.tables_here import table_views
from serving_svc.tensor_inference import TensorInference
from serving_svc.tensor_statistics import TensorStatistics
from serving_svc.traced import LiveSpans, TracedBatcher, TracedRecords
from serving_svc.warm_up import RecentRequests, warm_up

SCORING_THREADS = 2
LOADER_NICENESS = 10
SWITCH_SECONDS = 0.0005
LOOPBACK = "127.0.0.1"
UNREADY_SECONDS = 10.0  # then a worker takes events, even if no registry has told it of a version


class ServingApp:
    """A serving replica. Make it, `start` it, `serve` until a signal; `stop` ends it (tests: `start` and `stop`).

    Raises:
        Conflict: another process writes this replica's partition of the event log.
        InvalidInput: a setting is wrong.
    """

    def __init__(self, config: Config, clock: Clock, collectors: CollectorRegistry) -> None:
        self._config = config
        self._clock = clock
        self._collectors = collectors
        self._token = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._executors = {
            "loader": ThreadPoolExecutor(1, "loader", _give_way),  # one at a time, and never on the event loop
            "scoring": ThreadPoolExecutor(SCORING_THREADS, "scoring"),
            "tail": ThreadPoolExecutor(1, "item-tail"),
            "retrieval": ThreadPoolExecutor(1, "retrieval"),
        }
        self._event_log = event_log(config, clock)
        self._writer = self._event_log.writer(config.serving.replica, config.serving.prediction_queue)
        self._reader = self._event_log.reader()
        self._tracer = tracer_of(config.tracing, config.tls, "serving")
        self._live = LiveSpans(self._tracer, config.serving.replica) if self._tracer is not None else None
        self._registry = RegistryClient(
            config.serving.registry, own_token(config.auth), tls=channel_security(config.tls)
        )
        self._meter = HealthMeter(HealthMetrics(collectors))
        self._recent = RecentRequests()
        self._statistics = TensorStatistics()
        self._items = ItemStore()
        self._tail = ItemTail(self._reader, decode_item_event, self._items, self._executors["tail"], collectors)
        self._changed, self._ready = asyncio.Event(), asyncio.Event()
        self.manager = self._make_manager()
        self.source = RegistrySource(
            self._registry, config.serving.replica, clock, aspire=self._aspire, synced=self.manager.synced
        )
        self._reporter = HealthReporter(
            self._registry,
            config.serving.replica,
            f"{config.serving.replica}/{self._token}",
            self._meter,
            self.manager.statuses,
            failed=Counter(
                "martlet_serving_reports_failed", "Reports that the registry did not take", registry=collectors
            ).inc,
        )
        self.batcher = self._make_batcher()
        self._predictions = PredictionLog(self._writer, encode_event, collectors)
        self.shadow = self._make_shadow()
        self.retriever = Retriever(
            self._items,
            self.manager,
            self._recent,
            self._executors["retrieval"],
            clock,
            collectors,
            above=config.serving.max_candidates,
            refresh_seconds=config.serving.retrieval_refresh_seconds,
        )
        self.server = self._make_server()
        self._watch_state()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listens, and begins to watch, to report and to read items. Not ready before the first aspired set.

        A worker that shares its port begins to listen when it is ready: what comes to it is lost to the others.
        """
        if not self._config.serving.share_port:
            await self.server.start()
        work = (
            self._watch_readiness(),
            self.source.run(),
            self._reporter.run(),
            self._tail.run(),
            self.retriever.run(),
        )
        self._tasks = [asyncio.create_task(task) for task in work]
        if self._config.serving.share_port:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), UNREADY_SECONDS)
            await self.server.start()
            await self.server.set_serving(serving=self._ready.is_set())
        sys.setswitchinterval(SWITCH_SECONDS)  # a loading version's Python must not hold up requests for long
        gc.collect()
        gc.freeze()  # what was imported stays: full collections need not look at it in the midst of requests

    async def serve(self, ports_file: Path | None) -> None:
        """Serves until SIGTERM or SIGINT."""
        self.server.announce(ports_file)
        await self.server.serve_until_signal([self._end], self._config.serving.drain_seconds)

    async def stop(self) -> None:
        """Drains and ends."""
        await self.server.stop(self._config.serving.drain_seconds)
        await self._end()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.shadow.close()
        await self.manager.close()
        await self._registry.close()
        self._predictions.flush()
        await asyncio.to_thread(self._writer.close)
        for executor in self._executors.values():
            await asyncio.to_thread(executor.shutdown)
        self._reader.close()
        await asyncio.to_thread(self._event_log.close)
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    async def _watch_readiness(self) -> None:
        while True:
            if self._ready.is_set() != self.manager.is_ready():
                (self._ready.clear if self._ready.is_set() else self._ready.set)()
                await self.server.set_serving(serving=self._ready.is_set())
            await self._changed.wait()
            self._changed.clear()

    def _make_manager(self) -> Manager:
        config = self._config
        folder = config.arena_dir / config.serving.replica
        shutil.rmtree(folder, ignore_errors=True)  # an earlier process's; the partition's lock says that it is gone
        artifacts = artifact_store(config, cached=True)
        tables: Tables
        if config.serving.tables:
            tables = SharedTables(Path(config.serving.tables))
        else:
            tables = views = table_views(config, folder / "tables")
            watch_arenas(views, self._collectors)
        signatures = SignatureChecks(artifacts, TrustedKeys([Path(path) for path in config.signing.trusted]))
        loaders = OnnxLoaders(
            artifacts,
            tables,
            folder / "graphs",
            config.serving.intra_op_threads,
            config.graphs.rules,
            signatures.check,
        )
        trial = Trial(self._warm_up, self._gate)
        return Manager(
            loaders,
            trial,
            self._executors["loader"],
            changed=self._on_change,
            retired=self._on_retired,
            swapped=SwapMetrics(self._collectors, self._clock).swapped,
        )

    def _watch_state(self) -> None:
        """Registers what is read when somebody scrapes."""
        collectors = self._collectors
        watch_versions(self.manager.held, self._clock, collectors)
        watch_source(self.source, collectors)
        queues = Queues(self._writer, self._predictions, self.shadow, self.batcher, self._items, self._tail)
        watch_queues(queues, self._config.serving, collectors)

    def _make_server(self) -> Server:
        config, clock = self._config.serving, self._clock
        answering = self._make_answering()
        inference = self._make_inference(answering)
        explainer = Explainer(answering, self.batcher, self._items, config.max_candidates)
        taken = IntakeMetrics(self._collectors).taken
        intake = EventIntake(self._predictions.writer, encode_event, self._items, clock, taken=taken)
        serving = ServingServicer(inference, explainer, self._statuses, config.replica, clock)
        events = EventsServicer(intake, clock)
        tensors = TensorInference(
            answering=answering,
            batcher=self.batcher,
            statistics=self._statistics,
            clock=clock,
            next_id=self._next_id,
            max_rows=config.max_candidates,
        )
        open_inference = OpenInferenceServicer(tensors, self.manager, self._statistics, clock)
        listen = Listen(
            config.host,
            config.grpc_port,
            config.metrics_port,
            config.max_message_bytes,
            config.max_calls,
            share_port=config.share_port,
            metrics_host=LOOPBACK if config.share_port else "",  # the host asks it, and tells for all
            connection_age=config.connection_age_seconds,
        )
        tls = server_tls(self._config.tls, config.host)
        authorizer = Authorizer(self._config.auth, mutual=tls is not None and tls.mutual)
        watch_process(self._collectors, "serving", self._config.data_dir, tls)
        server = Server("serving", listen, self._collectors, authorizer, tls, self._tracer)
        server.add(
            "martlet.v1.ServingService", lambda to: serving_pb2_grpc.add_ServingServiceServicer_to_server(serving, to)
        )
        server.add(
            "martlet.v1.EventsService", lambda to: events_pb2_grpc.add_EventsServiceServicer_to_server(events, to)
        )
        server.add(
            "inference.GRPCInferenceService",
            lambda to: open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(open_inference, to),
        )
        return server

    def _make_batcher(self) -> Batcher:
        config = self._config.serving
        limits = {"max_batch_rows": config.max_batch_rows, "max_pending_rows": config.max_pending_rows}
        ran = BatchMetrics(self._collectors).ran
        if self._tracer is None:
            return Batcher(self._executors["scoring"], self._clock, **limits, ran=ran)
        return TracedBatcher(self._executors["scoring"], self._clock, **limits, ran=ran, tracer=self._tracer)

    def _make_shadow(self) -> ShadowScoring:
        config = self._config.serving
        parts = (self.manager, self._predictions, self._executors["scoring"], ShadowMetrics(self._collectors))
        if self._tracer is None:
            return ShadowScoring(*parts, share=config.shadow_share, max_rows=config.shadow_queue)
        return TracedRecords(*parts, share=config.shadow_share, max_rows=config.shadow_queue, tracer=self._tracer)

    def _make_answering(self) -> Answering:
        return Answering(
            self.manager, self._meter, self._clock, lease_open=self.source.lease_open, next_id=self._next_id
        )

    def _make_inference(self, answering: Answering) -> Inference:
        config = self._config.serving
        candidates = Candidates(
            self._items,
            self.retriever,
            self.batcher,
            limit=config.max_candidates,
            retrieved=config.retrieved_candidates,
            newest=config.newest_candidates,
        )
        return Inference(
            answering=answering,
            batcher=self.batcher,
            items=self._items,
            candidates=candidates,
            records=self.shadow,
            recent=self._recent,
            clock=self._clock,
            items_known=lambda: self._tail.caught_up,
            next_id=self._next_id,
            max_candidates=config.max_candidates,
            exploration=Exploration(config.exploration_epsilon, config.exploration_temperature),
        )

    def _next_id(self) -> str:
        return f"{self._config.serving.replica}-{self._token}-{next(self._numbers)}"

    def _warm_up(self, servable: Servable) -> None:
        warm_up(servable, self._recent.of(servable.spec_digest))

    def _gate(self, new: Servable, current: Servable) -> None:
        check_head(new, current, self._recent.of(new.spec_digest), self._config.serving.max_mean_logit_shift)

    def _statuses(self) -> tuple[ServableStatus, ...]:
        return self._meter.with_counts(self.manager.statuses())

    def _aspire(self, aspired: AspiredModel) -> None:
        if self._live is not None:
            self._live.aspired(aspired)
        self.manager.aspire(aspired)

    def _on_change(self) -> None:
        self._changed.set()
        self._reporter.changed()
        if self._live is not None:
            self._live.changed(self.manager.statuses())

    def _on_retired(self, servable: ServableId) -> None:
        self._meter.forget(servable)
        self._statistics.forget(servable)
        self._items.keep_specs(servable.model, self.manager.spec_digests(servable.model))


def _give_way() -> None:
    """For a thread whose work can wait: requests get the core first. Where that is not allowed, nothing changes."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)  # on Linux, of a thread
