"""Which items may be recommended: a bounded tree of conditions on their announced attributes, as a value.

An attribute that an item does not have fulfils no condition (so `Not` of a condition holds for it).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from typing import Final

from martlet.errors import InvalidInput

MAX_NODES: Final = 64
MAX_DEPTH: Final = 8
MAX_VALUES: Final = 1000


@dataclass(frozen=True, slots=True)
class In:
    """The attribute is one of these ids or numbers; a list of ids: one of its ids is."""

    attribute: str
    values: tuple[int | str | float, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The attribute is a number from `low` to `high`, both inclusive; None: no bound on this side."""

    attribute: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class All:
    """All of them hold; so do none."""

    parts: "tuple[ItemFilter, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of them holds."""

    parts: "tuple[ItemFilter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: "ItemFilter"


ItemFilter = In | Between | All | Either | Not


def equals(attribute: str, value: str | float) -> In:
    """The attribute is this.

    >>> equals("item.brand", "acme")
    In(attribute='item.brand', values=('acme',))
    """
    return In(attribute, (value,))


def nodes(tree: ItemFilter) -> Iterator[ItemFilter]:
    """All nodes, from the root down."""
    yield tree
    for part in parts_of(tree):
        yield from nodes(part)


def parts_of(node: ItemFilter) -> tuple[ItemFilter, ...]:
    """What a node joins."""
    if isinstance(node, All | Either):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def attributes_of(tree: ItemFilter) -> frozenset[str]:
    """The attributes that it asks for."""
    return frozenset(node.attribute for node in nodes(tree) if isinstance(node, In | Between))


def check_filter(tree: ItemFilter) -> ItemFilter:
    """The filter, if it is within its bounds.

    Raises:
        InvalidInput: too large, too deep, or a condition that says nothing.
    """
    if _depth(tree, MAX_DEPTH + 1) > MAX_DEPTH:
        raise InvalidInput(f"a filter has at most {MAX_DEPTH} levels")
    every = list(nodes(tree))
    if len(every) > MAX_NODES:
        raise InvalidInput(f"a filter has {len(every)} nodes: at most {MAX_NODES} are taken")
    values = sum(len(node.values) for node in every if isinstance(node, In))
    if values > MAX_VALUES:
        raise InvalidInput(f"a filter has {values} values: at most {MAX_VALUES} are taken")
    for node in every:
        _check_node(node)
    return tree


def _depth(node: ItemFilter, limit: int) -> int:
    """Levels, counted no further than the limit: a hostile tree must not exhaust the stack."""
    if limit <= 1:
        return 1
    return 1 + max((_depth(part, limit - 1) for part in parts_of(node)), default=0)


def _check_node(node: ItemFilter) -> None:
    if isinstance(node, In | Between) and not node.attribute:
        raise InvalidInput("a filter's condition names no attribute")
    if isinstance(node, In) and not node.values:
        raise InvalidInput(f"the filter on {node.attribute!r} has no values")
    if isinstance(node, Between):
        bounds = [bound for bound in (node.low, node.high) if bound is not None]
        if not bounds or any(isnan(bound) for bound in bounds):
            raise InvalidInput(f"the filter on {node.attribute!r} needs min or max, as numbers")
