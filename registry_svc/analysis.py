"""What replicas report, gathered: the health of each version. Not thread-safe."""

from collections.abc import Sequence
from dataclasses import dataclass

from martlet.clock import Clock
from martlet.versions import ServableStatus, VersionState
from registry_svc.rollout import Health

SILENT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Report:
    at: float
    statuses: dict[tuple[str, int], ServableStatus]


class ReplicaHealth:
    """The newest report of each replica. A replica that is silent for long does not count any more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[str, _Report] = {}

    def report(self, replica: str, statuses: Sequence[ServableStatus]) -> tuple[ServableStatus, ...]:
        """Takes a report; returns the versions that failed in it."""
        by_version = {(status.model, status.version): status for status in statuses}
        self._reports[replica] = _Report(self._clock.monotonic(), by_version)
        return tuple(status for status in statuses if status.state is VersionState.FAILED)

    def of(self, model: str, version: int) -> Health:
        """A version's health over all replicas that are heard."""
        oldest = self._clock.monotonic() - SILENT_SECONDS
        heard = [report for report in self._reports.values() if report.at >= oldest]
        found = [status for report in heard if (status := report.statuses.get((model, version)))]
        return Health(
            replicas=len(heard),
            ready=sum(status.state is VersionState.READY for status in found),
            requests=sum(status.requests for status in found),
            errors=sum(status.errors for status in found),
        )
