"""Calls are counted, timed, and streams known to be open."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from martlet.runtime.metrics import RpcMetrics


def test_calls_are_counted_by_method_and_code() -> None:
    registry = CollectorRegistry()
    metrics = RpcMetrics(registry, "serving")
    for code in ("OK", "OK", "NOT_FOUND"):
        with metrics.call("/a/B") as outcome:
            outcome.code = code
    count = "martlet_serving_rpc_duration_seconds_count"
    assert registry.get_sample_value(count, {"method": "/a/B", "code": "OK"}) == 2
    assert registry.get_sample_value(count, {"method": "/a/B", "code": "NOT_FOUND"}) == 1


def test_a_call_that_is_torn_away_was_cancelled_and_took_its_time() -> None:
    registry = CollectorRegistry()
    metrics = RpcMetrics(registry, "serving")

    def torn() -> None:
        with metrics.call("/a/B"):
            time.sleep(0.01)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        torn()
    labels = {"method": "/a/B", "code": "CANCELLED"}
    assert registry.get_sample_value("martlet_serving_rpc_duration_seconds_count", labels) == 1
    assert (registry.get_sample_value("martlet_serving_rpc_duration_seconds_sum", labels) or 0) >= 0.01


def test_open_streams_are_those_not_yet_ended() -> None:
    registry = CollectorRegistry()
    metrics = RpcMetrics(registry, "registry")
    labels = {"method": "/a/Watch"}
    with metrics.open_stream("/a/Watch"), metrics.open_stream("/a/Watch"):
        assert registry.get_sample_value("martlet_registry_rpc_open_streams", labels) == 2
    assert registry.get_sample_value("martlet_registry_rpc_open_streams", labels) == 0
