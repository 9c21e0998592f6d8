"""The space of settings that is searched: dotted paths, each with the values that it may take."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import yaml

from martlet.errors import InvalidInput

Value = float | int | str | bool | None
Settings = dict[str, Value]
GRID_STEPS: Final = 5
MOST_CELLS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these, each as likely."""

    values: tuple[Value, ...]

    def grid(self) -> Sequence[Value]:
        """All of them."""
        return self.values

    def at(self, part: float) -> Value:
        """The value at a part of the way, 0 ≤ part < 1."""
        return self.values[int(part * len(self.values))]


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`.

    Attributes:
        low, high: both included.
        log: equal factors are equally likely, not equal differences; then low must be above 0.
        whole: whole numbers alone.
        steps: values of a grid.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    steps: int = GRID_STEPS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InvalidInput(f"a range must go up, not from {self.low:g} to {self.high:g}")
        if self.log and self.low <= 0:
            raise InvalidInput(f"a logarithmic range must begin above 0, not at {self.low:g}")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise InvalidInput(f"a range of whole numbers must end at such, not at {self.low:g} and {self.high:g}")
        if self.steps < 2:  # noqa: PLR2004  a grid has two ends
            raise InvalidInput(f"a grid needs 2 steps at least, not {self.steps}")

    def grid(self) -> Sequence[Value]:
        """`steps` values from end to end, fewer if whole ones coincide."""
        return tuple(dict.fromkeys(self.at(step / (self.steps - 1)) for step in range(self.steps)))

    def at(self, part: float) -> Value:
        """The value at a part of the way, 0 ≤ part ≤ 1; 12 digits, so that it reads back as it was written."""
        if self.log:
            value = math.exp(math.log(self.low) + part * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + part * (self.high - self.low)
        value = min(max(float(f"{value:.12g}"), self.low), self.high)
        return round(value) if self.whole else value


Axis = Choice | Range


@dataclass(frozen=True, slots=True)
class Space:
    """Axes by the dotted path of their setting, in the file's order."""

    axes: Mapping[str, Axis]

    def cells(self) -> Iterator[Settings]:
        """All combinations of the grid; the last axis moves first.

        Raises:
            InvalidInput: there are absurdly many.
        """
        grids = [axis.grid() for axis in self.axes.values()]
        size = math.prod(map(len, grids))
        if size > MOST_CELLS:
            raise InvalidInput(f"the grid has {size:,} cells: search at random, or give ranges fewer steps")
        for values in product(*grids):
            yield dict(zip(self.axes, values, strict=True))

    def drawn(self, seed: int, number: int) -> Settings:
        """The settings of a random trial: a function of seed and number alone."""
        parts = np.random.default_rng([seed, number]).random(len(self.axes)).tolist()
        return {path: axis.at(part) for (path, axis), part in zip(self.axes.items(), parts, strict=True)}

    def plain(self) -> dict[str, Any]:
        """As JSON knows it: equal spaces give equal ones."""
        found: dict[str, Any] = msgspec.to_builtins(dict(self.axes))
        return found


def read_space(path: Path) -> Space:
    """A space from its YAML file: a list is a choice; a section with `low` and `high` is a range.

    Raises:
        InvalidInput: another form; the message names the setting.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    return space_of(content)


def space_of(content: Any) -> Space:
    """A space from its plain form (see `read_space`)."""
    if not isinstance(content, dict) or not content:
        raise InvalidInput("a space names settings, as in: optimizer.rate: {low: 0.0001, high: 0.01, log: true}")
    return Space({str(path): _axis(str(path), values) for path, values in content.items()})


def _axis(path: str, values: Any) -> Axis:
    try:
        if isinstance(values, list) and values:
            return msgspec.convert({"values": values}, Choice)
        if isinstance(values, dict) and not values.keys() - {"low", "high", "log", "whole", "steps"}:
            return msgspec.convert(values, Range)
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"{path}: {error}") from error
    raise InvalidInput(f"{path}: give a list of values, or low and high (and log, whole, steps)")
