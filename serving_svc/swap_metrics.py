"""Versions that come and go in this replica: how long that takes, what is held, how fresh it is, whether it may answer.

Labels name models and fixed words; a version stands in a value, so nothing has to be removed when it goes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from martlet.clock import Clock
from martlet.runtime.local_metrics import LocalHistogram
from martlet.runtime.read_gauge import ReadGauge, Readings, read_number
from martlet.versions import VersionState
from serving_svc.manager import Held, Swap
from serving_svc.source import RegistrySource

_SWAPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_AGES: Final = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_HELD: Final = (VersionState.LOADING, VersionState.WARMING, VersionState.READY, VersionState.DRAINING)


class SwapMetrics:
    """Hears of swaps. For one thread: the event loop's. One instance for each CollectorRegistry."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._swaps = LocalHistogram(
            "martlet_serving_swap_duration_seconds",
            "From a version's being aspired here until it may answer, or cannot",
            ["model", "outcome"],
            _SWAPS,
            collectors,
        )
        self._fresh = LocalHistogram(
            "martlet_serving_event_to_served_seconds",
            "How old the newest event is that a version has learned, when it becomes ready",
            ["model"],
            _AGES,
            collectors,
        )

    def swapped(self, swap: Swap) -> None:
        """The bringing up of a version has ended."""
        model, ready = swap.servable.model, swap.state is VersionState.READY
        outcome = "ready" if ready else "superseded" if swap.superseded else "failed"
        self._swaps.of(model, outcome).observe(swap.seconds)
        if ready and swap.learned_us:
            self._fresh.of(model).observe(_age(swap.learned_us, self._clock))


def watch_versions(held: Callable[[], Sequence[Held]], clock: Clock, collectors: CollectorRegistry) -> None:
    """Registers gauges of what is held and routed to."""

    def states() -> Readings:
        counts = {one.model: Counter(one.states) for one in held()}
        return {(model, state.name.lower()): float(count[state]) for model, count in counts.items() for state in _HELD}

    def routed() -> Readings:
        return {
            (one.model, role.name.lower()): float(version)
            for one in held()
            for role, (version, _) in one.routed.items()
        }

    def ages() -> Readings:
        return {
            (one.model, role.name.lower()): _age(learned_us, clock)
            for one in held()
            for role, (_, learned_us) in one.routed.items()
            if learned_us
        }

    by_role = ("model", "role")
    ReadGauge("martlet_serving_versions", "Versions held, by state", ("model", "state"), states, collectors)
    ReadGauge(
        "martlet_serving_routed_version", "The version that answers in a role; 0: none", by_role, routed, collectors
    )
    told = "From the newest event that the routed version has learned to now"
    ReadGauge("martlet_serving_data_age_seconds", told, by_role, ages, collectors)


def watch_source(source: RegistrySource, collectors: CollectorRegistry) -> None:
    """Registers gauges of what the registry says."""
    told = "Since the registry said last what is aspired"
    read_number("martlet_serving_aspired_age_seconds", told, lambda: source.silence_seconds, collectors)
    ReadGauge(
        "martlet_serving_lease_held",
        "Whether the live lane may be used",
        ("model",),
        lambda: {(model,): float(is_open) for model, is_open in source.leases().items()},
        collectors,
    )


def _age(time_us: int, clock: Clock) -> float:
    return max(0.0, (clock.now_us() - time_us) / 1e6)
