"""Which calls are let in when more come than can be answered: decided before a request is decoded. Pure but for counts.

Under overload whatever is taken up must still be finished in time, or the work is lost. A call is refused when it would
not be: when less of its deadline is left than such calls take of late, or when too many are under way.
"""

from typing import Final

_WEIGHT: Final = 1 / 16  # of the newest duration in the running mean
_SPREADS: Final = 4.0


class Usual:
    """How long calls of one method take of late, in seconds: running mean and mean deviation."""

    __slots__ = ("deviation", "mean")

    def __init__(self) -> None:
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
    """

    __slots__ = ("inside", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0

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
