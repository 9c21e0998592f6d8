"""What the event log holds, looked at once a second beside the loop.

A scrape must not wait for a broker, least of all for one that is away; and the loop itself only knows what it has read.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from martlet.errors import MartletError
from martlet.eventlog.port import EventReader

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class LogBounds:
    """What was found.

    Attributes:
        answers: the log answered when it was asked last.
        bounds: partition → the position of the oldest record that is kept, and the one behind the last.
    """

    answers: bool = False
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class LogWatch(threading.Thread):
    """Looks until the trainer ends. `found` may be read from any thread; what it holds is never changed.

    Args:
        reader: for this thread alone.
    """

    def __init__(self, reader: EventReader, ending: threading.Event) -> None:
        super().__init__(name="log-watch", daemon=True)
        self._reader = reader
        self._ending = ending
        self.found = LogBounds()

    def run(self) -> None:
        """The thread's body."""
        while True:
            self.look()
            if self._ending.wait(LOOK_SECONDS):
                return

    def close(self) -> None:
        """Lets go of the log; after the thread has ended."""
        self._reader.close()

    def look(self) -> None:
        """Once. What was found before stays where the log does not answer."""
        reader = self._reader
        try:
            bounds = {name: (reader.begin(name), reader.end(name)) for name in reader.partitions()}
        except (MartletError, OSError) as error:
            if self.found.answers:
                logger.warning("how far the event log reaches is not known: %s", error)
            self.found = LogBounds(answers=False, bounds=self.found.bounds)
        else:
            self.found = LogBounds(answers=True, bounds=bounds)
