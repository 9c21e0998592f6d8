"""The judge's cursor: which rows are evidence, in which order, and that a death loses and doubles none."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.events import Arm, Event, Prediction
from martlet.evidence import EvidenceRow, Loss
from martlet.learn.labels import LabelRule
from tests.unit.trainer.judge_world import JudgeWorld
from tests.unit.trainer.streams import SECOND, START, Label, messy_events, outcome, prediction, write_log

EXPLICIT = Label()
WINDOW = Label("rating", 20 * SECOND, explicit=False)
NUMBERS = ml.Regression("rating", "20s", absent=1.0, low=1.0, high=5.0)
STARS = replace(NUMBERS, absent=None)


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


def judged(root: Path, label: LabelRule, events: list[Event], seconds_later: int = 100) -> list[EvidenceRow]:
    world = JudgeWorld(root, label)
    write_log(root / "events", [("a", event) for event in events])
    world.clock.advance(seconds_later)
    assert world.life()
    return world.registry.rows


def scored(number: int, **other: object) -> Prediction:
    """An answer of version 3 that versions 1 and 2 scored too."""
    made = prediction(number, items=(1, 2), logits=(0.5, -0.5), version=3, **other)  # type: ignore[arg-type]
    scores = {**made.scores, 1: np.array([0.1, 0.2], np.float32), 2: np.array([0.3, 0.4], np.float32)}
    return replace(made, scores=scores, head=3, epoch=9, weight=2500)


def test_a_row_says_what_the_record_says(tmp_path: Path) -> None:
    (row,) = judged(tmp_path, EXPLICIT, [scored(1), outcome("e1", 1, item=2, value=5.0)])
    found = {version: round(logit, 6) for version, logit in row.logits.items()}
    assert found == {1: 0.2, 2: 0.4, 3: -0.5}
    assert (row.label, row.head, row.version, row.epoch, row.arm, row.weight) == (1.0, 3, 3, 9, Arm.LIVE, 2500)
    assert row.time_us == START


def test_only_the_first_label_of_an_item_counts(tmp_path: Path) -> None:
    events = [scored(1), outcome("e1", 1, value=1.0), outcome("e2", 1, value=5.0), outcome("e1", 1, value=1.0)]
    assert [row.label for row in judged(tmp_path, EXPLICIT, events)] == [0.0]


def test_numbers_are_told_in_units_of_their_range_at_the_windows_end(tmp_path: Path) -> None:
    """The first one counts; labels beyond an end count as that end, outputs stay as far out as they are."""
    events = [scored(1), outcome("e1", 1, item=2, value=9.0), outcome("e2", 1, item=2, value=2.0)]
    assert judged(tmp_path / "early", NUMBERS, events, seconds_later=21) == []
    rows = judged(tmp_path / "late", NUMBERS, events, seconds_later=23)
    assert [row.label for row in rows] == [0.0, 1.0]
    assert [row.logits[3] for row in rows] == [pytest.approx((0.5 - 1) / 4), pytest.approx((-0.5 - 1) / 4)]
    assert [row.label for row in judged(tmp_path / "stars", STARS, events)] == [1.0]


def test_without_a_range_numbers_are_no_evidence(tmp_path: Path) -> None:
    assert judged(tmp_path, replace(STARS, low=None, high=None), [scored(1), outcome("e1", 1)]) == []


def test_of_classes_the_expected_one_is_judged(tmp_path: Path) -> None:
    classes = ml.MultiClass(("click", "rating"), "20s")
    events = [scored(1), outcome("e1", 1, item=2), outcome("e2", 1, item=1, type_="click")]
    rows = judged(tmp_path, classes, events)
    assert [row.label for row in rows] == [0.5, 1.0]
    assert [row.logits[3] for row in rows] == [0.25, -0.25]


def test_possible_harm_of_numbers_is_in_ranges_and_of_what_lies_within_them(tmp_path: Path) -> None:
    world = JudgeWorld(tmp_path, replace(NUMBERS, low=0.0, high=0.4))
    write_log(tmp_path / "events", [("a", scored(1))])
    world.clock.advance(3)
    world.life()
    farthest = max((0.4 - 0.1) / 0.4 + 0.2 / 0.4, (0.4 - 0.3) / 0.4 + 0.4 / 0.4) / 2
    assert (world.registry.batches[-1].open_gap, world.registry.batches[-1].loss) == (
        pytest.approx(farthest), Loss.SQUARED,
    )  # fmt: skip


@pytest.mark.parametrize("label", [EXPLICIT, WINDOW])
def test_an_answer_by_a_named_version_is_no_evidence(tmp_path: Path, label: Label) -> None:
    assert judged(tmp_path, label, [scored(1, arm=Arm.EXPLICIT), outcome("e1", 1)]) == []


def test_a_window_gives_all_its_rows_at_its_end(tmp_path: Path) -> None:
    events = [scored(1), outcome("e1", 1, item=2, time_us=START + 5 * SECOND)]
    assert judged(tmp_path / "early", WINDOW, events, seconds_later=21) == []
    assert [row.label for row in judged(tmp_path / "late", WINDOW, events, seconds_later=23)] == [0.0, 1.0]


def test_a_late_outcome_does_not_judge_again(tmp_path: Path) -> None:
    world = JudgeWorld(tmp_path, WINDOW)
    write_log(tmp_path / "events", [("a", scored(1))])
    world.clock.advance(30)
    world.life()
    write_log(tmp_path / "events", [("a", outcome("e1", 1, time_us=START + SECOND))])
    world.clock.advance(30)
    world.life()
    assert [row.label for row in world.registry.rows] == [0.0, 0.0]


def test_evidence_comes_in_the_order_of_the_windows_ends(tmp_path: Path) -> None:
    times = {4: 3, 1: 1, 3: 2, 2: 1}
    events = [scored(number, time_us=START + at * SECOND) for number, at in times.items()]
    rows = judged(tmp_path, WINDOW, [*events])
    assert [row.time_us for row in rows] == sorted(row.time_us for row in rows)
    assert len(rows) == 8


def test_users_are_kept_apart_and_together(tmp_path: Path) -> None:
    anonymous = replace(scored(3), user_id=None)
    nobody = replace(scored(5), user_id=None, session_id="")
    events: list[Event] = [
        scored(1, user=7), scored(2, user=7), anonymous, replace(anonymous, prediction_id="p-4"), nobody,
        scored(6, user=8), *(outcome(f"e{n}", n) for n in range(1, 7)),
    ]  # fmt: skip
    users = [row.user for row in judged(tmp_path, EXPLICIT, events)]
    assert users[0] == users[1]
    assert users[2] == users[3]
    assert len(set(users)) == 4


def test_possible_harm_is_open_until_the_label_comes(tmp_path: Path) -> None:
    world = JudgeWorld(tmp_path, EXPLICIT)
    write_log(tmp_path / "events", [("a", scored(1)), ("a", scored(2, arm=Arm.PIN)), ("a", scored(3))])
    world.clock.advance(3)
    world.life()
    gap = (abs(0.5 - 0.1) + abs(-0.5 - 0.4)) / 2  # the farthest of the others, on average over the rows
    farthest = max((abs(0.5 - 0.1) + abs(-0.5 - 0.2)) / 2, (abs(0.5 - 0.3) + abs(-0.5 - 0.4)) / 2)
    assert world.registry.batches[-1].open_gap == pytest.approx(2 * farthest)
    assert farthest <= gap
    write_log(tmp_path / "events", [("a", outcome("e1", 1))])
    world.clock.advance(3)
    world.life()
    assert world.registry.batches[-1].open_gap == pytest.approx(farthest)
    world.clock.advance(60)
    world.life()
    assert world.registry.batches[-1].open_gap == 0.0


def test_a_record_that_is_repeated_after_it_was_forgotten_is_not_judged_again(tmp_path: Path) -> None:
    """By then its scores may be those of a version that has learned the label."""
    world = JudgeWorld(tmp_path, WINDOW)
    made = scored(1)
    for repeated in (made, replace(made, scores={3: np.array([9.0, -9.0], np.float32)})):
        write_log(tmp_path / "events", [("a", repeated)])
        world.clock.advance(100)
        assert world.life()
    assert [round(row.logits[3], 6) for row in world.registry.rows] == [0.5, -0.5]


def test_a_registry_that_is_away_gets_it_later(tmp_path: Path) -> None:
    world = JudgeWorld(tmp_path, EXPLICIT)
    write_log(tmp_path / "events", [("a", scored(1)), ("a", outcome("e1", 1))])
    world.registry.away = 3
    world.life()
    assert len(world.registry.rows) == 1


@pytest.mark.parametrize("label", [EXPLICIT, WINDOW])
def test_what_was_not_acknowledged_at_the_end_comes_again(tmp_path: Path, label: Label) -> None:
    world = JudgeWorld(tmp_path, label)
    write_log(tmp_path / "events", [("a", scored(1)), ("a", outcome("e1", 1))])
    world.clock.advance(40)
    world.registry.away, world.ending = 1_000_000, True
    world.life()
    assert world.registry.rows == []
    world.registry.away, world.ending = 0, False
    world.life()
    assert len(world.registry.rows) == (1 if label.explicit else 2)


def whole(root: Path, label: LabelRule, deaths: frozenset[int]) -> JudgeWorld:
    """A judge over a messy log that grows between its lives."""
    world = JudgeWorld(root, label)
    events = messy_events(5, 60)
    world.fate.deaths = set(deaths)
    for start in range(0, len(events), 20):
        write_log(root / "events", events[start : start + 20])
        world.clock.advance(25)
        while not world.life():
            pass
    world.clock.advance(200)
    while not world.life():
        pass
    return world


@pytest.mark.parametrize("label", [EXPLICIT, WINDOW, NUMBERS, STARS])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_killed_anywhere_it_reports_the_same_rows(
    label: LabelRule, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    reference = whole(tmp_path_factory.mktemp("whole"), label, frozenset())
    assert reference.registry.rows
    deaths = data.draw(st.lists(st.integers(0, reference.fate.moment), min_size=1, max_size=5))
    killed = whole(tmp_path_factory.mktemp("killed"), label, frozenset(deaths))
    assert killed.registry.rows == reference.registry.rows
    assert [batch.sequence for batch in killed.registry.batches] == list(range(1, len(killed.registry.batches) + 1))
