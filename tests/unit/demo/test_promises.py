from typing import Any

import pytest

from examples.demo.promises import promises


def summary() -> dict[str, Any]:
    """Of a run that kept everything."""
    return {
        "requests": 100_000,
        "failed_requests": 0,
        "swaps": 120,
        "freshness_ms": {"live": {"p50": 600.0, "p99": 1300.0, "unanswered": 12}},
        "auc": {"online": 0.76, "frozen_at_20pct": 0.68, "retrained_every_10pct": 0.74},
        "parity_max_abs_diff": 1e-7,
        "audit": {"answers": 10_000, "versions_checked": 121, "digests_equal": True},
        "corrupt_version": {"state": "REJECTED", "answers": 0},
        "events": {"acknowledged": 100_000, "learned": 100_000},
        "duration_s": 200.0,
    }


BREAKS: dict[str, tuple[tuple[str, ...], object, str]] = {
    "a request failed": (("failed_requests",), 1, "failed_requests"),
    "too few requests": (("requests",), 99_999, "requests"),
    "too few swaps": (("swaps",), 49, "swaps"),
    "parity": (("parity_max_abs_diff",), 2e-6, "parity_max_abs_diff"),
    "parity is no number": (("parity_max_abs_diff",), float("nan"), "parity_max_abs_diff"),
    "an audit that compared nothing": (("audit", "answers"), 0, "parity_max_abs_diff"),
    "an audit that checked no version": (("audit", "versions_checked"), 0, "learned exactly once"),
    "a digest differs": (("audit", "digests_equal"), False, "learned exactly once"),
    "an outcome was lost": (("events", "learned"), 99_999, "learned exactly once"),
    "an outcome was learned twice": (("events", "learned"), 100_001, "learned exactly once"),
    "the corrupt version was admitted": (("corrupt_version", "state"), "ADMITTED", "corrupt_version.state"),
    "the corrupt version answered": (("corrupt_version", "answers"), 1, "corrupt_version.answers"),
    "not better than frozen": (("auc", "frozen_at_20pct"), 0.76, "auc.online"),
    "behind retrained": (("auc", "retrained_every_10pct"), 0.7621, "auc.online"),
}


def test_a_good_run_keeps_every_promise() -> None:
    assert all(promise.kept for promise in promises(summary(), whole=True))


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_promise_is_an_error(fault: str) -> None:
    path, value, name = BREAKS[fault]
    broken = summary()
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert [promise.name for promise in promises(broken, whole=True) if not (promise.kept or promise.timing)] == [name]


@pytest.mark.parametrize(("name", "value"), [("p50", 1501.0), ("p99", 4001.0), ("p50", float("nan"))])
def test_a_late_answer_is_a_warning(name: str, value: float) -> None:
    late = summary()
    late["freshness_ms"]["live"][name] = value
    missed = [promise for promise in promises(late, whole=True) if not promise.kept]
    assert [promise.name for promise in missed] == [f"freshness_ms.live {name}"]
    assert all(promise.timing for promise in missed)


def test_counts_and_quality_are_not_asked_of_a_part() -> None:
    part = summary() | {"requests": 2000, "swaps": 1, "events": {"acknowledged": 2000, "learned": 2000}}
    part["audit"]["answers"] = 2000
    assert all(promise.kept for promise in promises(part, whole=False))
