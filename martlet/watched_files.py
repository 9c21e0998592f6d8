"""Files that belong together (a certificate and its key, say), read again when they have changed."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from martlet.errors import InvalidInput

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]

logger = logging.getLogger(__name__)


class WatchedFiles:
    """The last contents of some files that passed a check. Thread-safe.

    Args:
        every_seconds: `look` looks at most this often.
        check: raises (InvalidInput, OSError, ValueError) if the files as they stand do not do.

    Attributes:
        contents: of the files, in their order.
        generation: counts the contents, from 1.

    Raises:
        InvalidInput: a file cannot be read, or the files do not pass the check.
    """

    def __init__(
        self, paths: Sequence[Path], every_seconds: float, check: Callable[[Sequence[bytes]], None] = lambda _read: None
    ) -> None:
        self._paths = tuple(paths)
        self._every = every_seconds
        self._check = check
        self._lock = threading.Lock()
        self._due = time.monotonic() + every_seconds
        try:
            self._stamp = self._stamps()
            self.contents = self._read()
        except OSError as error:
            raise InvalidInput(f"cannot read {error.filename or self._paths[0]}: {error.strerror or error}") from error
        except ValueError as error:
            raise InvalidInput(f"{self._paths[0]}: {error}") from error
        self.generation = 1

    def look(self) -> int:
        """The generation that holds now. Files that cannot be read, or are half written, leave it as it is."""
        now = time.monotonic()
        if now < self._due:
            return self.generation
        with self._lock:
            if now >= self._due:
                self._due = now + self._every
                self._take()
        return self.generation

    def _take(self) -> None:
        try:
            stamp = self._stamps()
            if stamp == self._stamp:
                return
            contents = self._read()
            if self._stamps() != stamp:
                return  # in the midst of being written; there is a next time
        except (OSError, ValueError, InvalidInput) as error:
            logger.error("%s is not taken, the one before stays: %s", self._paths[0].name, error)  # noqa: TRY400
            return
        self.contents, self._stamp = contents, stamp
        self.generation += 1
        logger.info("%s was replaced", self._paths[0].name)

    def _read(self) -> tuple[bytes, ...]:
        contents = tuple(path.read_bytes() for path in self._paths)
        self._check(contents)
        return contents

    def _stamps(self) -> Stamp:
        found = [os.stat(path) for path in self._paths]  # noqa: PTH116  follows links, as a mounted secret needs
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)
