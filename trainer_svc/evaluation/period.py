"""Which time is evaluated, as a person writes it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from martlet.errors import InvalidInput
from martlet.learn.inputs import seconds


@dataclass(frozen=True, slots=True)
class Period:
    """Event time from one moment up to another, in microseconds since 1970; None: no such bound.

    Attributes:
        last_us: instead, so much before the newest answer and up to it.
    """

    from_us: int | None = None
    to_us: int | None = None
    last_us: int | None = None

    def bounds(self, newest_us: int) -> tuple[int | None, int | None]:
        """From and to, once the newest answer's time is known."""
        return (self.from_us, self.to_us) if self.last_us is None else (newest_us - self.last_us + 1, None)


def period_of(text: str) -> Period:
    """A duration, or two moments with dots between them, either of which may be left out.

    >>> period_of("2h").last_us, period_of("1970-01-02..").from_us
    (7200000000, 86400000000)

    Raises:
        InvalidInput: neither.
    """
    start, dots, end = text.partition("..")
    if not dots:
        return Period(last_us=seconds(text) * 1_000_000) if text else Period()
    found = Period(_moment(start), _moment(end))
    if found.from_us is not None and found.to_us is not None and found.from_us >= found.to_us:
        raise InvalidInput(f"{text!r} ends before it begins")
    return found


def _moment(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: write 2026-11-24 or 2026-11-24T18:00, which is UTC") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)
