"""Threads that tell how much is waiting for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from typing_extensions import ParamSpec, override

P = ParamSpec("P")
R = TypeVar("R")


class CountedThreads(ThreadPoolExecutor):
    """An executor that knows how many calls wait for it or run in it."""

    def __init__(self, size: int, name: str) -> None:
        super().__init__(size, name)
        self._counting = threading.Lock()
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """How many calls wait or run. From any thread."""
        return self._under_way

    @override
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As of an executor."""
        self._count(1)
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._count(-1)
            raise
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: "Future[Any]") -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._under_way += change
