"""The composition root of `martlet backfill` and `martlet export`."""

import getpass
import secrets
import shutil
from pathlib import Path
from typing import Any

import msgspec

from martlet.clock import SystemClock
from martlet.errors import Conflict
from martlet.eventlog.file_log import FileEventReader
from martlet.runtime.config import Config
from martlet.runtime.parts import event_log
from trainer_svc.backfill.exported import write_examples
from trainer_svc.backfill.run import BackfillOptions
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import PARTITION
from trainer_svc.lineages.model import live_model, load_model
from trainer_svc.lineages.pace import CACHE_BYTES
from trainer_svc.run_app import ComposedRun
from trainer_svc.strategies.bounded_log import BoundedReader
from trainer_svc.strategies.lineage_folders import LineageFolders, Live
from trainer_svc.strategies.parent import read_began
from trainer_svc.strategies.recent_window import recent_examples
from trainer_svc.strategies.run_record import Run, RunState, write_run
from trainer_svc.training_ports import AsTheyAre


def begin_backfill(config: Config, options: BackfillOptions) -> dict[str, Any]:
    """Backfills a history: at once where nothing was learned yet, else as a run that the trainer carries out.

    Raises:
        InvalidInput: the source or the mapping cannot be used.
        Conflict: a run is under way already.
    """
    folders, model = LineageFolders(config.checkpoint_dir), load_model(config)
    learned_base_exists = FileEventReader(folders.path(folders.live.lineage)).partitions()
    busy = [one.name for one in folders.runs() if one.run.state in (RunState.ASKED, RunState.LEARNING)]
    if busy:
        raise Conflict(f"run {busy[0]} is under way")
    log = event_log(config, SystemClock()).reader()
    run = Run(
        strategy="backfill",
        reason=f"history of {options.source}",
        who=getpass.getuser(),
        asked_us=SystemClock().now_us(),
        event_time_us=0,
        until={name: log.end(name) for name in log.partitions()},
        model_ref=config.trainer.model,
        parent_name=f"{model.name}-{secrets.token_hex(4)}",
        parent_lineage=folders.live.lineage,
        options=options.plain(),
    )
    log.close()
    if PARTITION in learned_base_exists:
        own = read_began(folders.path(folders.live.lineage)).lineage
        record = folders.begin(msgspec.structs.replace(run, parent_name=own))
        return {"run": record.name, "state": "asked: the trainer carries it out, or will when it starts"}
    record = folders.begin(msgspec.structs.replace(run, state=RunState.LIVE, until={}))
    composed = ComposedRun(config, record.name, record.run, AsTheyAre)
    try:
        composed.retraining.found_only()
    except BaseException:
        composed.close()
        shutil.rmtree(folders.path(record.name))
        raise
    composed.close()
    report = composed.retraining.report
    write_run(folders.path(record.name), msgspec.structs.replace(record.run, report=report))
    folders.set_live(Live(lineage=record.name))
    return {"run": record.name, "state": "live: the trainer goes on from it", "report": list(report)}


def export_examples(config: Config, out: Path, since_us: int) -> dict[str, Any]:
    """Writes what the log teaches, joined as the live lineage's model joins it.

    Raises:
        InvalidInput: pyarrow is not installed.
    """
    folders = LineageFolders(config.checkpoint_dir)
    model, settings = live_model(config, folders), config.trainer
    log = event_log(config, SystemClock())
    reader, lookup = log.reader(), log.reader()
    ends = {name: reader.end(name) for name in reader.partitions()}
    source = EventSource(BoundedReader(reader, ends), lookup, settings.read_bytes, CACHE_BYTES)
    rules = IntakeRules(model.name, model.spec, model.label, settings.dedup_window_seconds * 1_000_000)
    steps = recent_examples(rules, source, {}, since_us, SystemClock().now_us())
    count = write_examples(out, model.spec, steps)
    log.close()
    return {"examples": count, "file": str(out), "until": ends}
