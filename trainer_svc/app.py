"""The trainer's composition root: the only place where its rooms are made and joined."""

import asyncio
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.client.registry import BlockingRegistryClient
from martlet.clock import Clock, SystemClock
from martlet.runtime.auth import Authorizer
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.parts import event_log
from martlet.runtime.process_metrics import watch_process
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.strategy_config import strategy_config
from martlet.runtime.tracing import tracer_of
from martlet.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
from trainer_svc.judge_app import ComposedJudge
from trainer_svc.lag_metrics import LagMetrics, watch_journals
from trainer_svc.live_app import ComposedLive
from trainer_svc.log_watch import LogWatch
from trainer_svc.rpc.servicer import TrainerServicer
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.strategies.live_view import LiveView
from trainer_svc.strategies.run_process import launcher
from trainer_svc.strategies.strategist import Strategist, StrategistThread
from trainer_svc.training_ports import AsTheyAre, Preparing


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
        self._config = config
        self._ending = threading.Event()
        folders = LineageFolders(config.checkpoint_dir)
        self._events = event_log(config, clock)
        tracer = self._tracer = tracer_of(config.tracing, config.tls, "trainer")
        self._registry = BlockingRegistryClient(
            config.trainer.registry,
            own_token(config.auth),
            tls=channel_security(config.tls),
            trace=None if tracer is None else tracer.current,
        )
        self._live = ComposedLive(
            config, clock, folders, self._events, self._registry, tracer, collectors, preparing, self._ending
        )
        self._judge = ComposedJudge(
            config, clock, self._events, self._registry, collectors, self._live.model, self._ending
        )
        self._end_reader = self._events.reader()
        strategy = strategy_config(config.learning.strategy)
        view = LiveView(self._live.standing, self._log_ends, self._live.erasures, strategy.fine_tune_hours, clock)
        self._strategist = Strategist(folders, view, launcher(options), strategy)
        self.server = self._make_server(collectors)
        self._log_watch = LogWatch(self._events.reader(), self._ending)
        LagMetrics(self._live.reading, lambda: self._log_watch.found, clock, collectors)
        journals = {"learner": self._live.journal_position, "judge": self._judge.journal_position}
        watch_journals(self._live.model.name, journals, collectors)

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

        thread = self._live.thread(recovered, failed, self._strategist.went_live)
        judge = self._judge.thread(failed)
        self.server.announce(ports_file)
        thread.start()
        judge.start()
        strategist = StrategistThread(self._strategist, self._ending)
        strategist.start()
        self._log_watch.start()

        async def end() -> None:
            self._ending.set()
            await asyncio.to_thread(strategist.join)
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(judge.join)
            await asyncio.to_thread(self._log_watch.join)

        await self.server.serve_until_signal([end], grace=1.0)
        await asyncio.to_thread(self._close)
        for failure in (thread.failure, judge.failure):
            if failure is not None:
                raise failure

    def _make_server(self, collectors: CollectorRegistry) -> Server:
        config, live = self._config, self._live
        listen = Listen(config.trainer.host, config.trainer.grpc_port, config.trainer.metrics_port)
        tls = server_tls(config.tls, config.trainer.host)
        authorizer = Authorizer(config.auth, mutual=tls is not None and tls.mutual)
        watch_process(collectors, "trainer", config.data_dir, tls)
        server = Server("trainer", listen, collectors, authorizer, tls, self._tracer)
        servicer = TrainerServicer(
            lambda: live.board.status, live.readmit, live.forget, live.erasures, self._strategist
        )
        server.add("martlet.v1.TrainerService", lambda grpc: add_TrainerServiceServicer_to_server(servicer, grpc))
        return server

    def _log_ends(self) -> dict[str, int]:
        reader = self._end_reader
        return {name: reader.end(name) for name in reader.partitions()}

    def _close(self) -> None:
        self._live.stop()
        self._registry.close()
        if self._tracer is not None:
            self._tracer.close()
        self._live.close()
        self._judge.close()
        self._end_reader.close()
        self._log_watch.close()
        self._events.close()


async def run(
    config: Config, ports_file: Path | None, preparing: Preparing = AsTheyAre, options: Sequence[str] = ()
) -> None:
    """Learns until SIGTERM or SIGINT (see `TrainerApp`)."""
    await TrainerApp(config, SystemClock(), CollectorRegistry(), preparing, options).run(ports_file)
