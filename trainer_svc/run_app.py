"""The composition root of a strategy's run: `python -m trainer_svc retrain --run NAME`, in a process that gives way."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

import martlet.learn as ml
from martlet.client.registry import BlockingRegistryClient
from martlet.clock import SystemClock
from martlet.errors import InvalidInput, MartletError, NotFound
from martlet.manifest import spec_digest
from martlet.runtime.channel_security import channel_security, own_token
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store, event_log
from martlet.runtime.strategy_config import strategy_config
from martlet.signed_versions import signed_with
from trainer_svc.audit import NoLetters
from trainer_svc.backfill.run import BackfillOptions, learned_base
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.checkpoints.state import copy_of
from trainer_svc.committing import Committed
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import Began
from trainer_svc.learner import Learner
from trainer_svc.lineage_parts import CHECKPOINTS, LineageParts
from trainer_svc.lineages.model import learning_digest, load_model
from trainer_svc.lineages.pace import CACHE_BYTES, pace_of
from trainer_svc.lineages.state import beginning, make_state
from trainer_svc.record_weight import weigher
from trainer_svc.restorer import Restorer
from trainer_svc.strategies.bounded_log import BoundedReader
from trainer_svc.strategies.choice import HOUR_US
from trainer_svc.strategies.fine_tuning import LEARNER, fine_tuned, part_of, slowed, with_learner
from trainer_svc.strategies.lineage_folders import LineageFolders
from trainer_svc.strategies.lineage_settings import LineageSettings, settings_of, with_settings
from trainer_svc.strategies.parent import Parent, read_began, restore_parent
from trainer_svc.strategies.pretrained import give_vectors, read_vectors
from trainer_svc.strategies.quiet import Quiet
from trainer_svc.strategies.recent_window import recent_examples, start_before
from trainer_svc.strategies.retraining import Foundation, Offered, Retraining
from trainer_svc.strategies.run_record import Run, RunState, read_run, write_run
from trainer_svc.training_ports import AsTheyAre, Preparing
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder
from trainer_svc.warm_start import Wanted, warm_start

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
    composed = ComposedRun(config, name, run, preparing)
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


class ComposedRun:
    """Everything that one run consists of."""

    def __init__(self, config: Config, name: str, run: Run, preparing: Preparing) -> None:
        self._config = replace(config, trainer=replace(config.trainer, model=run.model_ref))
        self._run = run
        self._model = load_model(self._config)
        self._preparing = preparing
        self._settings = strategy_config(config.learning.strategy)
        settings = self._config.trainer
        folders = self._folders = LineageFolders(config.checkpoint_dir)
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
        store = artifact_store(config, cached=False)
        builder = VersionBuilder(store, ModelIdentity(self._model.name, self._model.spec, self._model.head.more))
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
            found=self._foundation,
            source=self._source,
            builder=builder,
            registry=signed_with(config.signing.key, self._registry, store),
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
        began = beginning(self._model, self._config, f"{self._run.parent_name}/{name}")
        return msgspec.structs.replace(began, learning=with_settings(began.learning, self._lineage_settings()))

    def _lineage_settings(self) -> LineageSettings:
        """What the run learns by: frozen parameters, and the specs that its records may have."""
        run = self._run
        try:
            before = read_began(self._folders.path(run.parent_lineage))
        except NotFound:  # nothing was learned here before
            return LineageSettings()
        inherited, model = settings_of(before.learning), self._before(before)
        if model.label != self._model.label:
            raise InvalidInput(
                f"{run.model_ref} has another label than {before.model_ref}: versions with different labels cannot be "
                "compared; begin a new data directory"
            )
        changed = () if model.spec == self._model.spec else (model.spec,)
        frozen = self._settings.frozen if run.strategy == "transfer" else inherited.frozen
        return replace(inherited, frozen=frozen, earlier=(*inherited.earlier, *changed))

    def _before(self, began: Began) -> ml.Model:
        """The model of the lineage that the run goes on from."""
        if began.model_ref == self._run.model_ref:
            return self._model
        model = ml.overridden(ml.load(began.model_ref), began.learning)
        if (spec_digest(model.spec), learning_digest(model)) != (began.spec_digest, began.learning_digest):
            raise InvalidInput(
                f"{began.model_ref} is not the model any more that {self._config.data_dir} learns: keep it as it was, "
                "and give the changed one another name"
            )
        return model

    def _fresh(self, began: Began) -> TrainingState:
        return make_state(began, self._model, self._config, self._source, NoLetters(), self._preparing)

    def _checkpointing(self, committed: Committed) -> Checkpointing:
        interval_s = self._config.trainer.checkpoint_interval_seconds
        return Checkpointing(committed, self._lineage.checkpoints, self._background, interval_s, SystemClock(), Quiet())

    def _foundation(self) -> Foundation:
        run = self._run
        if run.strategy == "fine_tune":
            return self._fine_tuned(self._parent())
        if run.strategy == "transfer":
            return self._transferred(self._parent())
        if run.strategy == "backfill":
            return self._backfilled()
        return Foundation(None)

    def _parent(self) -> Parent:
        run, folder = self._run, self._folders.path(self._run.parent_lineage)
        model = self._before(read_began(folder))
        settings = self._config.trainer
        before = replace(self._config, trainer=replace(settings, model=read_began(folder).model_ref))
        log = event_log(before, SystemClock())
        source = EventSource(log.reader(), log.reader(), settings.read_bytes, CACHE_BYTES)
        return restore_parent(
            folder,
            CHECKPOINTS,
            run.parent,
            model,
            lambda began: make_state(began, model, before, source, NoLetters(), self._preparing),
        )

    def _fine_tuned(self, parent: Parent) -> Foundation:
        settings, began = self._settings, parent.began
        since_us = parent.event_time_us - round(settings.fine_tune_hours * HOUR_US)
        log, read_bytes = self._events, self._config.trainer.read_bytes
        tail, lookup = (BoundedReader(log.reader(), parent.positions) for _ in range(2))
        rules = IntakeRules(
            parent.model.name,
            parent.model.spec,
            parent.model.label,
            began.dedup_window_seconds * 1_000_000,
            settings_of(began.learning).earlier,
        )
        start = start_before(parent.step_starts, BoundedReader(log.reader(), parent.positions), since_us)
        window = recent_examples(
            rules, EventSource(tail, lookup, read_bytes, CACHE_BYTES), start, since_us, self._run.asked_us
        )
        learner = Learner(
            slowed(parent.model, settings.fine_tune_rate),
            began.initial_buckets,
            began.threads,
            began.table_dtype,
            settings_of(began.learning).frozen,
        )
        state, examples = fine_tuned(learner, parent.state, window, began.batch_examples)
        hours, rate = settings.fine_tune_hours, settings.fine_tune_rate
        return Foundation(state, (f"learned again: {examples} examples of {hours:g} hours at {rate:g} of the rates",))

    def _backfilled(self) -> Foundation:
        began, options = self._beginning(""), BackfillOptions.of(self._run.options)
        learner = Learner(self._model, began.initial_buckets, began.threads, began.table_dtype)
        base, faults = learned_base(learner, options, began.batch_examples)
        state = self._fresh(began)
        state.intake.backfilled(base.known, base.since_us)
        cut = f"from event time {base.since_us} us on" if base.since_us else "but for predictions that it names"
        told = (
            f"learned: {base.examples} examples of {options.source}",
            f"left out: {faults.count} rows",
            f"the log is learned {cut}",
            *faults.told,
        )
        return Foundation(with_learner(copy_of(state.state()), learner), told)

    def _transferred(self, parent: Parent) -> Foundation:
        settings, began = self._settings, self._beginning("")
        before = Learner(parent.model, parent.began.initial_buckets, began.threads, parent.began.table_dtype)
        before.restore(part_of(parent.state, LEARNER))
        learner = Learner(self._model, began.initial_buckets, began.threads, began.table_dtype)
        wanted = Wanted(settings.taken, settings.spaces, optimizer=settings.optimizer == "carried")
        report = list(warm_start(learner, before, wanted).lines())
        for space, path in settings.vectors.items():
            report.append(f"vectors: {give_vectors(learner, space, read_vectors(Path(path)))} rows of space {space}")
        # What is shipped how exactly, and what prepares examples, begins anew: it hangs on the tables and the model.
        kept = {
            name: array for name, array in parent.state.items() if not name.startswith(("shipping/", "preparation/"))
        }
        return Foundation(with_learner(kept, learner), tuple(report))


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
