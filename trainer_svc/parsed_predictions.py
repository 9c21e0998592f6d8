"""Predictions that were parsed lately: outcomes mostly follow soon, and each asks for its prediction again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from martlet.eventlog.erasure import is_erased
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Place

KEPT_BYTES: Final = 64 << 20  # of records; a parsed one takes about twice as much


class ParsedPredictions:
    """Gives predictions by their place, parsed once where that was lately. What it keeps decides nothing but time.

    Args:
        fetch: a record of the log again, by its place.
        kept_bytes: about so many bytes of records stay parsed, the newest.
        read: parses a record.
    """

    def __init__(
        self,
        fetch: Callable[[Place], bytes],
        kept_bytes: int = KEPT_BYTES,
        read: Callable[[bytes], RecordedPrediction] = RecordedPrediction,
    ) -> None:
        self._fetch = fetch
        self._read = read
        self._room = kept_bytes
        self._kept: OrderedDict[Place, tuple[RecordedPrediction, int]] = OrderedDict()

    def keep(self, place: Place, prediction: RecordedPrediction, size: int) -> None:
        """A prediction was parsed from a record of so many bytes."""
        if place in self._kept:
            return
        self._kept[place] = prediction, size
        self._room -= size
        while self._room < 0:
            self._room += self._kept.popitem(last=False)[1][1]

    def get(self, place: Place) -> RecordedPrediction | None:
        """The prediction there; None: it was erased."""
        kept = self._kept.get(place)
        if kept is not None:
            return kept[0]
        payload = self._fetch(place)
        return None if is_erased(payload) else self._read(payload)
