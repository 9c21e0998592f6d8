"""The look of what the `martlet` command prints: plain tables, bars, ages, shares."""

from math import isnan
from typing import Final

from rich.table import Table
from rich.text import Text

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))
FULL: Final = "█"
EMPTY: Final = "░"


def table(*columns: str, header: bool = True) -> Table:
    """A plain table. Only its last column, which may hold a sentence, wraps; `>` before a name aligns it right."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for number, column in enumerate(columns, start=1):
        wraps = number == len(columns)
        made.add_column(
            column.removeprefix(">"),
            no_wrap=not wraps,
            justify="right" if column.startswith(">") else "left",
            overflow="fold" if wraps else "ellipsis",
        )
    return made


def age(seconds: float) -> str:
    """A duration in whole units of the largest kind that it fills.

    >>> [age(seconds) for seconds in (-1, 59.9, 60, 7200, 200_000)]
    ['0s', '59s', '1m', '2h', '2d']
    """
    whole = max(int(seconds), 0)
    for unit, name in UNITS:
        if whole >= unit:
            return f"{whole // unit}{name}"
    return f"{whole}s"


def share_text(weight: int) -> str:
    """A share of the answers, given in buckets of 10,000.

    >>> share_text(9000), share_text(125), share_text(10_000)
    ('90 %', '1.25 %', '100 %')
    """
    return f"{weight / 100:.2f}".rstrip("0").rstrip(".") + " %"


def bar(part: float, cells: int, style: str) -> Text:
    """How much of a whole, as a bar; what is below 0, beyond 1 or no number is shown as the nearest end.

    >>> bar(0.5, 4, "").plain, bar(float("-inf"), 4, "").plain, bar(9.0, 4, "").plain
    ('██░░', '░░░░', '████')
    """
    inside = 0.0 if isnan(part) else min(max(part, 0.0), 1.0)
    full = round(inside * cells)
    if inside > 0.0 and not full:
        full = 1  # a small share is not none
    elif inside < 1.0 and full == cells:
        full = cells - 1  # and nearly there is not there
    return Text.assemble((FULL * full, style), (EMPTY * (cells - full), "dim"))
