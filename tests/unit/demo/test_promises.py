from typing import Any

import pytest

from examples.demo.promises import promises, second_promises


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
        "events": {"acknowledged": 100_000, "learned": 99_000, "excluded": 900, "dead_lettered": 60, "pending": 40},
        "duration_s": 200.0,
    }


BREAKS: dict[str, tuple[tuple[str, ...], object, str]] = {
    "a request failed": (("failed_requests",), 1, "failed_requests"),
    "too few requests": (("requests",), 99_999, "requests"),
    "too few swaps": (("swaps",), 49, "swaps"),
    "parity": (("parity_max_abs_diff",), 2e-6, "parity_max_abs_diff"),
    "parity is no number": (("parity_max_abs_diff",), float("nan"), "parity_max_abs_diff"),
    "an audit that compared nothing": (("audit", "answers"), 0, "parity_max_abs_diff"),
    "an audit that checked no version": (("audit", "versions_checked"), 0, "each event in one place"),
    "a digest differs": (("audit", "digests_equal"), False, "each event in one place"),
    "an outcome was lost": (("events", "learned"), 98_999, "each event in one place"),
    "an outcome was learned twice": (("events", "learned"), 99_001, "each event in one place"),
    "the corrupt version was admitted": (("corrupt_version", "state"), "ADMITTED", "corrupt_version.state"),
    "the corrupt version answered": (("corrupt_version", "answers"), 1, "corrupt_version.answers"),
    "not better than frozen": (("auc", "frozen_at_20pct"), 0.76, "auc.online"),
    "behind retrained": (("auc", "retrained_every_10pct"), 0.7621, "auc.online"),
}


def placed(acknowledged: int) -> dict[str, int]:
    return {"acknowledged": acknowledged, "learned": acknowledged, "excluded": 0, "dead_lettered": 0, "pending": 0}


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
    part = summary() | {"requests": 2000, "swaps": 1, "events": placed(2000)}
    part["audit"]["answers"] = 2000
    assert all(promise.kept for promise in promises(part, whole=False))


def second() -> dict[str, Any]:
    return summary() | {
        "pin_moves": 20,
        "logloss": {"head": 0.57, "served": 0.58, "pin": 0.59},
        "requests_by_quarantined_after_fence": 0,
        "healthy_rollbacks": 0,
        "alarms": 1,
        "trainer_rewound": True,
        "bad_version": {"state": "ROLLED_BACK", "labels_to_detect": 3_400, "user_requests": 2_400},
        "gated_version": {"state": "REJECTED", "user_requests": 0},
        "structural_bad": {"state": "ROLLED_BACK", "user_requests": 0},
        "poisoned_pins_before_alarm": 0,
    }


SECOND_BREAKS: dict[str, tuple[str, tuple[str, ...], object, str]] = {
    "the pin stands still": ("half", ("pin_moves",), 19, "pin_moves"),
    "served worse than the pin": ("half", ("logloss", "served"), 0.6, "logloss.served"),
    "served by what was taken back": (
        "half",
        ("requests_by_quarantined_after_fence",),
        1,
        "requests_by_quarantined_after_fence",
    ),
    "a healthy version was taken back": ("none", ("healthy_rollbacks",), 1, "healthy_rollbacks"),
    "something was excluded in a healthy run": ("none", ("events", "excluded"), 1, "nothing is excluded"),
    "never caught": ("half", ("bad_version", "labels_to_detect"), None, "bad_version.labels_to_detect"),
    "caught late": ("half", ("bad_version", "labels_to_detect"), 6_001, "bad_version.labels_to_detect"),
    "too many met it": ("half", ("bad_version", "user_requests"), 4_001, "bad_version.user_requests"),
    "caught late, all flipped": ("flip", ("bad_version", "labels_to_detect"), 3_501, "bad_version.labels_to_detect"),
    "a poisoned pin": ("flip", ("poisoned_pins_before_alarm",), 1, "poisoned_pins_before_alarm"),
    "training did not go back": ("half", ("trainer_rewound",), False, "trainer_rewound"),
    "no alarm at all": ("half", ("alarms",), 0, "trainer_rewound"),
    "the tenfold version answered": ("half", ("gated_version", "user_requests"), 1, "gated_version.user_requests"),
    "the tenfold version stayed": ("half", ("gated_version", "state"), "ADMITTED", "gated_version.state"),
    "the shifted version stayed": ("half", ("structural_bad", "state"), "ADMITTED", "structural_bad.state"),
}


@pytest.mark.parametrize("sabotage", ["half", "flip", "none"])
def test_a_good_second_act_keeps_every_promise(sabotage: str) -> None:
    good = second() | {"events": placed(100_000)}
    good["bad_version"]["user_requests"] = 2_400
    assert all(promise.kept for promise in second_promises(good, sabotage))


@pytest.mark.parametrize("fault", SECOND_BREAKS)
def test_a_broken_promise_of_the_second_act_is_an_error(fault: str) -> None:
    sabotage, path, value, name = SECOND_BREAKS[fault]
    broken = second() | {"events": placed(100_000)}
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert [promise.name for promise in second_promises(broken, sabotage) if not promise.kept] == [name]
