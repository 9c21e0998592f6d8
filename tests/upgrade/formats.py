"""What is stored, as it looks in the code of today: the numbers of all formats, and the shape of every stored value.

A release's description is committed with its golden artifacts. `broken` says what an older release's values and today's
have that the other cannot read: a field that went, changed its type, or has come without a default.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from martlet.backup.record import BACKUP_FORMAT, BackupRecord
from martlet.digest import PREFIX
from martlet.eventlog.segment import LOG_FORMAT
from martlet.evidence import EvidenceBatch
from martlet.feature_spec import SPEC_FORMAT
from martlet.manifest import MANIFEST_FORMAT, Manifest
from martlet.manifest_signatures import SIGNATURE_FORMAT
from martlet.table_blobs import BLOB_FORMAT, DENSE_FORMAT
from martlet.table_layout import LAYOUT_FORMAT
from registry_svc.catalog_tables import CATALOG_FORMAT, METADATA
from registry_svc.journal import Decision
from registry_svc.model_judge import JUDGE_FORMAT, JudgeRecord
from trainer_svc.backfill.exported import FORMAT as EXAMPLES_FORMAT
from trainer_svc.checkpoints.part_file import CHECKPOINT_FORMAT, Head
from trainer_svc.dead_letters import DEAD_LETTER_FORMAT, StepLetters
from trainer_svc.evaluation.report import REPORT_FORMAT
from trainer_svc.journal import JOURNAL_FORMAT, Entry
from trainer_svc.strategies.lineage_folders import LIVE_FORMAT, Live
from trainer_svc.strategies.run_record import RUN_FORMAT, Run
from trainer_svc.tuning.results import RESULTS_FORMAT

NUMBERS: Final[Mapping[str, int | str]] = {
    "manifest": MANIFEST_FORMAT,
    "manifest signature": SIGNATURE_FORMAT,
    "feature spec": SPEC_FORMAT,
    "table bases and deltas": BLOB_FORMAT,
    "dense weights": DENSE_FORMAT,
    "tree digest": PREFIX.removesuffix("-"),
    "table hash and layout": LAYOUT_FORMAT,
    "event log": LOG_FORMAT,
    "trainer's and judge's journal": JOURNAL_FORMAT,
    "checkpoint parts": CHECKPOINT_FORMAT,
    "dead letters": DEAD_LETTER_FORMAT,
    "live lineage": LIVE_FORMAT,
    "run of a strategy": RUN_FORMAT,
    "catalog": CATALOG_FORMAT,
    "judge's record": JUDGE_FORMAT,
    "backup": BACKUP_FORMAT,
    "exported examples": EXAMPLES_FORMAT,
    "evaluation report": REPORT_FORMAT,
    "tuning results": RESULTS_FORMAT,
}
# What is stored as JSON or msgpack, and the number that it goes by.
VALUES: Final[Mapping[str, tuple[Any, str]]] = {
    "journal entry": (Entry, "trainer's and judge's journal"),
    "checkpoint head": (Head, "checkpoint parts"),
    "letters of a step": (StepLetters, "dead letters"),
    "live lineage": (Live, "live lineage"),
    "run": (Run, "run of a strategy"),
    "manifest": (Manifest, "manifest"),
    "decision": (Decision, "catalog"),
    "evidence batch": (EvidenceBatch, "catalog"),
    "judge's record": (JudgeRecord, "judge's record"),
    "backup": (BackupRecord, "backup"),
}
CANONICAL: Final = frozenset({"manifest"})
_FOR_PEOPLE: Final = frozenset({"title", "description"})

Shape = dict[str, Any]


def described() -> dict[str, Any]:
    """All formats as they are today, as JSON."""
    shapes: dict[str, Shape] = {}
    for name, (kind, _) in VALUES.items():
        _, parts = msgspec.json.schema_components([kind], ref_template="{name}")
        shapes[name] = {part: _bare(schema) for part, schema in sorted(parts.items())}
    columns = {
        table.name: {column.name: str(column.type) for column in table.columns} for table in METADATA.sorted_tables
    }
    return {"numbers": dict(NUMBERS), "values": shapes, "catalog": columns}


def broken(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What a release's values and today's do not share though their number is the same."""
    found = []
    for name, (_, number) in VALUES.items():
        if name not in before["values"] or before["numbers"][number] != after["numbers"][number]:
            continue
        if name in CANONICAL and before["values"][name] != after["values"][name]:
            found.append(f"{name}: it is addressed by the digest of its JSON, so no field may come or go")
        else:
            found += [f"{name}: {fault}" for fault in _faults(before["values"][name], after["values"][name])]
    if before["numbers"]["catalog"] == after["numbers"]["catalog"]:
        for table, columns in before["catalog"].items():
            if not columns.items() <= after["catalog"].get(table, {}).items():
                found.append(f"catalog: table {table} has lost or changed a column")
    return found


def _faults(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> Iterator[str]:
    for part, old in before.items():
        new = after.get(part)
        if new is None:
            yield f"{part} is gone"
            continue
        if not old.get("properties"):
            if old != new and not _grew(old, new):
                yield f"{part} is another"
            continue
        for field, schema in old["properties"].items():
            if new.get("properties", {}).get(field) != schema:
                yield f"{part}.{field} is gone or another"
        for field in new.get("required", ()):
            if field not in old.get("required", ()):
                yield f"{part}.{field} is required now"


def _grew(old: Shape, new: Shape) -> bool:
    """An enumeration with new words, or a list of fields with more behind it, holds what it held."""
    words = set(old.get("enum", ())) <= set(new.get("enum", ())) and "enum" in old
    fields = old.get("prefixItems", ())
    return words or ("prefixItems" in old and tuple(new.get("prefixItems", ()))[: len(fields)] == tuple(fields))


def _bare(schema: Any) -> Any:
    """A schema without what is there for people. Of a field with that very name the schema is a mapping: it stays."""
    if isinstance(schema, dict):
        return {
            key: _bare(value) for key, value in schema.items() if not (key in _FOR_PEOPLE and isinstance(value, str))
        }
    return [_bare(one) for one in schema] if isinstance(schema, list | tuple) else schema
