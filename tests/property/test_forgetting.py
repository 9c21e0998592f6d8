"""A trainer that is killed anywhere while it forgets a user forgets all the same, and loses nobody else."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.eventlog.file_log import FileEventReader
from martlet.events import Event, Outcome, Prediction
from martlet.keys import wrap_int64
from martlet.wire.events import decode_event, encode_event
from martlet.wire.recorded import RecordKind, record_kind
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import SECOND, START, messy_events, outcome, prediction, write_log
from tests.unit.trainer.world import World
from trainer_svc.journal import PARTITION, Erased, Forgot, read_journal
from trainer_svc.training_loop import TrainingLoop

ANN = 7
KEY = wrap_int64(ANN + SPEC.salts["user"])
LIVES = 12


def visit(number: int) -> list[tuple[str, Event | bytes]]:
    """Somebody else comes later."""
    now = START + 500 * SECOND + number * SECOND // 10
    return [("a", prediction(number, now, user=3)), ("a", outcome(f"late-{number}", number, time_us=now + SECOND))]


class Life:
    """Lives on until a user is forgotten and erased; the pin follows the head."""

    def __init__(self, world: World, late: list[tuple[str, Event | bytes]]) -> None:
        self.world = world
        self.late = late
        self.asked = False

    def __call__(self, loop: TrainingLoop) -> None:
        for turn in range(60):
            self.world.clock.advance(1.0)
            if turn == 4 and not self._is_known():
                loop.forget(ANN)
            loop.turn(lambda: None)
            self.world.registry.pin = self.world.registry.head
            if 25 < turn < 55 and self.late:  # what is written is read before this life ends
                write_log(self.world.root / "events", [self.late.pop(0), self.late.pop(0)])

    def _is_known(self) -> bool:
        reader = FileEventReader(self.world.root)
        entries = [entry for entry, _ in read_journal(reader, 0)] if PARTITION in reader.partitions() else []
        reader.close()
        return any(isinstance(entry, Forgot | Erased) for entry in entries)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 50), deaths=st.sets(st.integers(20, 160), max_size=4))
def test_killed_anywhere_a_user_is_forgotten_all_the_same(seed: int, deaths: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        events = messy_events(seed, 60)
        visits = [event for number in range(1000, 1060) for event in visit(number)]
        late = list(visits)
        world = World(Path(folder))
        write_log(world.root / "events", events)
        world.fate.deaths = deaths
        life = Life(world, late)
        for _ in range(LIVES):
            if world.life(life):
                break
        written = [*events, *visits[: len(visits) - len(late)]]
        world.life(lambda loop: _check(world, loop, len(_told(written))))


def _check(world: World, loop: TrainingLoop, outcomes: int) -> None:
    """Nothing names the user, and each outcome is in one place."""
    state = loop.state
    assert not state.forgotten
    assert state._learner.tables["t2"].find(np.array([KEY])).tolist() == [-1]
    reader = FileEventReader(world.root)
    assert not [entry for entry, _ in read_journal(reader, 0) if isinstance(entry, Forgot)]
    reader.close()
    assert ANN not in _users(world.root / "events")
    account = state.intake.account
    places = account.learned + sum(account.excluded.values()) + sum(account.dead_lettered.values())
    assert places + state.intake.pending == outcomes


def _told(events: Sequence[tuple[str, Event | bytes]]) -> set[str]:
    """The ids of the outcomes among events; what cannot be read is none."""
    raw = [encode_event(event) if not isinstance(event, bytes) else event for _, event in events]
    found = [decode_event(payload) for payload in raw if record_kind(payload) is RecordKind.OUTCOME]
    return {event.event_id for event in found if isinstance(event, Outcome)}


def _users(root: Path) -> set[object]:
    reader, users = FileEventReader(root), set[object]()
    for partition in reader.partitions():
        start = 0
        while records := reader.read(partition, start, 1 << 20):
            start = records[-1].end
            for record in records:
                if record_kind(record.payload) is RecordKind.PREDICTION and record.payload[:3] != b"\x0a\x03a":
                    event = decode_event(record.payload)
                    assert isinstance(event, Prediction | Outcome)
                    users.add(getattr(event, "user_id", None))
    reader.close()
    return users
