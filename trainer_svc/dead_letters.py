"""Dead letters: events that cannot be used, kept with their reasons. One record for each step that had any."""

import base64
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from martlet.eventlog.port import EventReader, EventWriter
from trainer_svc.event_source import Place
from trainer_svc.joiner import DeadLetter

logger = logging.getLogger(__name__)

DEAD_LETTER_FORMAT: Final = 1
DISK_PAUSE: Final = 1.0
_READ_BYTES: Final = 1 << 20


class Letter(msgspec.Struct):
    """One event: why it cannot be used, where it stood in the log, and its bytes (base64)."""

    reason: str
    text: str
    partition: str
    offset: int
    payload: str


class StepLetters(msgspec.Struct):
    """All letters of one step."""

    step: int
    letters: list[Letter]
    format: int = DEAD_LETTER_FORMAT


class DeadLetterLog:
    """Appends each step's letters once: a step that is executed again after a restart adds none. Not thread-safe.

    Args:
        writer, reader: of one partition, named `partition`.
        fetch: an event's bytes by its place.
        pause: waits so many seconds before a disk that refused is tried again; True says that the trainer ends.
    """

    def __init__(
        self,
        writer: EventWriter,
        reader: EventReader,
        partition: str,
        fetch: Callable[[Place], bytes],
        pause: Callable[[float], bool] = lambda _seconds: True,
    ) -> None:
        self._pause = pause
        self._writer = writer
        self._fetch = fetch
        self._last_step = max((found.step for found in read_letters(reader, partition)), default=-1)

    def write(self, step: int, letters: Sequence[DeadLetter]) -> None:
        """Returns once they are on disk: in the midst of a step, which cannot be left half done.

        Raises:
            OSError: the disk refuses, and the trainer ends.
        """
        if not letters or step <= self._last_step:
            return
        record = msgspec.json.encode(StepLetters(step, [self._letter(letter) for letter in letters]))
        while not self._written(record):
            pass
        self._last_step = step

    def _written(self, record: bytes) -> bool:
        try:
            self._writer.append(record).result()
        except OSError as error:
            logger.warning("a step waits for the dead letters' disk: %s", error)
            if self._pause(DISK_PAUSE):
                raise
            return False
        return True

    def _letter(self, letter: DeadLetter) -> Letter:
        payload = base64.b64encode(self._fetch(letter.place)).decode()
        return Letter(letter.reason.value, letter.text, letter.place.partition, letter.place.start, payload)


def read_letters(reader: EventReader, partition: str) -> list[StepLetters]:
    """All letters."""
    found: list[StepLetters] = []
    start = 0
    while records := reader.read(partition, start, _READ_BYTES):
        found += [msgspec.json.decode(record.payload, type=StepLetters) for record in records]
        start = records[-1].end
    return found
