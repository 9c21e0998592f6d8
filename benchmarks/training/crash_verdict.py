"""What became of a run: is its state that of one that was never interrupted, and where is each event?"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.crash_events import Fate, Told
from benchmarks.training.crash_model import MODEL
from martlet.eventlog.file_log import FileEventReader
from martlet.keys import space_salt
from martlet.runtime.config import Config
from registry_svc.catalog_database import open_database
from registry_svc.catalog_sql import SqlCatalog
from trainer_svc.audit import Auditor, AuditReport, NoCheckpoints, NoLetters, NoStore, rewind_targets
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import Arrays, state_digest
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Acknowledged, Began, Entry, ReadOnlyJournal, Rewound, Stepped, read_journal
from trainer_svc.lineages.pace import CACHE_BYTES
from trainer_svc.lineages.state import make_state
from trainer_svc.restorer import Restorer
from trainer_svc.training_state import TrainingState
from trainer_svc.version_builder import ModelIdentity, VersionBuilder

_READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        state_equal: the state's SHA-256 is that of the same decisions taken without interruption, and so is that of
            every version; the registry has each of these once, in their order, and no other that was not given up.
        versions: their digests.
        learned: the optimizer's state of the row of each event to be learned, which tells how it was.
        lost, doubled: events that are in none of learned, excluded, dead-lettered, pending, or in more than one.
    """

    state_equal: bool
    versions: tuple[str, ...]
    steps: int
    lost: int
    doubled: int
    digest: str
    says: str
    learned: Mapping[str, float]

    @property
    def holds(self) -> bool:
        """Learned exactly once."""
        return self.state_equal and not self.lost and not self.doubled


def judge(data: Path, told: Told) -> Verdict:
    """Looks at what a trainer left behind, with nothing running. Learns everything again from the first entry."""
    config = crash_config(data)
    checkpoint = FolderCheckpoints(config.checkpoint_dir / "checkpoints", 3).newest()
    journal = FileEventReader(config.checkpoint_dir)
    entries = [entry for entry, _ in read_journal(journal, 0)]
    journal.close()
    state = dict(checkpoint.state) if checkpoint is not None else {}
    digest = state_digest(state) if state else ""
    learned = _optimizer_of(state, told)
    lost, doubled = _coverage(entries, told)
    try:
        report, again = _learned_again(config, entries)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        why = f"the journal cannot be executed again: {error}"
        return Verdict(False, (), len(entries), lost, doubled, digest, why, learned)
    equal = report.digests_equal and report.state_digest == digest
    lost_rows, doubled_rows = otherwise(learned, _optimizer_of(again, told)) if report.digests_equal else (0, 0)
    missing = len(told.fates) - _accounted(report)
    steps = sum(isinstance(entry, Stepped) for entry in entries)
    published = tuple(entry.digest for entry in entries if isinstance(entry, Acknowledged))
    rewinds = sum(isinstance(entry, Rewound) for entry in entries)
    odd = [_fates(report, told), _strays(published, _registered(config), rewinds)]
    says = "; ".join([f"{rewinds} rewinds", str(report.events), _unlike(state, again), *filter(None, odd)])
    lost, doubled = max(lost + lost_rows, missing), max(doubled + doubled_rows, -missing)
    return Verdict(equal and not any(odd), published, steps, lost, doubled, digest, says, learned)


def crash_config(data: Path) -> Config:
    """The settings of a run's data directory."""
    config = Config(data_dir=data)
    return replace(config, trainer=replace(config.trainer, model=f"{MODEL_REF}"))


MODEL_REF = "benchmarks.training.crash_model:MODEL"


def _learned_again(config: Config, entries: list[Entry]) -> tuple[AuditReport, Arrays]:
    states: list[TrainingState] = []
    reader, lookup, journal = (
        FileEventReader(folder) for folder in (config.event_log_dir, config.event_log_dir, config.checkpoint_dir)
    )
    source = EventSource(reader, lookup, _READ_BYTES, CACHE_BYTES)
    builder = VersionBuilder(NoStore(), ModelIdentity(MODEL.name, MODEL.spec))

    def fresh(began: Began) -> TrainingState:
        states.append(make_state(began, MODEL, config, source, NoLetters()))
        return states[-1]

    restorer = Restorer(ReadOnlyJournal(journal), NoCheckpoints(), fresh, builder.build)
    try:
        report = Auditor(fresh, builder, {}, rewind_targets(entries), restorer.suspect).run(entries)
    finally:
        for one in (reader, lookup, journal):
            one.close()
    return report, dict(states[0].state())


def _strays(published: tuple[str, ...], registered: tuple[str, ...], rewinds: int) -> str:
    """What is wrong with the registry's versions. A rewind may give one up whose acknowledgement was on its way."""
    given_up = set(registered) - set(published)
    if tuple(digest for digest in registered if digest not in given_up) != published or len(given_up) > rewinds:
        return f"the registry has other versions: {len(registered)} instead of {len(published)}"
    return ""


def _registered(config: Config) -> tuple[str, ...]:
    engine = open_database(config.catalog_url)
    records = SqlCatalog(engine).versions(MODEL.name, 0, 1_000_000, with_manifests=False)
    engine.dispose()
    return tuple(record.digest for record in sorted(records, key=lambda one: one.version))


def _coverage(entries: list[Entry], told: Told) -> tuple[int, int]:
    """Records of the log that no step reads, and that several do: the cuts of a partition must lie end to end."""
    reached: Counter[str] = Counter()
    lost = doubled = 0
    for entry in entries:
        for cut in entry.cut.ranges if isinstance(entry, Stepped) else ():
            lost += cut.start > reached[cut.partition]
            doubled += cut.start < reached[cut.partition]
            reached[cut.partition] = cut.end
    return lost + sum(reached[name] < end for name, end in told.ends.items()), doubled


def otherwise(own: Mapping[str, float], reference: Mapping[str, float]) -> tuple[int, int]:
    """How many events were not learned that should be, and how many otherwise than once, by the rows of their items."""
    lost = sum(own[event] == 0 < learned for event, learned in reference.items())
    return lost, sum(own[event] not in {0, learned} for event, learned in reference.items())


def _optimizer_of(state: Arrays, told: Told) -> dict[str, float]:
    """Each event to be learned has an item of its own; the state of its row's optimizer says how often it was."""
    found: dict[int, float] = {}
    for name in [name for name in state if name.endswith("/keys")]:
        optimizer = state[name.removesuffix("keys") + "optimizer"]
        keys = state[name].reshape(-1).tolist()
        found |= dict(zip(keys, optimizer[: len(keys), 0].tolist(), strict=True))
    salt = space_salt("item")
    return {event: found.get(_wrapped(item + salt), 0.0) for event, item in told.items.items()}


def _wrapped(key: int) -> int:
    return (key + 2**63) % 2**64 - 2**63


def _accounted(report: AuditReport) -> int:
    events = report.events
    return events.learned + events.excluded + events.dead_lettered + events.pending


def _fates(report: AuditReport, told: Told) -> str:
    """What the log says must come of the outcomes, against what came; rewinds move learned ones to the excluded."""
    events, want = report.events, Counter(told.fates.values())
    found = (events.learned + events.excluded, events.dead_lettered + events.pending)
    wanted = (want[Fate.LEARNED] + want[Fate.EXCLUDED], want[Fate.DEAD] + want[Fate.UNKNOWN])
    return "" if found == wanted else f"{found} instead of {wanted}"


def _unlike(state: Arrays, again: Arrays) -> str:
    def same(name: str) -> bool:
        return name in state and name in again and bool(_bytes(state[name]) == _bytes(again[name]))

    unlike = [name for name in sorted(state.keys() | again.keys()) if not same(name)]
    return f"unlike: {', '.join(unlike[:6])}" if unlike else "all alike"


def _bytes(array: Any) -> bytes:
    return np.ascontiguousarray(array).tobytes()
