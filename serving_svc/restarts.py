"""When a process that ended is started again: pure."""

from typing import Final

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
STEADY_SECONDS: Final = 60.0


def failures_after(failures: int, lived_seconds: float) -> int:
    """Ends in a row that count, after one that lived so long: a steady process begins anew.

    >>> failures_after(3, 1.0), failures_after(3, 120.0)
    (4, 1)
    """
    return 1 if lived_seconds >= STEADY_SECONDS else failures + 1


def pause(failures: int) -> float:
    """Seconds to wait before the next start: doubled by each failure in a row, bounded.

    >>> [pause(failures) for failures in (1, 2, 3, 50)]
    [0.1, 0.2, 0.4, 10.0]
    """
    return min(FIRST_PAUSE * float(2 ** min(failures - 1, 30)), LONGEST_PAUSE)
