"""The harness's event log: answers and outcomes with everything that goes wrong, and what must come of each."""

import random
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from benchmarks.training.crash_model import MODEL
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm, LogPosition, Outcome, Prediction
from martlet.feature_encoding import RankInput, encode
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event

PARTITIONS = ("serving-0", "serving-1")
ITEMS = 3  # of an answer; the outcome is about the first, which no other outcome is about
AGAIN = 0.1  # so often something comes twice
_SPEC = spec_digest(MODEL.spec)


class Fate(StrEnum):
    """What must come of an outcome."""

    LEARNED = "learned"
    EXCLUDED = "excluded"
    DEAD = "dead"
    UNKNOWN = "unknown"  # its prediction never comes: pending, then dead


@dataclass(slots=True)
class Told:
    """All that was written.

    Attributes:
        fates: by event id.
        items: the item of each event that is to be learned, by event id.
        ends: where each partition ends.
    """

    fates: dict[str, Fate] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)


class EventLog:
    """Writes to two partitions, as two replicas would. Not thread-safe."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311  made-up events are no secret
        self._writers = {name: FileEventWriter(folder, name) for name in PARTITIONS}
        self._last_of: dict[str, Future[LogPosition]] = {}
        self._number = 0
        self._last = b""
        self.told = Told()

    def visit(self, count: int, now_us: int) -> None:
        """So many answers, each with an outcome, some twice, or before its answer, or senseless. On disk then."""
        for _ in range(count):
            number = self._number = self._number + 1
            records = [encode_event(_prediction(number, now_us))]
            records.insert(self._dice.randint(0, 1), self._outcome(number, now_us))
            if self._dice.random() < AGAIN:
                records.append(self._dice.choice((records[-1], self._last or records[0], b"\xff\xff")))
            self._last = records[-1]
            for record in records:
                self._append(record)
        for name, future in self._last_of.items():
            self.told.ends[name] = future.result(10).offset

    def close(self) -> None:
        """Closes the partitions."""
        for writer in self._writers.values():
            writer.close()

    def _append(self, record: bytes) -> None:
        name = self._dice.choice(PARTITIONS)
        self._last_of[name] = self._writers[name].append(record)

    def _outcome(self, number: int, now_us: int) -> bytes:
        event_id = f"e-{number}"
        fate = self._dice.choices(list(Fate), weights=(88, 4, 4, 4))[0]
        self.told.fates[event_id] = fate
        value, kind, about = float(self._dice.choice((1, 5))), "rating", f"p-{number}"
        if fate is Fate.LEARNED:
            self.told.items[event_id] = _item(number)
        elif fate is Fate.EXCLUDED:
            kind = "view"
        elif fate is Fate.DEAD:
            value = float("nan")
        else:
            about = f"q-{number}"
        return encode_event(Outcome(event_id, about, _item(number), kind, value, now_us))


def _item(number: int) -> int:
    return 1_000_000 + number


def _prediction(number: int, now_us: int) -> Prediction:
    items = [_item(number), *(number * 7 % 50 + other for other in range(1, ITEMS))]
    request = RankInput(number % 200, {}, items, [{"item.price": float(item % 9)} for item in items])
    features = encode(MODEL.spec, request)
    return Prediction(
        f"p-{number}", MODEL.name, now_us, 0, 1, "salt", 5, 9000, Arm.LIVE, 1, "mt1-x", number % 200, "s", tuple(items),
        None, {1: features.item_numbers[:, 0] * 0}, _SPEC, features,
    )  # fmt: skip
