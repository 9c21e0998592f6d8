"""Who was not let in, at which door, and why. Thread-safe: the doors have threads of their own."""

from prometheus_client import CollectorRegistry, Counter

from martlet.errors import Forbidden, MartletError, Unauthenticated

GRPC, METRICS = "grpc", "metrics"
_REASONS = {Unauthenticated: "unauthenticated", Forbidden: "forbidden"}


class DenialMetrics:
    """One instance for each CollectorRegistry. All series are there from the start, so that a first denial is seen."""

    def __init__(self, collectors: CollectorRegistry, service: str) -> None:
        denials = Counter(
            f"martlet_{service}_auth_denials", "Callers that were not let in", ["door", "reason"], registry=collectors
        )
        self._at = {
            (door, kind): denials.labels(door, reason) for door in (GRPC, METRICS) for kind, reason in _REASONS.items()
        }

    def denied(self, door: str, error: MartletError) -> None:
        """Somebody was turned away by this error, an Unauthenticated or a Forbidden."""
        kind = Forbidden if isinstance(error, Forbidden) else Unauthenticated
        self._at[door, kind].inc()
