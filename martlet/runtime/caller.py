"""Who makes the call that is being answered, as far as that was verified."""

from contextvars import ContextVar
from typing import Final

CALLER: Final[ContextVar[str]] = ContextVar("caller", default="")


def caller() -> str:
    """`token:<name>`, `certificate:<name>`, or "" where callers are not asked who they are."""
    return CALLER.get()
