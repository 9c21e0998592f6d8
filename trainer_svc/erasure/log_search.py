"""Where a user stands in the logs: predictions made for the user, outcomes of these, and dead letters of either."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from martlet.errors import Corrupt
from martlet.eventlog.erasure import erased, is_erased
from martlet.eventlog.port import EventReader
from martlet.feature_encoding import ItemId
from martlet.wire.events import EventKind, kind_of, prediction_of, user_of
from trainer_svc.dead_letters import StepLetters
from trainer_svc.event_source import Place

_READ_BYTES: Final = 4 << 20

Replacements = dict[str, dict[int, bytes]]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the logs hold of a user.

    Attributes:
        predictions: partition → {start: what replaces a prediction made for the user}.
        outcomes: the same of the outcomes of these predictions.
    """

    predictions: Replacements = field(default_factory=dict)
    outcomes: Replacements = field(default_factory=dict)

    def holds(self, place: Place) -> bool:
        """Whether the record there is one of them."""
        return any(place.start in part.get(place.partition, ()) for part in (self.predictions, self.outcomes))

    @property
    def count(self) -> int:
        """Records found."""
        return sum(len(found) for part in (self.predictions, self.outcomes) for found in part.values())


def footprint(reader: EventReader, user_id: ItemId, until: Mapping[str, int]) -> Footprint:
    """What an event log holds of a user.

    Predictions count up to `until`, partition → position; their outcomes count wherever they stand.
    """
    found = Footprint()
    names: set[str] = set()
    for partition, end in until.items():
        for place, payload in _records(reader, partition):
            if place.start >= end:
                break
            if kind_of(payload) is EventKind.PREDICTION and (name := _prediction(payload, user_id)):
                names.add(name)
                found.predictions.setdefault(partition, {})[place.start] = erased(len(payload))
    if names:
        _add_outcomes(reader, names, found.outcomes)
    return found


def letters_of(reader: EventReader, partition: str, gone: Footprint) -> Replacements:
    """The dead letters that hold a record of the footprint, and what they say without it."""
    found: Replacements = {}
    for place, payload in _records(reader, partition):
        if is_erased(payload):
            continue
        step = msgspec.json.decode(payload, type=StepLetters)
        told = [letter for letter in step.letters if gone.holds(Place(letter.partition, letter.offset))]
        if told:
            for letter in told:
                letter.payload = base64.b64encode(erased(len(base64.b64decode(letter.payload)))).decode()
            found.setdefault(partition, {})[place.start] = msgspec.json.encode(step)
    return found


def _add_outcomes(reader: EventReader, predictions: set[str], records: Replacements) -> None:
    for partition in reader.partitions():
        for place, payload in _records(reader, partition):
            if kind_of(payload) is EventKind.OUTCOME and _outcome(payload) in predictions:
                records.setdefault(partition, {})[place.start] = erased(len(payload))


def _records(reader: EventReader, partition: str) -> Iterator[tuple[Place, bytes]]:
    start = 0
    while records := reader.read(partition, start, _READ_BYTES):
        for record in records:
            yield Place(partition, start), record.payload
            start = record.end


def _prediction(payload: bytes, user_id: ItemId) -> str:
    """The prediction's id if it was made for the user, else "". What cannot be read says nothing of anybody."""
    try:
        prediction_id, user = user_of(payload)
    except Corrupt:
        return ""
    return prediction_id if user == user_id else ""


def _outcome(payload: bytes) -> str:
    try:
        return prediction_of(payload)
    except Corrupt:
        return ""
