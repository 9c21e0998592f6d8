"""Lag, ages, tables, failures: what the trainer tells beside its status."""

import threading
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Unavailable
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from tests.unit.trainer.fakes import AtOnce
from trainer_svc.event_source import EventSource
from trainer_svc.freshness_metrics import FreshnessMetrics
from trainer_svc.journal import Acknowledged, Refused
from trainer_svc.lag_metrics import LagMetrics, Reading, watch_journals
from trainer_svc.learner_figures import LearnerFigures, TableFigures
from trainer_svc.log_watch import LogBounds, LogWatch
from trainer_svc.status_board import StatusBoard, TrainerMetrics
from trainer_svc.table.statistics import SpaceStatistics, TableStatistics
from trainer_svc.table_metrics import TableMetrics

NOW = 50_000_000


class Told:
    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        self.clock = ManualClock(NOW)

    def value(self, name: str, **labels: str) -> float | None:
        return self.collectors.get_sample_value(f"martlet_trainer_{name}", {"model": "shop", **labels})


def test_lag_is_what_is_durable_and_not_learned_in_records_and_in_event_time() -> None:
    told = Told()
    reading = Reading("shop", {"a": 100, "b": 700, "new": 0}, {"a": NOW - 3_000_000, "b": NOW}, 10.0, 1)
    found = LogBounds(answers=True, bounds={"a": (40, 400), "b": (0, 700), "new": (0, 20)})
    LagMetrics(lambda: reading, lambda: found, told.clock, told.collectors)
    assert told.value("lag_records", partition="a") == 30
    assert told.value("lag_records", partition="b") == 0
    assert told.value("lag_records", partition="new") == 2
    told.clock.advance(4.0)
    assert told.value("lag_seconds", partition="a") == 7  # it grows though nothing is read
    assert told.value("lag_seconds", partition="b") == 0  # read to its end, however old that is
    assert told.value("lag_seconds", partition="new") is None
    assert [told.value("log_position", partition="a", at=at) for at in ("begin", "read", "end")] == [40, 100, 400]
    assert told.value("log_answers") == 1
    assert told.value("damaged_partitions") == 1


def test_the_log_is_looked_at_and_one_that_is_away_leaves_what_was_known(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a", segment_bytes=1)
    for payload in (b"one", b"two"):
        writer.append(payload).result(5)

    class Away(FileEventReader):
        away = False

        def partitions(self) -> tuple[str, ...]:
            if self.away:
                raise Unavailable("the broker")
            return super().partitions()

    reader = Away(tmp_path)
    watch = LogWatch(reader, threading.Event())
    assert not watch.found.answers
    watch.look()
    end = reader.end("a")
    assert watch.found == LogBounds(answers=True, bounds={"a": (0, end)})
    (tmp_path / "a" / min(path.name for path in (tmp_path / "a").iterdir() if path.name[0].isdigit())).unlink()
    watch.look()
    assert watch.found.bounds == {"a": (end // 2, end)}  # the first record's segment is kept no longer
    Away.away = True
    watch.look()
    assert watch.found == LogBounds(answers=False, bounds={"a": (end // 2, end)})
    writer.close()
    watch.close()


def test_a_records_length_is_that_of_what_was_cut(tmp_path: Path) -> None:
    writer = FileEventWriter(tmp_path, "a")
    for _ in range(9):
        writer.append(b"x" * 92).result(5)
    writer.close()
    source = EventSource(FileEventReader(tmp_path), FileEventReader(tmp_path), 1 << 20, 1 << 20)
    assert source.record_span == 1
    cut = source.cut({}, 6)
    assert source.record_span == cut.ranges[0].end / 6


def test_ages_grow_until_something_happens() -> None:
    told = Told()
    metrics = FreshnessMetrics(told.collectors, told.clock)
    assert told.value("published_age_seconds") is None
    metrics.begun("shop")
    told.clock.advance(5.0)
    metrics.stands(NOW - 1_000_000, 4)
    assert told.value("data_age_seconds") == 6
    assert told.value("event_time_seconds") == (NOW - 1_000_000) / 1e6
    assert told.value("published_version") == 4
    assert told.value("published_age_seconds") == told.value("checkpoint_age_seconds") == 5
    metrics.published()
    told.clock.advance(1.0)
    metrics.checkpointed()
    assert told.value("published_age_seconds") == 1
    assert told.value("checkpoint_age_seconds") == 0


def test_tables_tell_their_rows_and_what_became_of_ids() -> None:
    told = Told()
    metrics = TableMetrics(told.collectors)
    spaces = (SpaceStatistics(5, 6, 7, 1, 2, 9), SpaceStatistics(3, 3, 0, 0, 0, 0))
    table = TableFigures(4096, TableStatistics(8, 64, 1, spaces), ("user", "item", "never seen"))
    metrics.show("shop", LearnerFigures(2, {"t8": table}))
    assert [told.value(f"table_{name}", table="t8") for name in ("rows", "slots", "bytes", "growths")] == [
        8,
        64,
        4096,
        1,
    ]
    assert told.value("table_space_rows", table="t8", space="item") == 3
    fates = ("admitted", "refused", "evicted", "collided", "defaulted")
    assert [told.value("table_ids", table="t8", space="user", fate=fate) for fate in fates] == [6, 7, 1, 2, 9]
    assert told.value("table_ids", table="t8", space="never seen", fate="admitted") is None
    assert told.value("skipped_batches") == 2


def test_journals_tell_their_sizes() -> None:
    told = Told()
    watch_journals("shop", {"learner": lambda: 7, "judge": lambda: 9}, told.collectors)
    assert told.value("journal_bytes", journal="learner") == 7
    assert told.value("journal_bytes", journal="judge") == 9


def test_failures_are_there_as_zeros_before_the_first() -> None:
    told = Told()
    board = StatusBoard("shop", TrainerMetrics(told.collectors, told.clock), lambda _batch: None, AtOnce())
    assert told.value("checkpoint_failures_total") == told.value("publish_failures_total") == 0
    board.checkpoint_failed()
    assert told.value("checkpoint_failures_total") == 1
    assert told.value("dead_letters_total", reason="unreadable") == 0


def test_an_acknowledged_version_and_a_checkpoint_are_young() -> None:
    told = Told()
    board = StatusBoard("shop", TrainerMetrics(told.collectors, told.clock), lambda _batch: None, AtOnce())
    told.clock.advance(9.0)
    board.published(Refused(1, "d", "no good"), 0.1)
    assert (told.value("published_age_seconds"), told.value("checkpoint_age_seconds")) == (9, 9)
    board.published(Acknowledged(2, "e", 1), 0.1)
    board.checkpointed(1, "c", 0.1)
    assert (told.value("published_age_seconds"), told.value("checkpoint_age_seconds")) == (0, 0)
