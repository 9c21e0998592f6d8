"""The schedule is a value: the same for a seed, and never with both replicas in trouble."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.operations.fault_schedule import RECOVERY_S, SERVING, Fault, Kind, possible, schedule

PROCESSES = ("registry-0", "registry-1", "serving-0", "serving-1", "trainer")
PARTS = ("broker", "database", "store", "registry")
CHOICES = possible(PROCESSES, PARTS, PROCESSES, PROCESSES)


@given(st.integers(0, 2**32), st.integers(1, 120))
@settings(max_examples=50, deadline=None)
def test_it_is_a_function_of_the_seed_that_leaves_one_replica_alone(seed: int, count: int) -> None:
    faults = schedule(seed, 14.0 * count, count, CHOICES)
    assert faults == schedule(seed, 14.0 * count, count, CHOICES)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    serving = [fault for fault in faults if fault.target.startswith(SERVING)]
    for one, other in combinations(serving, 2):
        assert one.target == other.target or other.at_s > one.ends_s + RECOVERY_S


def test_a_long_one_has_every_kind_and_befalls_everything() -> None:
    faults = schedule(7, 1500.0, 100, CHOICES)
    assert len(faults) == 100
    assert {fault.kind for fault in faults} == set(Kind)
    assert {fault.target for fault in faults} == {*PROCESSES, *PARTS, ""}


def test_seeds_differ() -> None:
    def told(faults: tuple[Fault, ...]) -> list[tuple[Kind, str]]:
        return [(fault.kind, fault.target) for fault in faults]

    assert told(schedule(1, 300.0, 20, CHOICES)) != told(schedule(2, 300.0, 20, CHOICES))
