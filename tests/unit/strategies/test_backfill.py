"""History: rows become the examples that a request would have made; exported examples come back as they went."""

import importlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from martlet.errors import InvalidInput
from martlet.eventlog.file_log import FileEventReader
from martlet.feature_encoding import RankInput, encode
from martlet.feature_projection import Projection
from tests.unit.strategies.models import NetWithBrand, model
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import MODEL, SECOND, START, Label, messy_events, write_log
from trainer_svc.backfill.base import learn_history
from trainer_svc.backfill.history import Historian
from trainer_svc.backfill.mapping import ColumnMap, column_map
from trainer_svc.backfill.sources import rows_of
from trainer_svc.event_source import EventSource
from trainer_svc.example_batch import batch_of
from trainer_svc.intake import IntakeRules
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.learner import Learner
from trainer_svc.strategies.recent_window import recent_examples, start_before

COLUMNS = column_map(
    {"features": {"user_id": "u", "item_id": "i", "item.price": "p"}, "label": "y", "time": "t", "labelled": True},
    "map",
)
ROWS = [(7, "cup", 2.5, 1, 10), (8, "hat", None, 0, 11), (None, 3, 1.0, 1, 12)]


def csv_of(path: Path) -> str:
    told = [",".join("" if one is None else str(one) for one in row) for row in ROWS]
    path.write_text("\n".join(["u,i,p,y,t", *told]) + "\n")
    return str(path)


def database_of(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("create table history (u, i, p, y, t)")
        connection.executemany("insert into history values (?, ?, ?, ?, ?)", ROWS)
    return f"sqlite:///{path}"


@pytest.mark.parametrize("kind", ["csv", "database"])
def test_a_row_is_laid_out_as_a_request_would_be(tmp_path: Path, kind: str) -> None:
    if kind == "database":
        importlib.import_module("sqlalchemy")
    source = csv_of(tmp_path / "h.csv") if kind == "csv" else database_of(tmp_path / "h.db")
    made = model()
    historian = Historian(made.spec, made.label, COLUMNS)
    found = list(historian.read(rows_of(source, COLUMNS.columns, "select * from history order by t"), 2))
    assert [part.batch.size for part in found] == [2, 1]
    for place, (user, item, price, _, _) in enumerate(ROWS):
        part, row = found[place // 2], place % 2
        wanted = encode(made.spec, RankInput(user, {}, [item], [{} if price is None else {"item.price": price}]))
        np.testing.assert_array_equal(part.batch.block.item_ids[row], wanted.item_ids[0])
        np.testing.assert_array_equal(part.batch.block.item_numbers[row], wanted.item_numbers[0])
        np.testing.assert_array_equal(part.batch.block.user_ids[part.batch.block.row_of_user[row]], wanted.user_ids[0])
    assert [int(label) for part in found for label in part.batch.labels] == [row[3] for row in ROWS]
    assert [int(time) for part in found for time in part.times_us] == [row[4] * SECOND for row in ROWS]


def test_rows_that_cannot_be_used_are_told_and_the_others_go_on() -> None:
    made = model()
    historian = Historian(made.spec, made.label, COLUMNS)
    chunk = {"u": [1, 1, 1, 1], "i": [5, None, 5, 5], "p": [1.0] * 4, "y": [1, 1, "x", 1], "t": [1, 1, 1, "soon"]}
    assert sum(part.batch.size for part in historian.read([chunk], 10)) == 1
    assert (historian.faults.count, historian.faults.told[0]) == (3, "row 2: no item_id")


def test_times_are_read_in_their_unit() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    wanted = round(moment.timestamp()) * SECOND
    assert ColumnMap({}, "y", "t").time_us(str(wanted // SECOND)) == wanted
    assert ColumnMap({}, "y", "t", "ms").time_us(wanted // 1000) == wanted
    assert ColumnMap({}, "y", "t").time_us("2026-01-02T03:04:05") == wanted
    assert ColumnMap({}, "y", "t").time_us(moment) == wanted


@pytest.mark.parametrize("plain", [None, {"features": {}}, {"features": {}, "label": "y", "time": "t", "tiem": 1}])
def test_a_mapping_says_what_it_lacks(plain: object) -> None:
    with pytest.raises(InvalidInput, match="map"):
        column_map(plain, "the map")


def test_by_time_the_history_gives_way() -> None:
    made = model()
    chunk = {"u": [1, 2, 3], "i": [5, 6, 7], "p": [1.0] * 3, "y": [1, 0, 1], "t": [10, 20, 30]}
    taken = learn_history(
        Learner(made, 8), Historian(made.spec, made.label, COLUMNS).read([chunk], 8), "time", 25 * SECOND
    )
    assert (taken.examples, taken.since_us) == (2, 25 * SECOND)
    whole = learn_history(Learner(made, 8), Historian(made.spec, made.label, COLUMNS).read([chunk], 8), "time")
    assert (whole.examples, whole.since_us) == (3, 30 * SECOND + 1)


def joined(root: Path, since_us: int = 0, start: dict[str, int] | None = None) -> list[list[LabelledRows]]:
    source = EventSource(FileEventReader(root), FileEventReader(root), 5000, 4000)
    rules = IntakeRules(MODEL, SPEC, Label(), 3600 * SECOND)
    return list(recent_examples(rules, source, start or {}, since_us, START + 1000 * SECOND))


def test_a_window_begins_late_in_the_log_and_loses_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, messy_events(5, 80))
    reader, since = FileEventReader(tmp_path), START + 50 * SECOND
    starts = []
    positions = dict.fromkeys(reader.partitions(), 0)
    while True:
        starts.append(dict(positions))
        ends = {name: [one.end for one in reader.read(name, at, 400)][:1] for name, at in positions.items()}
        if not any(ends.values()):
            break
        positions |= {name: end[0] for name, end in ends.items() if end}
    start = start_before(starts, reader, since)
    assert any(start.values())

    def told(steps: list[list[LabelledRows]]) -> list[tuple[str, tuple[int, ...]]]:
        return sorted((one.prediction.prediction_id, tuple(one.rows.tolist())) for step in steps for one in step)

    assert told(joined(tmp_path, since, start)) == told(joined(tmp_path, since))
    assert 0 < len(told(joined(tmp_path, since))) < len(told(joined(tmp_path)))


def test_exported_examples_come_back_as_they_went(tmp_path: Path) -> None:
    importlib.import_module("pyarrow")
    from trainer_svc.backfill.exported import is_exported, read_examples, write_examples  # noqa: PLC0415

    write_log(tmp_path / "events", messy_events(5, 60))
    steps, path = joined(tmp_path / "events"), tmp_path / "examples.parquet"
    count = write_examples(path, SPEC, steps)
    assert is_exported(path)
    went = batch_of([group for step in steps for group in step], SPEC.layout)
    came = list(read_examples(path, SPEC, 1 << 20))
    assert sum(part.batch.size for part in came) == count == went.size
    for name in ("item_ids", "item_numbers"):
        both = np.concatenate([getattr(part.batch.block, name) for part in came])
        np.testing.assert_array_equal(both, getattr(went.block, name))
    for name in ("user_ids", "user_numbers"):
        both = np.concatenate([getattr(part.batch.block, name) for part in came])
        np.testing.assert_array_equal(both, getattr(went.block, name)[went.block.row_of_user])
    np.testing.assert_array_equal(np.concatenate([part.batch.labels for part in came]), went.labels)
    np.testing.assert_array_equal(np.concatenate([part.batch.weights for part in came]), went.weights)
    other = model(lambda: NetWithBrand(extra=("brand",)), brand=_brand()).spec
    projected = next(read_examples(path, other, 1 << 20)).batch.block
    wanted = Projection.between(SPEC, other).of_block(came[0].batch.block)
    np.testing.assert_array_equal(projected.item_ids, wanted.item_ids)


def _brand() -> object:
    import martlet.learn as ml  # noqa: PLC0415

    return ml.Id("item.brand")


def test_a_table_that_is_no_export_is_told_apart(tmp_path: Path) -> None:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    from trainer_svc.backfill.exported import is_exported  # noqa: PLC0415

    parquet.write_table(arrow.table({"u": [7], "i": [1], "p": [1.0], "y": [1], "t": [3]}), tmp_path / "h.parquet")
    assert not is_exported(tmp_path / "h.parquet")
    assert not is_exported(tmp_path / "nowhere.parquet")
    chunks = list(rows_of(str(tmp_path / "h.parquet"), COLUMNS.columns))
    assert chunks == [{"u": [7], "i": [1], "p": [1.0], "y": [1], "t": [3]}]
