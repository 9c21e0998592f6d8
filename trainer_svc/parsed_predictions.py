"""Predictions that were parsed lately: outcomes mostly follow soon, and each asks for its prediction again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from martlet.eventlog.erasure import is_erased
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Place

KEPT_BYTES: Final = 128 << 20
# Memory of a parsed record beside its bytes: its messages, and each row's. All lie in blocks that double (upb's arena),
# and Python has a share: so many times over, at most.
_MESSAGE_BYTES: Final = 450
_ROW_BYTES: Final = 40
_TIMES: Final = 3


class ParsedPredictions:
    """Gives predictions by their place, parsed once where that was lately. What it keeps decides nothing but time.

    Args:
        fetch: a record of the log again, by its place.
        kept_bytes: the newest stay parsed, as many as take at most so much memory; mostly they take half of it.
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
        taken = memory_of(size, prediction.rows)
        self._kept[place] = prediction, taken
        self._room -= taken
        while self._room < 0:
            self._room += self._kept.popitem(last=False)[1][1]

    def get(self, place: Place) -> RecordedPrediction | None:
        """The prediction there; None: it was erased."""
        kept = self._kept.get(place)
        if kept is not None:
            return kept[0]
        payload = self._fetch(place)
        return None if is_erased(payload) else self._read(payload)


def memory_of(size: int, rows: int) -> int:
    """Bytes of memory that a parsed record of so many bytes and items takes at most; it may be a third of it."""
    return _TIMES * (_MESSAGE_BYTES + size + _ROW_BYTES * rows)
