"""Which calls are let in when more come than can be answered: decided before a request is decoded. Pure but for counts.

Under overload whatever is taken up must still be finished in time, or the work is lost. A call is refused when it would
not be: when less of its deadline is left than such calls take of late, or when too many are under way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from martlet.errors import OverCapacity

_WEIGHT: Final = 1 / 16  # of the newest duration in the running mean
_SPREADS: Final = 4.0
_STREAM_RETRY_MS: Final = 1000


class Usual:
    """Calls of one method: how long they take of late, in seconds (running mean and mean deviation).

    Attributes:
        inside: how many are under way.
    """

    __slots__ = ("deviation", "inside", "mean")

    def __init__(self) -> None:
        self.inside = 0
        self.mean = 0.0
        self.deviation = 0.0

    def add(self, seconds: float) -> None:
        """One more call."""
        off = seconds - self.mean
        self.mean += _WEIGHT * off
        self.deviation += _WEIGHT * (abs(off) - self.deviation)

    def doubt(self) -> None:
        """A call was refused for this: so that an old truth does not refuse for ever, it fades."""
        self.mean *= 1 - _WEIGHT
        self.deviation *= 1 - _WEIGHT

    @property
    def bound(self) -> float:
        """Most calls take no longer."""
        return self.mean + _SPREADS * self.deviation


class Door:
    """Counts the calls of one server that are under way. Lives on one event loop.

    Args:
        most: calls that may be under way.
        most_streams: streams that may be open; they are counted apart, for most of them are open for days.
    """

    __slots__ = ("_methods", "inside", "most", "most_streams", "streams")

    def __init__(self, most: int, most_streams: int = 1000) -> None:
        self.most = most
        self.most_streams = most_streams
        self.inside = 0
        self.streams = 0
        self._methods: dict[str, Usual] = {}

    def method(self, name: str) -> Usual:
        """The calls of a method, by its full name."""
        return self._methods.setdefault(name, Usual())

    def under_way(self) -> dict[str, int]:
        """How many calls of each method are under way. From any thread."""
        return {name: usual.inside for name, usual in self._methods.copy().items()}

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Counts a stream while it is open."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def check_streams(self) -> None:
        """Whether the stream counted last may stay.

        Raises:
            OverCapacity: too many are open.
        """
        if self.streams > self.most_streams:
            raise OverCapacity(f"{self.most_streams} streams are open, and no more are taken", _STREAM_RETRY_MS)

    def fits(self, remaining: float | None, usual: Usual) -> bool:
        """Whether a call with so much of its deadline left (seconds; None: it has none) can be let in.

        >>> door, usual = Door(most=100), Usual()
        >>> usual.add(1.0)
        >>> [door.fits(remaining, usual) for remaining in (0.3, 0.4, None)]
        [False, True, True]
        """
        if self.inside < self.most and (remaining is None or remaining > usual.bound):
            return True
        usual.doubt()
        return False
