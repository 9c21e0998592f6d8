"""The composition root of a strategy's run: `python -m trainer_svc retrain --run NAME`, in a process that gives way."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import msgspec

import martlet.learn as ml
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import SystemClock
from martlet.errors import MartletError
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store, event_log
from martlet.runtime.strategy_config import strategy_config
from trainer_svc.app import CACHE_BYTES, beginning, make_state, pace_of
from trainer_svc.audit import NoLetters
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.committing import Committed
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Began
from trainer_svc.lineage_parts import LineageParts
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.strategies.bounded_log import BoundedReader
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.strategies.quiet import Quiet
from trainer_svc.strategies.retraining import Foundation, Offered, Retraining
from trainer_svc.strategies.run_record import Run, RunState, read_run, write_run
from trainer_svc.training_ports import AsTheyAre, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

logger = logging.getLogger(__name__)

ORPHANED: Final = 3


def run_strategy(config: Config, name: str, preparing: Preparing = AsTheyAre) -> int:
    """Carries a run out, or on; gives the exit code. What became of it stands in its folder.

    Raises:
        NotFound: there is no such run.
        Conflict: another process is at it.
    """
    settings = strategy_config(config.learning.strategy)
    os.nice(settings.niceness)
    folder = LineageFolders(config.checkpoint_dir).path(name)
    run = read_run(folder)
    began = time.process_time()
    # From here on the run is this process's own; it holds the lock of the run's journal.
    composed = _Composed(config, name, run, preparing)
    write_run(folder, msgspec.structs.replace(run, state=RunState.LEARNING))
    try:
        offered = composed.retraining.run()
    except MartletError as error:
        logger.exception("run %s has failed", name)
        write_run(folder, _ended(run, composed.retraining.report, began, error=str(error)))
        return 1
    finally:
        composed.close()
    write_run(folder, _ended(run, composed.retraining.report, began, offered=offered))
    return 0


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone: its end of standard input is closed then."""

    def wait() -> None:
        while os.read(0, 1):  # not through sys.stdin, whose lock a thread would still hold at the end
            pass
        os._exit(ORPHANED)

    threading.Thread(target=wait, name="parent", daemon=True).start()


class _Composed:
    """Everything that one run consists of."""

    def __init__(self, config: Config, name: str, run: Run, preparing: Preparing) -> None:
        self._config = replace(config, trainer=replace(config.trainer, model=run.model_ref))
        self._run = run
        self._model = ml.load(run.model_ref)
        self._preparing = preparing
        settings = self._config.trainer
        folders = LineageFolders(config.checkpoint_dir)
        self._lineage = LineageParts(folders, name, config.dead_letter_dir, settings.checkpoints_kept)
        self._events = event_log(config, SystemClock())
        self._readers = [self._events.reader() for _ in range(2)]
        self._registry = BlockingRegistryClient(
            settings.registry, own_token(config.auth), tls=channel_security(config.tls)
        )
        self._background = ThreadPoolExecutor(1, "checkpoint")
        weigh = weigher(self._model.spec.layout, self._model.label)
        tail, lookup = self._readers
        self._source = EventSource(
            BoundedReader(tail, run.until), BoundedReader(lookup, run.until), settings.read_bytes, CACHE_BYTES, weigh
        )
        builder = VersionBuilder(
            artifact_store(config, cached=False), ModelIdentity(self._model.name, self._model.spec)
        )
        committed = Committed(self._lineage.journal, self._fresh, lambda: self._beginning(name))
        self.retraining = Retraining(
            run=run,
            journal=self._lineage.journal,
            committed=committed,
            checkpoints=self._lineage.checkpoints,
            checkpointing=self._checkpointing,
            restorer=Restorer(
                self._lineage.journal, self._lineage.checkpoints, self._fresh, builder.build, self._lineage.foundings
            ),
            foundings=self._lineage.foundings,
            found=self._foundation(),
            source=self._source,
            builder=builder,
            registry=self._registry,
            pace=pace_of(self._config),
        )

    def close(self) -> None:
        """Gives the run's lock back."""
        self._background.shutdown()
        self._registry.close()
        self._lineage.close()
        for reader in self._readers:
            reader.close()
        self._events.close()

    def _beginning(self, name: str) -> Began:
        return beginning(self._model, self._config, f"{self._run.parent_name}/{name}")

    def _fresh(self, began: Began) -> TrainingState:
        return make_state(began, self._model, self._config, self._source, NoLetters(), self._preparing)

    def _checkpointing(self, committed: Committed) -> Checkpointing:
        interval_s = self._config.trainer.checkpoint_interval_seconds
        return Checkpointing(committed, self._lineage.checkpoints, self._background, interval_s, SystemClock(), Quiet())

    def _foundation(self) -> Callable[[], Foundation]:
        return lambda: Foundation(None)


def _ended(run: Run, report: Sequence[str], began: float, *, offered: Offered | None = None, error: str = "") -> Run:
    spent = run.cpu_seconds + time.process_time() - began
    if offered is None:
        return msgspec.structs.replace(run, state=RunState.FAILED, error=error, cpu_seconds=spent)
    return msgspec.structs.replace(
        run,
        state=RunState.OFFERED,
        version=offered.version,
        digest=offered.digest,
        examples=offered.examples,
        cpu_seconds=spent,
        report=tuple(report),
    )
