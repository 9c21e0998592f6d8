"""Where trials run."""

import importlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from martlet.errors import InvalidInput
from trainer_svc.tuning.tuning import Engine

T = TypeVar("T")
R = TypeVar("R")


class InProcess:
    """One trial after another, in the calling thread."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """See `Engine`."""
        return [function(task) for task in tasks]


def engine_with(name: str, workers: int) -> Engine:
    """The engine of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name == "in_process":
        return InProcess()
    try:
        engines = importlib.import_module("trainer_svc.batch_engine")
    except ImportError as error:
        raise InvalidInput(f"no engine {name!r} here") from error
    found: Engine = engines.engine_of(name, workers)
    return found
