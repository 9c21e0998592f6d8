"""Figures with their targets, as others' scripts read them: nested, {"value", "unit", "target", "met"}."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be."""

    limit: float
    sign: str
    holds: Callable[[float], bool]


def at_most(limit: float) -> Target:
    """A figure that must not be above."""
    return Target(limit, "<=", lambda value: value <= limit)


def at_least(limit: float) -> Target:
    """A figure that must not be below."""
    return Target(limit, ">=", lambda value: value >= limit)


def upper_99(hits: np.ndarray[Any, Any]) -> float:
    """Upper 99 % bound of a rate (Wilson score)."""
    n, rate, z = len(hits), float(np.mean(hits)), 2.326
    centre = rate + z * z / (2 * n)
    spread = z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return float((centre + spread) / (1 + z * z / n))


@dataclass(slots=True)
class Figures:
    """All that was measured, in order."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str, target: Target | None = None) -> None:
        """One figure by its dotted name; a value that is not finite is null: it never happened."""
        self.entries[name] = {
            "value": float(f"{value:.6g}") if isfinite(value) else None,
            "unit": unit,
            "target": f"{target.sign} {target.limit:g}" if target else None,
            "met": bool(isfinite(value) and target.holds(value)) if target else None,
        }
        print(name, self.entries[name]["value"], unit, self.entries[name]["target"] or "", flush=True)  # noqa: T201

    def nested(self) -> dict[str, Any]:
        """By the parts of their names. A weight such as w0.5 stays one part."""
        root: dict[str, Any] = {}
        for name, entry in self.entries.items():
            *path, leaf = re.split(r"\.(?!\d)", name)
            place = root
            for part in path:
                place = place.setdefault(part, {})
            place[leaf] = entry
        return root

    def write(self, path: Path) -> None:
        """Writes them as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.nested(), indent=1) + "\n")
