"""The checkers find what they are there for."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.operations import fault_laws as laws
from benchmarks.operations.fault_laws import Fates, Memory, Served
from benchmarks.operations.fault_ledger import Asked, Ledger, Told

# Six events: four learned, one dead, one taken back.
SOUND = Fates(
    logged={f"e-{n}": 1 for n in range(1, 7)},
    learned=frozenset({"e-1", "e-2", "e-3", "e-4"}),
    dead={"e-5": 1},
    excluded=1,
    pending=0,
    counted=6,
    learned_counted=4,
    dead_counted=1,
)
ACKNOWLEDGED = tuple(SOUND.logged)


def test_a_sound_account_breaks_nothing() -> None:
    """A repetition in the log is no second event, and what was not acknowledged may stand there."""
    repeated = replace(SOUND, logged={**SOUND.logged, "e-2": 3})
    for fates in (SOUND, repeated):
        assert laws.lost(ACKNOWLEDGED[:5], fates).count == 0
        assert laws.doubled(fates).count == 0


@pytest.mark.parametrize(
    ("fates", "why"),
    [
        (replace(SOUND, logged=dict.fromkeys(ACKNOWLEDGED[1:], 1), counted=5, excluded=1), "e-1 is not in the log"),
        (replace(SOUND, learned=SOUND.learned - {"e-1"}), "neither learned nor dead"),
        (replace(SOUND, counted=5), "5 accounted of 6"),
        (replace(SOUND, uncovered=1), "never read"),
    ],
)
def test_a_lost_event_is_found(fates: Fates, why: str) -> None:
    found = laws.lost(ACKNOWLEDGED, fates)
    assert found.count >= 1
    assert any(why in example for example in found.examples)


@pytest.mark.parametrize(
    ("fates", "why"),
    [
        (replace(SOUND, dead={"e-5": 1, "e-1": 1}), "e-1 is learned and dead"),
        (replace(SOUND, dead={"e-5": 2}), "2 dead letters"),
        (replace(SOUND, learned_counted=5), "5 counted as learned, but 4"),
        (replace(SOUND, counted=7), "7 accounted of 6"),
        (replace(SOUND, covered_again=2), "read again"),
    ],
)
def test_a_doubled_event_is_found(fates: Fates, why: str) -> None:
    found = laws.doubled(fates)
    assert found.count >= 1
    assert any(why in example for example in found.examples)


def test_an_answer_by_a_version_that_never_was_is_found() -> None:
    asked = [Asked(0.0, 0.1, "", 3, "d3"), Asked(1.0, 0.1, "", 3, "d4"), Asked(2.0, 0.1, "", 9, "d9")]
    asked.append(Asked(3.0, 0.1, "Unavailable: gone"))
    assert laws.unknown_answers(asked, {3: "d3"}).count == 2


def test_an_answer_by_a_version_that_was_taken_back_is_found_by_what_the_replica_knew() -> None:
    """Before it heard of the epoch it may answer; after, it may not."""
    served = [Served("p-1", 5, 0), Served("p-2", 4, 1), Served("p-3", 5, 1)]
    found = laws.served_after_fence(served, {5: 1})
    assert found.count == 1
    assert found.examples == ("p-3 by version 5 in epoch 1",)


def test_an_answer_long_after_the_operators_word_is_found_even_by_a_replica_that_never_heard() -> None:
    asked = [Asked(14.0, 0.1, "", 5, "d"), Asked(17.0, 0.1, "", 5, "d"), Asked(18.0, 0.1, "", 4, "d")]
    assert laws.served_too_late(asked, {5: 10.0}, fence_s=6.0).count == 1


def test_availability_counts_what_was_not_answered() -> None:
    asked = [Asked(float(n), 0.1, "Unavailable: x" if n == 7 else "") for n in range(10)]
    assert laws.availability(asked) == pytest.approx(0.9)
    assert laws.availability([]) == 1.0


def test_growth_of_memory_is_found_and_noise_is_not() -> None:
    dice = np.random.default_rng(1)
    times = np.arange(0.0, 300.0, 4.0)
    noise = dice.normal(0.0, 1.0, len(times))
    grows = Memory([(t, 100 + 6 * t / 60 + n) for t, n in zip(times, noise, strict=True)])
    stays = Memory([(t, 100 + (40 if t < 30 else 60) + n) for t, n in zip(times, noise, strict=True)])
    assert grows.growth_mb_per_min(60.0) == pytest.approx(6.0, abs=0.5)
    assert stays.growth_mb_per_min(60.0) == pytest.approx(0.0, abs=0.5)
    assert np.isnan(Memory(stays.samples[:10]).growth_mb_per_min(60.0))


def test_the_ledger_promises_what_was_acknowledged_alone() -> None:
    ledger = Ledger(told=[Told("e-1", 0.0), Told("e-2", 1.0, "Unavailable: late")])
    assert ledger.acknowledged == ["e-1"]
