"""Whose word something was done on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """Who asks, and why, in their own words.

    Attributes:
        caller: whose token or certificate it came with, as verified: `token:<name>`, `certificate:<name>`; "" where
            callers are not asked who they are.
    """

    who: str = ""
    why: str = ""
    caller: str = ""


NOBODY = Said()
