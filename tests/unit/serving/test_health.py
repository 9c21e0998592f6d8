"""Health of versions: counted, reported once, removed with the version."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from prometheus_client import CollectorRegistry

from martlet.errors import Unavailable
from martlet.measurement import Measurement, MeasurementBatch
from martlet.versions import ServableStatus, VersionState
from serving_svc.health_meter import HealthMeter, HealthMetrics
from serving_svc.health_report import HealthReporter
from tests.unit.serving.fakes import MODEL, sid, until

STATUS = ServableStatus(MODEL, 1, "digest-1", VersionState.READY)


def test_counts_fill_the_status_and_become_mergeable_measurements() -> None:
    meter = HealthMeter(HealthMetrics(CollectorRegistry()))
    meter.of(sid(1)).answered(0.25)
    meter.of(sid(1)).answered(0.5)
    meter.of(sid(1)).failed(not_finite=True)
    meter.of(sid(1)).failed(not_finite=False)
    (status,) = meter.with_counts([STATUS])
    assert (status.requests, status.errors) == (4, 2)
    assert set(meter.take()) == {
        Measurement(MODEL, 1, "predict_seconds", 2, 0.75, 0.3125),
        Measurement(MODEL, 1, "errors", 4, 2.0, 2.0),
        Measurement(MODEL, 1, "not_finite", 1, 1.0, 1.0),
    }
    assert meter.take() == ()


def test_a_retired_version_leaves_its_measurements_but_not_its_series() -> None:
    collectors = CollectorRegistry()
    meter = HealthMeter(HealthMetrics(collectors))
    meter.of(sid(1)).answered(0.25)
    labels = {"model": MODEL, "version": "1"}
    assert collectors.get_sample_value("martlet_serving_answers_total", labels) == 1
    meter.forget(sid(1))
    meter.forget(sid(1))
    assert collectors.get_sample_value("martlet_serving_answers_total", labels) is None
    assert collectors.get_sample_value("martlet_serving_predict_seconds_count", labels) is None
    assert {measurement.name for measurement in meter.take()} == {"predict_seconds", "errors"}
    assert meter.with_counts([STATUS]) == (STATUS,)


class Registry:
    """Takes reports, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.lose_measurements = False
        self.statuses: list[tuple[str, Sequence[ServableStatus]]] = []
        self.batches: list[MeasurementBatch] = []

    async def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        if self.away:
            raise Unavailable("away")
        self.statuses.append((replica, statuses))

    async def report_measurements(self, batch: MeasurementBatch) -> None:
        self.batches.append(batch)
        if self.lose_measurements:
            raise Unavailable("away")


def reporter(registry: Registry, meter: HealthMeter, interval: float = 60.0) -> HealthReporter:
    return HealthReporter(
        registry, "r", "r/1", meter, lambda: [STATUS], interval_seconds=interval, settle_seconds=0.001
    )


async def test_an_undelivered_batch_is_sent_again_under_its_number() -> None:
    registry, meter = Registry(), HealthMeter(HealthMetrics(CollectorRegistry()))
    reports = reporter(registry, meter)
    registry.lose_measurements = True
    meter.of(sid(1)).answered(1.0)
    with suppress(Unavailable):
        await reports.report()
    registry.lose_measurements = False
    meter.of(sid(1)).answered(2.0)
    await reports.report()
    await reports.report()
    first, again, later = registry.batches
    assert first == again
    assert (first.sequence, later.sequence) == (1, 2)
    assert sum(m.sum for batch in (first, later) for m in batch.measurements if m.name == "predict_seconds") == 3.0


async def test_a_change_is_reported_at_once_and_an_absent_registry_is_survived() -> None:
    registry = Registry()
    reports = reporter(registry, HealthMeter(HealthMetrics(CollectorRegistry())))
    registry.away = True
    task = asyncio.create_task(reports.run())
    await asyncio.sleep(0.01)
    registry.away = False
    reports.changed()
    await until(lambda: registry.statuses == [("r", (STATUS,))])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_without_changes_it_reports_at_intervals() -> None:
    registry = Registry()
    task = asyncio.create_task(reporter(registry, HealthMeter(HealthMetrics(CollectorRegistry())), 0.001).run())
    await until(lambda: len(registry.statuses) > 3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
