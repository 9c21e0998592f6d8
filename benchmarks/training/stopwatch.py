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
        seconds: wall time by part, without that of parts inside.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inside = [0.0]
        self._thread = threading.get_ident()

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
            began = time.perf_counter()
            self._inside.append(0.0)
            try:
                return call(*arguments, **named)
            finally:
                spent = time.perf_counter() - began
                self.seconds[part] += spent - self._inside.pop()
                self._inside[-1] += spent

        return timed
