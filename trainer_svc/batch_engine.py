"""The batch engine: runs many independent pieces of work, wherever there is room for them.

A task and its result cross process borders, so both are plain values, and the function is a module's own (it is sent by
its name). Results come in the order of the tasks, whatever order the work ends in, so whoever maps over an engine gets
the same from each of them.
"""

import importlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeVar

from martlet.errors import InvalidInput

T = TypeVar("T")
R = TypeVar("R")

EngineName = Literal["in_process", "processes", "ray"]
NICENESS: Final = 10  # batch work gives way to whatever answers or learns live


class BatchEngine(Protocol):
    """Where batch work runs."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """The function of each task, in the order of the tasks; blocks until all are done.

        Raises:
            Exception: what the function raised for the first task, in their order, for which it raised; results of the
                others are lost, and work that has not begun may never begin.
        """
        ...


class InProcess:
    """One task after another, in the calling thread."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """See `BatchEngine`.

        >>> InProcess().map(abs, [-2, 1])
        [2, 1]
        """
        return [function(task) for task in tasks]


@dataclass(frozen=True, slots=True)
class Processes:
    """A pool of processes for each call, at low priority, each begun anew: nothing of the caller's state leaks in.

    Attributes:
        workers: how many at once; 0: as many as there are processors.
    """

    workers: int = 0

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """See `BatchEngine`."""
        if not tasks:
            return []
        workers = min(self.workers or os.cpu_count() or 1, len(tasks))
        # Forked children would inherit torch's and numba's threads as locks that nobody holds.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_give_way) as pool:
            futures = [pool.submit(function, task) for task in tasks]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


class OnRay:
    """Tasks on a Ray cluster, one processor each; started on this machine if none runs. Needs the extra `ray`.

    Args:
        address: of a running cluster; "": the one that the environment names, else one of this process's own.

    Raises:
        InvalidInput: Ray is not installed.
    """

    def __init__(self, address: str = "") -> None:
        try:
            # Ray ships no types for what is used here, and is no dependency: it enters by name.
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise InvalidInput("the batch engine `ray` needs Ray: pip install martlet[ray]") from error
        if not self._ray.is_initialized():
            self._ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False)

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """See `BatchEngine`."""
        remote = self._ray.remote(function)
        running = [remote.remote(task) for task in tasks]
        results: list[R] = []
        for reference in running:
            try:
                results.append(self._ray.get(reference))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
        return results


def engine_of(name: EngineName, workers: int = 0) -> BatchEngine:
    """The engine that the settings name."""
    if name == "ray":
        return OnRay()
    return Processes(workers) if name == "processes" else InProcess()


def _give_way() -> None:
    os.nice(NICENESS)
