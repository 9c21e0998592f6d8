"""Event streams for the trainer's tests: predictions and outcomes as they come, with everything that goes wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm, Event, LogPosition, Outcome, Prediction
from martlet.feature_encoding import RankInput, encode
from martlet.learn.labels import Reading, TaskRule
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event
from tests.unit.trainer.fakes import SPEC

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
MODEL = "shop"


@dataclass(frozen=True, slots=True)
class Label:
    """A label rule, as `martlet.learn.Binary` is one."""

    event: str = "rating"
    window_us: int = 30 * SECOND
    explicit: bool = True
    threshold: float = 4.0
    link: str = "sigmoid"

    @property
    def span(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        reading = Reading(self.event, threshold=self.threshold if self.explicit else None)
        return (TaskRule(self.window_us, (reading,), rest=None if self.explicit else 0.0, once=not self.explicit),)


def prediction(
    number: int,
    time_us: int = START,
    items: Sequence[int | str] = (1, 2, 3),
    user: int = 7,
    model: str = MODEL,
    spec: str = spec_digest(SPEC),
    version: int = 1,
    arm: Arm = Arm.LIVE,
    logits: Sequence[float] = (),
) -> Prediction:
    """A prediction with made-up logits."""
    request = RankInput(user, {}, list(items), [{"item.price": float(i)} for i in range(len(items))])
    given = np.array(logits or [0.1 * i for i in range(len(items))], np.float32)
    return Prediction(
        f"p-{number}", model, time_us, 1, 1, "salt", 5, 9000, arm, version, "mt1-x", user, "s", tuple(items), None,
        {version: given}, spec, encode(SPEC, request),
    )  # fmt: skip


def outcome(
    event_id: str,
    about: int,
    item: int | str = 1,
    value: float = 5.0,
    time_us: int = START + SECOND,
    type_: str = "rating",
) -> Outcome:
    """An outcome about prediction `p-<about>`."""
    return Outcome(event_id, f"p-{about}", item, type_, value, time_us)


def messy_events(seed: int, count: int) -> list[tuple[str, bytes]]:
    """(partition, payload) in order of writing: two replicas, repetitions, strays, late and senseless ones."""
    dice = random.Random(seed)
    written: list[tuple[str, bytes]] = []
    told: list[Outcome] = []
    for number in range(count):
        now = START + number * SECOND
        home = dice.choice("ab")
        items = dice.sample(range(40), dice.randint(1, 4))
        made = prediction(number, now, items, user=dice.randrange(25), logits=[dice.gauss(0, 1) for _ in items])
        written.append((home, encode_event(made)))
        for _ in range(dice.choice((0, 1, 1, 2))):
            told.append(_some_outcome(dice, number, items, now))
            at = dice.randint(0, 3)
            written.insert(max(0, len(written) - at), (dice.choice("ab"), encode_event(told[-1])))
        if told and dice.random() < 0.15:
            written.append((dice.choice("ab"), encode_event(dice.choice(told))))
        if dice.random() < 0.03:
            written.append((home, dice.choice((b"", b"\xff\xff", b"\x0a\x03abc"))))
    return written


def _some_outcome(dice: random.Random, number: int, items: Sequence[int], now: int) -> Outcome:
    about = number if dice.random() < 0.9 else dice.choice((number + 3, max(0, number - 40), 10_000 + number))
    item = dice.choice(items) if dice.random() < 0.95 else 999
    kind = "rating" if dice.random() < 0.9 else "view"
    value = dice.choice((1.0, 2.0, 4.0, 5.0, float("nan"))) if dice.random() < 0.2 else dice.choice((1.0, 5.0))
    return outcome(f"e-{number}-{dice.randrange(10**9)}", about, item, value, now + dice.randint(0, 5 * SECOND), kind)


def write_log(root: Path, events: Sequence[tuple[str, Event | bytes]]) -> list[LogPosition]:
    """Appends events to their partitions; gives the positions behind them."""
    writers = {name: FileEventWriter(root, name, segment_bytes=20_000) for name in {name for name, _ in events}}
    positions = [
        writers[name].append(event if isinstance(event, bytes) else encode_event(event)) for name, event in events
    ]
    done = [position.result(5) for position in positions]
    for writer in writers.values():
        writer.close()
    return done
