"""Ways through a space: all of a grid, at random, or led by what was found. The same seed and results, the same way."""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from martlet.errors import InvalidInput
from trainer_svc.tuning.space import Settings, Space
from trainer_svc.tuning.trials import TrialResult


class Search(Protocol):
    """Proposes settings. Rounds of `ask` and `tell` alternate, with one result for each proposal."""

    def ask(self, count: int) -> Sequence[Settings]:
        """The next settings to try, `count` at most; none: it is over."""
        ...

    def tell(self, results: Sequence[TrialResult]) -> None:
        """What came of them, in the order in which they were proposed."""
        ...


class GridSearch:
    """Each cell once."""

    def __init__(self, space: Space) -> None:
        self._cells = space.cells()

    def ask(self, count: int) -> Sequence[Settings]:
        """The next cells."""
        return list(islice(self._cells, count))

    def tell(self, results: Sequence[TrialResult]) -> None:
        """It goes its way regardless."""


class RandomSearch:
    """Independent draws (Bergstra and Bengio 2012: better than a grid where few of many settings matter)."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._number = 0

    def ask(self, count: int) -> Sequence[Settings]:
        """The next draws, without end."""
        numbers = range(self._number, self._number + count)
        self._number += count
        return [self._space.drawn(self._seed, number) for number in numbers]

    def tell(self, results: Sequence[TrialResult]) -> None:
        """It goes its way regardless."""


def search_of(kind: str, space: Space, seed: int, *, more_is_better: bool) -> Search:
    """The search of that name: grid, random, or tpe.

    Raises:
        InvalidInput: no such search, or it needs what is not installed.
    """
    if kind == "grid":
        return GridSearch(space)
    if kind == "random":
        return RandomSearch(space, seed)
    if kind != "tpe":
        raise InvalidInput(f"no search {kind!r}: take grid, random or tpe")
    try:
        from trainer_svc.tuning.optuna_search import TpeSearch  # noqa: PLC0415  an extra, not always installed
    except ImportError as error:
        raise InvalidInput("the search `tpe` needs Optuna: pip install martlet[tune]") from error
    return TpeSearch(space, seed, more_is_better=more_is_better)
