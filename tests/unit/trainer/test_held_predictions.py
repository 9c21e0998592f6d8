"""Open predictions in columns, against a dictionary of the same."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_svc.event_source import Place
from trainer_svc.held_predictions import HeldPredictions, Standing

WINDOW = 10


@dataclass
class Kept:
    place: Place
    time_us: int
    standing: Standing
    number: int
    rows: set[int] = field(default_factory=set)

    @property
    def due_us(self) -> int:
        return self.time_us + WINDOW * (1 if self.standing is Standing.OPEN else 2)


class Naive:
    """The same rules, an object for each prediction."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.came = 0

    def add(self, name: str, place: Place, time_us: int, standing: Standing) -> bool:
        self.came += 1
        return self.kept.setdefault(name, Kept(place, time_us, standing, self.came)).number == self.came

    def advance(self, now: int) -> list[str]:
        ended = []
        while due := sorted((one.due_us, one.number, name) for name, one in self.kept.items() if one.due_us <= now):
            for _, _, name in due:
                ended.append(name)
                if self.kept[name].standing is Standing.OPEN:
                    self.kept[name].standing = Standing.CLOSED
                else:
                    del self.kept[name]
        return ended


def advance(held: HeldPredictions, now: int, names: dict[int, str]) -> list[str]:
    """As the joiner does; gives the names of what was due, by the places."""
    ended = []
    while due := held.due(now):
        for slot in due:
            ended.append(names[held.place(slot).start])
            if held.standing(slot) == Standing.OPEN:
                held.close(slot)
            else:
                held.forget(slot)
        held.tidy()
    return ended


def equal_states(left: HeldPredictions, right: HeldPredictions) -> bool:
    own, other = left.state(), right.state()
    return own.keys() == other.keys() and all(
        own[name].dtype == other[name].dtype and np.array_equal(own[name], other[name]) for name in own
    )


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_columns_hold_what_objects_would(data: st.DataObject) -> None:
    held, naive, names, now = HeldPredictions(WINDOW), Naive(), dict[int, str](), 0
    for number in range(data.draw(st.integers(1, 120))):
        name = f"p-{data.draw(st.integers(0, number))}"
        place = Place(data.draw(st.sampled_from("ab")), number)
        standing = data.draw(st.sampled_from([Standing.OPEN, Standing.OPEN, Standing.OTHER_MODEL]))
        time_us = now + data.draw(st.integers(-2 * WINDOW, WINDOW))
        names[number] = name
        assert (held.add(name, place, time_us, standing) >= 0) == naive.add(name, place, time_us, standing)
        for row in data.draw(st.lists(st.integers(0, 200), max_size=3)):
            slot, kept = held.find(name), naive.kept[name]
            assert held.label(slot, row) == (row not in kept.rows)
            kept.rows.add(row)
        if data.draw(st.integers(0, 3)) == 0:
            now += data.draw(st.integers(0, WINDOW))
            assert advance(held, now, names) == naive.advance(now)
        if data.draw(st.integers(0, 9)) == 0:
            other = HeldPredictions(WINDOW)
            other.restore(held.state())
            assert equal_states(held, other)
            held = other
    assert len(held) == len(naive.kept)
    assert held.next_due_us == min((one.due_us for one in naive.kept.values()), default=None)
    for name, kept in naive.kept.items():
        slot = held.find(name)
        assert (held.place(slot), held.time_us(slot)) == (kept.place, kept.time_us)
        assert (held.standing(slot), held.labelled(slot)) == (kept.standing, sorted(kept.rows))


def test_an_unknown_prediction_has_no_slot() -> None:
    assert HeldPredictions(WINDOW).find("p-1") == -1


def test_room_is_given_back() -> None:
    """A long run keeps no more columns than it has open predictions, about."""
    held, names = HeldPredictions(WINDOW), {number: f"p-{number}" for number in range(5000)}
    for number, name in names.items():
        held.add(name, Place("a", number), number, Standing.OPEN)
        if number % 50 == 0:
            advance(held, number, names)
    assert len(held) < 100
    assert held._columns.names.shape[0] < 1000
