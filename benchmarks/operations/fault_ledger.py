"""What a client has seen: each request with its answer, each event with its acknowledgement."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, after the client's own retries.

    Attributes:
        sent_s, took_s: seconds of the run's clock.
        error: "" if it was answered.
        version, digest: who answered.
    """

    sent_s: float
    took_s: float
    error: str = ""
    version: int = 0
    digest: str = ""

    @property
    def answered_s(self) -> float:
        """When it was over."""
        return self.sent_s + self.took_s


@dataclass(frozen=True, slots=True)
class Told:
    """One event, after the client's own retries. Without an error it was acknowledged."""

    event_id: str
    sent_s: float
    error: str = ""


@dataclass(slots=True)
class Ledger:
    """All of it."""

    asked: list[Asked] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[str]:
        """Ids of the events that the service has promised to keep."""
        return [one.event_id for one in self.told if not one.error]

    def during(self, begin_s: float, end_s: float) -> Sequence[Asked]:
        """The requests that were sent in a stretch of time."""
        return [one for one in self.asked if begin_s <= one.sent_s < end_s]
