"""Takes a forgotten user out of what is stored: dead letters, events, versions that knew the user. Blocking."""

from dataclasses import dataclass
from typing import Final, Protocol

from martlet.eventlog.port import EventEraser, EventReader
from martlet.versions import Expiry
from trainer_svc.erasure.log_search import Footprint, footprint, letters_of
from trainer_svc.journal import Forgot

WHO: Final = "trainer"
WHY: Final = "a user is forgotten"


class Versions(Protocol):
    """The part of a registry client that is needed."""

    def expire(self, model: str, below: int, who: str, why: str) -> Expiry:
        """Removes the artifacts of versions below a number.

        Raises:
            MartletError: not yet, or it does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """A log that is read and erased in."""

    reader: EventReader
    eraser: EventEraser


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken out: records of the event log, and versions."""

    events: int
    versions: int


class Eraser:
    """For one thread. What was broken off is done again by the same call.

    Args:
        letter_partition: of the dead letters; those of further lineages bear its name, a dash and their own.
    """

    def __init__(self, model: str, events: Shelf, letters: Shelf, letter_partition: str, registry: Versions) -> None:
        self._model = model
        self._events = events
        self._letters = letters
        self._letter_partition = letter_partition
        self._registry = registry

    def erase(self, forgot: Forgot, below: int) -> Removed:
        """Erases what the log holds of the user; versions below a number expire.

        Raises:
            MartletError: a version that knows the user is aspired still, or the registry does not answer.
        """
        found = footprint(self._events.reader, forgot.user_id, forgot.until)
        self._replace_letters(found)
        # Outcomes are known by their predictions, so these go last: a call that was broken off finds the rest.
        for part in (found.outcomes, found.predictions):
            for partition, records in part.items():
                self._events.eraser.replace(partition, records)
        expiry = self._registry.expire(self._model, below, WHO, WHY)
        return Removed(found.count, expiry.versions)

    def _replace_letters(self, found: Footprint) -> None:
        for name in self._letters.reader.partitions():
            if name == self._letter_partition or name.startswith(f"{self._letter_partition}-"):
                for partition, records in letters_of(self._letters.reader, name, found).items():
                    self._letters.eraser.replace(partition, records)
