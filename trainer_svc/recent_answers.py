"""The answers that were read last, and how far a version that is being made would move them.

They stay in the log; here stands where. A function of the log alone.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from martlet.answer_shift import logit_shifts, number_shifts
from martlet.eventlog.erasure import is_erased
from martlet.feature_encoding import ItemId
from martlet.wire.projected import RecordReader
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Place
from trainer_svc.training_ports import Floats

SHIFT_ROWS: Final = 2048
_NO_SHIFT: Final = {"recent_requests": 0.0, "mean_abs_logit_shift": 0.0, "max_abs_logit_shift": 0.0}


class RecentAnswers:
    """A ring of places in the log. Not thread-safe.

    Args:
        size: so many stay.
        fetch: a record of the log again, by its place.
        read: decodes one.
        link: of the main task's logits: how they are compared.
    """

    def __init__(self, size: int, fetch: Callable[[Place], bytes], read: RecordReader, link: str) -> None:
        self._places: deque[Place] = deque(maxlen=size)
        self._fetch = fetch
        self._read = read
        self._shifts = number_shifts if link == "identity" else logit_shifts

    def add(self, place: Place) -> None:
        """A prediction stands there."""
        self._places.append(place)

    def forget(self, user_id: ItemId) -> None:
        """A user's are dropped."""
        theirs = {place for place in self._places if self._user_at(place) == user_id}
        self._places = deque((place for place in self._places if place not in theirs), self._places.maxlen)

    def shift(self, predict: Callable[[Sequence[RecordedPrediction]], Floats]) -> dict[str, float]:
        """How far the head's answers would move: the version's logits against those that it gave."""
        predictions = list(self._newest())
        if not predictions:
            return dict(_NO_SHIFT)
        given = np.concatenate([prediction.lane_logits() for prediction in predictions])
        moved = self._shifts(given, predict(predictions))
        return {
            "recent_requests": float(len(predictions)),
            "mean_abs_logit_shift": _finite(float(moved.mean())),
            "max_abs_logit_shift": _finite(float(moved.max())),
        }

    def state(self) -> list[Place]:
        """The places, the oldest first."""
        return list(self._places)

    def restore(self, state: Iterable[Place]) -> None:
        """Takes a state over."""
        self._places.extend(state)

    def _user_at(self, place: Place) -> ItemId | None:
        payload = self._fetch(place)
        return None if is_erased(payload) else RecordedPrediction(payload).user_id

    def _newest(self) -> Iterator[RecordedPrediction]:
        """The newest first, as many as make enough rows: scoring them is part of every version's cost."""
        rows = 0
        for place in reversed(self._places):
            if rows >= SHIFT_ROWS:
                return
            prediction = self._read(self._fetch(place))
            if prediction.spec_digest == self._read.digest:
                rows += prediction.rows
                yield prediction


def _finite(figure: float) -> float:
    """JSON has no NaN; a figure that is none must not look small."""
    return figure if np.isfinite(figure) else sys.float_info.max
