"""What a replica tells of swaps, versions, its lease, its batches."""

from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import InvalidInput
from martlet.versions import AspiredSet, Role
from serving_svc.batch_metrics import BatchMetrics
from serving_svc.batcher import Run
from serving_svc.manager import Swap
from serving_svc.source import RegistrySource
from serving_svc.swap_metrics import SwapMetrics, watch_source, watch_versions
from tests.unit.serving.fakes import (
    MODEL,
    BrokenLoader,
    FakeLoader,
    Shelf,
    SlowLoader,
    SumServable,
    aspired,
    head_and_pin,
    managed,
    until,
)

NOW = 60_000_000


class Told:
    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        self.clock = ManualClock(NOW)

    def value(self, name: str, **labels: str) -> float | None:
        return self.collectors.get_sample_value(f"martlet_serving_{name}", labels)


def learned(version: int, until_us: int) -> FakeLoader:
    servable = SumServable(version)
    servable.learned_us = until_us
    return FakeLoader(servable)


async def test_versions_are_told_by_state_and_role_and_how_old_their_newest_event_is() -> None:
    told = Told()
    slow = SlowLoader(SumServable(3))
    shelf = Shelf({1: learned(1, NOW - 9_000_000), 2: learned(2, NOW - 2_000_000), 3: slow})
    async with managed(shelf) as manager:
        watch_versions(manager.held, told.clock, told.collectors)
        manager.aspire(head_and_pin(0, head=1, pin=1))
        await until(lambda: told.value("routed_version", model=MODEL, role="head") == 1)  # the pin is the head, too
        manager.aspire(head_and_pin(1, head=2, pin=1))
        await until(lambda: manager.ready_versions(MODEL) == (1, 2))
        manager.aspire(head_and_pin(2, head=3, pin=1))
        assert told.value("versions", model=MODEL, state="ready") == 2
        assert told.value("versions", model=MODEL, state="loading") == 1
        assert told.value("routed_version", model=MODEL, role="head") == 2  # until 3 is ready
        assert told.value("routed_version", model=MODEL, role="pin") == 1
        assert told.value("data_age_seconds", model=MODEL, role="head") == 2
        told.clock.advance(1.0)
        assert told.value("data_age_seconds", model=MODEL, role="pin") == 10
        slow.go.set()
        await until(lambda: told.value("routed_version", model=MODEL, role="head") == 3)
        assert told.value("data_age_seconds", model=MODEL, role="head") is None  # nobody says what it has learned
        await until(lambda: told.value("versions", model=MODEL, state="ready") == 2)


async def test_a_swap_is_timed_and_told_by_its_outcome() -> None:
    told, swaps = Told(), list[Swap]()
    metrics = SwapMetrics(told.collectors, told.clock)
    shelf = Shelf({1: learned(1, NOW - 4_000_000), 2: BrokenLoader(InvalidInput("no graph"))})

    def heard(swap: Swap) -> None:
        swaps.append(swap)
        metrics.swapped(swap)

    async with managed(shelf, swapped=heard) as manager:
        manager.aspire(aspired(1, (Role.HEAD, 2, 9000), (Role.PIN, 1, 1000)))
        await until(lambda: len(swaps) == 2)
    count = "swap_duration_seconds_count"
    assert told.value(count, model=MODEL, outcome="ready") == told.value(count, model=MODEL, outcome="failed") == 1
    assert told.value("event_to_served_seconds_sum", model=MODEL) == 4
    assert told.value("event_to_served_seconds_count", model=MODEL) == 1
    assert all(0 <= swap.seconds < 60 for swap in swaps)


class Nobody:
    def watch(self, models: object, replica: object) -> object:
        raise NotImplementedError


def test_the_lease_and_the_registrys_silence_are_told() -> None:
    told = Told()
    source = RegistrySource(Nobody(), "r", told.clock, aspire=lambda _: None, synced=lambda: None)  # type: ignore[arg-type]
    watch_source(source, told.collectors)
    told.clock.advance(2.0)
    assert told.value("aspired_age_seconds") == 2
    assert told.value("lease_held", model=MODEL) is None
    source.accept(AspiredSet((head_and_pin(1, 1, 1),), 5000))
    told.clock.advance(4.0)
    assert (told.value("aspired_age_seconds"), told.value("lease_held", model=MODEL)) == (4, 1)
    told.clock.advance(2.0)
    assert (told.value("aspired_age_seconds"), told.value("lease_held", model=MODEL)) == (6, 0)


def test_runs_of_batches_are_told() -> None:
    told = Told()
    metrics = BatchMetrics(told.collectors)
    metrics.ran(Run(rows=30, requests=3, waited=0.004, seconds=0.002))
    metrics.ran(Run(rows=1, requests=1, waited=0.0, seconds=0.001))
    assert told.value("batch_rows_bucket", le="1.0") == 1
    assert told.value("batch_rows_bucket", le="50.0") == 2
    assert told.value("batch_requests_sum") == 4
    assert told.value("batch_wait_seconds_sum") == 0.004
    assert told.value("batch_run_seconds_count") == 2
