"""Readers of the event log that the settings name, for work beside the services."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from martlet.clock import Clock
from martlet.eventlog.port import EventReader
from martlet.runtime.config import Config
from martlet.runtime.parts import event_log


@contextmanager
def log_readers(config: Config, clock: Clock, number: int) -> Iterator[list[EventReader]]:
    """So many readers, closed in the end.

    Raises:
        InvalidInput: a setting of the log is wrong, or its extra is not installed.
    """
    log = event_log(config, clock)
    with ExitStack() as ends:
        ends.callback(log.close)
        readers = [log.reader() for _ in range(number)]
        for reader in readers:
            ends.callback(reader.close)
        yield readers
