"""Where the time of one thread goes: calls are timed in place, the time of timed calls inside them apart."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


class Stopwatch:
    """Seconds by part, of the thread that made it; what runs on others is left to them. Not thread-safe.

    Attributes:
        wall: wall time by part, without that of parts inside.
        cpu: processor time of the thread, likewise.
    """

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()
        self._inside = [(0.0, 0.0)]
        self._thread = threading.get_ident()

    def clear(self) -> None:
        """Begins anew."""
        self.wall.clear()
        self.cpu.clear()

    @contextmanager
    def timing(self, parts: dict[tuple[Any, str], str]) -> Iterator[None]:
        """For this context, times the calls of (owner, attribute) as parts."""
        patches = [
            mock.patch.object(owner, name, self._timed(owner, name, part)) for (owner, name), part in parts.items()
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()

    def _timed(self, owner: Any, name: str, part: str) -> Callable[..., Any]:
        call = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*arguments, **named)
            began = time.perf_counter(), time.thread_time()
            self._inside.append((0.0, 0.0))
            try:
                return call(*arguments, **named)
            finally:
                wall, cpu = time.perf_counter() - began[0], time.thread_time() - began[1]
                inside, outside = self._inside.pop(), self._inside.pop()
                self.wall[part] += wall - inside[0]
                self.cpu[part] += cpu - inside[1]
                self._inside.append((outside[0] + wall, outside[1] + cpu))

        return timed
