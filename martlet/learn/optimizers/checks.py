"""Checks of settings, with the setting's name in the message."""

from math import isfinite

from martlet.errors import InvalidInput


def positive(owner: object, **values: float) -> None:
    """Raises InvalidInput unless all are finite and above 0."""
    for name, value in values.items():
        if not (value > 0 and isfinite(value)):
            raise InvalidInput(f"{type(owner).__name__}: {name} must be positive, not {value}")


def not_negative(owner: object, **values: float) -> None:
    """Raises InvalidInput unless all are finite and at least 0."""
    for name, value in values.items():
        if not (value >= 0 and isfinite(value)):
            raise InvalidInput(f"{type(owner).__name__}: {name} must not be negative, but is {value}")


def fraction(owner: object, **values: float) -> None:
    """Raises InvalidInput unless all are in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InvalidInput(f"{type(owner).__name__}: {name} must be in [0, 1), not {value}")
