"""What stands on disk after a run: the log, the catalog, the trainer's journal, checkpoint and dead letters."""

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.operations.fault_laws import Fates, Served
from benchmarks.operations.fault_load import FIRST_ITEM, event_of
from benchmarks.training.crash_model import MODEL
from martlet.clock import SystemClock
from martlet.eventlog.erasure import is_erased
from martlet.eventlog.file_log import FileEventReader
from martlet.eventlog.port import EventReader
from martlet.events import Arm, Event, Outcome, Prediction
from martlet.keys import space_salt
from martlet.runtime.config import Config, load_config
from martlet.runtime.parts import event_log
from martlet.versions import CatalogState
from martlet.wire.events import decode_event
from registry_svc.catalog_database import open_database
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.journal import Decision, DecisionKind
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import state_digest
from trainer_svc.dead_letters import read_letters
from trainer_svc.journal import Entry, Rewound, Stepped, read_journal
from trainer_svc.lineage_parts import LETTER_PARTITION
from trainer_svc.training_ports import Arrays

READ_BYTES = 4 << 20
ANSWERS = 300  # scored again by the audit
TAKEN_BACK = frozenset({CatalogState.ROLLED_BACK, CatalogState.QUARANTINED})


@dataclass(slots=True)
class Logged:
    """The event log. `last`: partition → its newest answer; `ends`: where each partition ends."""

    outcomes: Counter[str] = field(default_factory=Counter)
    served: list[Served] = field(default_factory=list)
    last: dict[str, Served] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that the laws are about.

    Attributes:
        catalog: version → digest.
        gone: version → the epoch that began when it was taken back.
        closed: reason → the versions that were taken back for it.
        audit: what learning everything again gave.
        state_equal: the trainer's last checkpoint is, to the last bit, what learning everything again gives.
        rewinds: how often training went back.
    """

    logged: Logged
    fates: Fates
    catalog: Mapping[int, str]
    gone: Mapping[int, int]
    closed: Mapping[str, frozenset[int]]
    audit: Mapping[str, Any]
    state_equal: bool
    rewinds: int


def account(settings: Mapping[str, str]) -> Account:
    """Reads it all; the services have ended, the parts have not."""
    config = load_config(None, settings)
    logged, audit = read_log(config), _audited(settings)
    decisions, catalog = _decided(config)
    journal = FileEventReader(config.checkpoint_dir)
    entries = [entry for entry, _ in read_journal(journal, 0)]
    journal.close()
    newest = FolderCheckpoints(config.checkpoint_dir / "checkpoints", 3).newest()
    state = dict(newest.state) if newest is not None else {}
    return Account(
        logged=logged,
        fates=_fates(logged, audit["events"], state, _dead(config), _coverage(entries, logged.ends)),
        catalog=catalog,
        gone=gone_in(decisions),
        closed=_closed(decisions),
        audit=audit,
        state_equal=bool(audit["digests_equal"]) and audit["state_digest"] == state_digest(state),
        rewinds=sum(isinstance(entry, Rewound) for entry in entries),
    )


def read_log(config: Config) -> Logged:
    """All of it, past every fault."""
    log, found = event_log(config, SystemClock()), Logged()
    reader = log.reader()
    try:
        for partition in reader.partitions():
            for event, end in _events(reader, partition):
                found.ends[partition] = end
                _take(found, partition, event)
    finally:
        reader.close()
        log.close()
    return found


def gone_in(decisions: Iterable[Decision]) -> dict[int, int]:
    """Version → the epoch in which it was gone."""
    gone: dict[int, int] = {}
    for decision in decisions:
        for move in decision.moves:
            if move.state in TAKEN_BACK:
                gone.setdefault(move.version, decision.lane.epoch)
    return gone


def learned_items(state: Arrays) -> frozenset[int]:
    """Items of their own that were learned: only learning makes rows, and nothing evicts these."""
    salt, found = np.int64(space_salt("item")), set()
    for name in [name for name in state if name.endswith("keys")]:
        with np.errstate(over="ignore"):
            items = np.asarray(state[name]).reshape(-1).astype(np.int64) - salt
        found |= set(items[(items > FIRST_ITEM) & (items < 2 * FIRST_ITEM)].tolist())
    return frozenset(found)


def _events(reader: EventReader, partition: str) -> Iterator[tuple[Event | None, int]]:
    at = 0
    while records := reader.read(partition, at, READ_BYTES):
        for record in records:
            yield None if is_erased(record.payload) else decode_event(record.payload), record.end
        at = records[-1].end


def _take(found: Logged, partition: str, event: Event | None) -> None:
    if isinstance(event, Outcome):
        found.outcomes[event.event_id] += 1
    elif isinstance(event, Prediction) and event.arm is not Arm.EXPLICIT:
        served = Served(event.prediction_id, event.version, event.epoch, event.revision)
        found.served.append(served)
        found.last[partition] = served


def _audited(settings: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "trainer_svc", "audit", "--answers", str(ANSWERS)]
    done = subprocess.run(  # noqa: S603  our own module
        command, capture_output=True, text=True, check=False, env={**os.environ, **settings}
    )
    if not done.stdout:
        raise RuntimeError(f"the audit failed:\n{done.stderr[-3000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _decided(config: Config) -> tuple[list[Decision], dict[int, str]]:
    engine = open_database(config.catalog_url)
    catalog = SqlCatalog(engine)
    decisions = list(catalog.journal(MODEL.name))
    records = catalog.versions(MODEL.name, 0, 1_000_000, with_manifests=False)
    engine.dispose()
    return decisions, {record.version: record.digest for record in records}


def _closed(decisions: Iterable[Decision]) -> dict[str, frozenset[int]]:
    return {
        decision.detail: frozenset(move.version for move in decision.moves if move.state in TAKEN_BACK)
        for decision in decisions
        if decision.kind is DecisionKind.ABORTED
    }


def _dead(config: Config) -> Counter[str]:
    reader, found = FileEventReader(config.dead_letter_dir), Counter[str]()
    if LETTER_PARTITION in reader.partitions():
        for step in read_letters(reader, LETTER_PARTITION):
            events = [decode_event(base64.b64decode(letter.payload)) for letter in step.letters]
            found.update(event.event_id for event in events if isinstance(event, Outcome))
    reader.close()
    return found


def _coverage(entries: Iterable[Entry], ends: Mapping[str, int]) -> tuple[int, int]:
    """Stretches of the log that no step has read, and that several have: cuts must lie end to end."""
    reached: Counter[str] = Counter()
    gaps = again = 0
    for entry in entries:
        for cut in entry.cut.ranges if isinstance(entry, Stepped) else ():
            gaps += cut.start > reached[cut.partition]
            again += cut.start < reached[cut.partition]
            reached[cut.partition] = cut.end
    return gaps + sum(reached[name] < end for name, end in ends.items()), again


def _fates(
    logged: Logged, counts: Mapping[str, int], state: Arrays, dead: Counter[str], coverage: tuple[int, int]
) -> Fates:
    learned = frozenset(event_of(item) for item in learned_items(state))
    classes = ("learned", "excluded", "dead_lettered", "pending")
    return Fates(
        logged=logged.outcomes,
        learned=learned,
        dead=dead,
        excluded=counts["excluded"],
        pending=counts["pending"],
        counted=sum(counts[name] for name in classes),
        learned_counted=counts["learned"],
        dead_counted=counts["dead_lettered"],
        uncovered=coverage[0],
        covered_again=coverage[1],
    )
