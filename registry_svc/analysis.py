"""What replicas report, gathered into each version's health. Thin: evidence on quality will come in here.

Not thread-safe: used from the catalog's thread alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from martlet.clock import Clock
from martlet.versions import ServableStatus, VersionState
from registry_svc.lane import Member
from registry_svc.rollout import Health

SILENT_SECONDS = 10.0

Key = tuple[str, int, str]


@dataclass(slots=True)
class _Replica:
    """One replica as it was last heard.

    Attributes:
        ready_since: versions that are READY now, and since when, monotonic seconds.
        errors: each loaded version's.
        answers: without error, the most ever reported of each version; outlives its unloading.
    """

    heard: float = 0.0
    ready_since: dict[Key, float] = field(default_factory=dict)
    errors: dict[Key, int] = field(default_factory=dict)
    answers: dict[Key, int] = field(default_factory=dict)


class ReplicaHealth:
    """Remembers each replica's newest report. One that is silent for `silent_seconds` is forgotten.

    A version is counted under its digest: what a stray replica of another catalog says touches nobody.
    """

    def __init__(self, clock: Clock, silent_seconds: float = SILENT_SECONDS) -> None:
        self._clock = clock
        self._silent_seconds = silent_seconds
        self._replicas: dict[str, _Replica] = {}

    def report(self, replica: str, statuses: Iterable[ServableStatus]) -> None:
        """Takes a replica's full report: what it does not name is not loaded there."""
        now = self._clock.monotonic()
        self._heard()  # one that comes back after a long silence begins anew, whether or not anyone asked meanwhile
        known = self._replicas.setdefault(replica, _Replica())
        loaded = {(status.model, status.version, status.digest): status for status in statuses}
        ready = [key for key, status in loaded.items() if status.state is VersionState.READY]
        known.heard = now
        known.ready_since = {key: known.ready_since.get(key, now) for key in ready}
        known.errors = {key: status.errors for key, status in loaded.items()}
        for key, status in loaded.items():
            known.answers[key] = max(known.answers.get(key, 0), status.requests - status.errors)

    def replicas(self) -> int:
        """How many replicas are heard."""
        return len(self._heard())

    def of(self, model: str, member: Member) -> Health:
        """A version's health over all replicas that are heard."""
        key, heard, now = (model, member.version, member.digest), self._heard(), self._clock.monotonic()
        since = [replica.ready_since[key] for replica in heard if key in replica.ready_since]
        return Health(
            replicas=len(heard),
            ready=len(since),
            ready_seconds=now - max(since) if since and len(since) == len(heard) else 0.0,
            answers=sum(
                answers
                for replica in heard
                for (name, version, _), answers in replica.answers.items()
                if name == model and version >= member.version
            ),
            errors=sum(replica.errors.get(key, 0) for replica in heard),
        )

    def forget_before(self, model: str, version: int) -> None:
        """Versions below this number will not be asked for any more: what they answered is dropped."""
        for replica in self._replicas.values():
            for key in [key for key in replica.answers if key[0] == model and key[1] < version]:
                del replica.answers[key]

    def _heard(self) -> list[_Replica]:
        oldest = self._clock.monotonic() - self._silent_seconds
        self._replicas = {name: replica for name, replica in self._replicas.items() if replica.heard >= oldest}
        return list(self._replicas.values())
