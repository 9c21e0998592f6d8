"""The memoriser: perfect on all that it has consumed, a constant elsewhere. Honest evidence sees only the constant.

If its judged loss is ever another than the constant's, versions are judged by what they have learned already. The two
ways in which that happens most easily are broken here on purpose, and the same check must find both.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.events import Arm, Event
from martlet.evidence import EvidenceRow
from registry_svc.evidence.criterion import SquaredError
from tests.unit.trainer.judge_world import JudgeWorld
from tests.unit.trainer.streams import SECOND, START, Label, outcome, prediction, write_log
from trainer_svc.joiner import Joiner
from trainer_svc.judge import evidence_state
from trainer_svc.judge.judged_outputs import JudgedOutputs
from trainer_svc.labelled_rows import LabelledRows

CONSTANT, CONSTANT_NUMBER, PERFECT = -0.4, 2.5, 12.0
LATENESS_S = 2
# Of numbers the constant is a number too, and the memoriser's score is the label: 1 or 5 of a range from 1 to 5.
LABELS: dict[str, Any] = {
    "explicit": Label(window_us=20 * SECOND),
    "window": Label("rating", 20 * SECOND, explicit=False),
    "told numbers": ml.Regression("rating", "20s", low=1.0, high=5.0),
    "numbers": ml.Regression("rating", "20s", absent=1.0, low=1.0, high=5.0),
}
Key = tuple[str, int]


def constant_of(label: Any) -> float:
    return CONSTANT_NUMBER if isinstance(label, ml.Regression) else CONSTANT


def noticed(label: Any) -> float:
    """A squared error in a range of 1 is a small number."""
    return 0.01 if isinstance(label, ml.Regression) else 0.05


@dataclass
class Memoriser:
    """A learner that remembers each label it has consumed; `rewind` makes it forget the newest ones."""

    known: dict[Key, float] = field(default_factory=dict)
    constant: float = CONSTANT

    def score(self, key: Key) -> float:
        if key not in self.known:
            return self.constant
        return PERFECT if self.known[key] > 0.5 else -PERFECT

    def rewind(self, kept: int) -> None:
        self.known = dict(list(self.known.items())[:kept])


@dataclass(frozen=True)
class Arrival:
    """Something that reaches the log at a second."""

    second: int
    event: Event


class Story:
    """Answers, outcomes and what became of them, from one seed.

    Attributes:
        learned: (second, row, label) as a learner consumes them: at once.
        mature: {row: (second from which its label is evidence, label)}, by the rule alone.
    """

    def __init__(self, seed: int, label: Any) -> None:
        self.dice = random.Random(seed)
        self.label = label
        self.constant = constant_of(label)
        self.arrivals: list[Arrival] = []
        self.learned: list[tuple[int, Key, float]] = []
        self.mature: dict[Key, tuple[int, float]] = {}
        for number in range(self.dice.randint(6, 14)):
            self._answer(number)
        self.arrivals.sort(key=lambda arrival: arrival.second)
        self.learned.sort()

    def _answer(self, number: int) -> None:
        dice, second = self.dice, number * self.dice.choice((1, 3))
        items = dice.sample(range(1, 9), dice.randint(1, 3))
        arm = dice.choice((Arm.LIVE, Arm.PIN, Arm.LIVE, Arm.EXPLICIT))
        made = prediction(number, START + second * SECOND, items, user=dice.randrange(4), arm=arm)
        # What memorisers said when they were asked: nothing of this answer can have been consumed.
        said = np.array(
            [Memoriser(constant=self.constant).score((made.prediction_id, row)) for row in range(len(items))],
            np.float32,
        )
        answer = replace(made, scores=dict.fromkeys((1, 2, 3), said), version=dice.choice((1, 2, 3)), head=3)
        arrives = second + dice.choice((0, 1))
        self.arrivals += [Arrival(arrives + extra, answer) for extra in dice.choice(((0,), (0, 1)))]
        for row, item in enumerate(items):
            self._label(number, second, arrives, (row, item), judged=arm is not Arm.EXPLICIT)

    def _label(self, number: int, second: int, answered: int, place: tuple[int, int], *, judged: bool) -> None:
        dice, window = self.dice, self.label.window_us // SECOND
        (row, item), key = place, (f"p-{number}", place[0])
        happens, value = dice.random() < 0.5, dice.choice((1.0, 5.0))
        delay = dice.choice((0, 1, window // 2, window - 1, 3 * window))
        arrives, timely = second + delay, happens and delay < window
        numbers = isinstance(self.label, ml.Regression)
        positive = float(timely and value > 1 if numbers else timely if not self.label.explicit else value > 1)
        if happens:
            made = outcome(f"e-{number}-{row}", number, item, value, START + (second + min(delay, window)) * SECOND)
            again = replace(made, event_id=f"{made.event_id}-again", value=6.0 - value)
            self.arrivals += [Arrival(arrives + extra, made) for extra in dice.choice(((0,), (0, 2)))]
            self.arrivals += [Arrival(arrives + 1, again)] if dice.random() < 0.2 else []
            self.learned.append((arrives, key, positive if numbers or self.label.explicit else 1.0))
        if judged and self.label.explicit and timely and not numbers:
            self.mature[key] = (max(arrives, answered), positive)
        elif judged and (timely or not self.label.explicit):
            self.mature[key] = (second + window + LATENESS_S, positive)


def seconds_of(story: Story, root: Path, memoriser: Memoriser) -> Iterator[tuple[int, list[EvidenceRow]]]:
    """Lets the story happen second by second; the judge dies now and then. Gives the evidence at each second."""
    world = JudgeWorld(root, story.label, records=5)
    learned, dice = list(story.learned), story.dice
    for second in range(story.arrivals[-1].second + 2 * story.label.window_us // SECOND):
        while learned and learned[0][0] <= second:
            _, key, label = learned.pop(0)
            memoriser.known[key] = label
        if dice.random() < 0.05:
            memoriser.rewind(dice.randrange(len(memoriser.known) + 1))
        due = [arrival.event for arrival in story.arrivals if arrival.second == second]
        write_log(root / "events", [(dice.choice("ab"), event) for event in due])
        world.clock.advance(1 if second else 0)
        world.fate.deaths = {world.fate.moment + dice.randrange(4)} if dice.random() < 0.2 else set()
        while not world.life():
            pass
        yield second, world.registry.rows


def deviation(seed: int, label: Any, root: Path) -> float:
    """How far a memoriser's judged mean loss is from the constant's on the mature labels, at worst."""
    numbers = isinstance(label, ml.Regression)
    loss, constant = (squared, (CONSTANT_NUMBER - 1) / 4) if numbers else (logistic, CONSTANT)
    memoriser, worst, story = Memoriser(constant=constant), 0.0, Story(seed, label)
    with looking_at(memoriser):
        for second, rows in seconds_of(story, root, memoriser):
            honest = [loss(constant, value) for mature_at, value in story.mature.values() if mature_at <= second]
            for version in (1, 2, 3):
                judged = [loss(row.logits[version], row.label) for row in rows]
                worst = max(worst, abs(mean(judged) - mean(honest)))
    return worst


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def squared(output: float, label: float) -> float:
    return SquaredError().difference(output, label, label, 1.0)


def logistic(logit: float, label: float) -> float:
    return float(np.logaddexp(0.0, np.float32(logit)) - label * np.float32(logit))


CURRENT: list[Memoriser] = []


@contextmanager
def looking_at(memoriser: Memoriser) -> Iterator[None]:
    """What a judge could reach that breaks rule (a)."""
    CURRENT[:] = [memoriser]
    yield
    CURRENT.clear()


def rows_with_present_scores(group: LabelledRows, outputs: JudgedOutputs) -> Iterator[EvidenceRow]:
    """Rule (a) broken: the score is the version's of today, not the record's."""
    for place, row in zip(group.rows.tolist(), HONEST_ROWS(group, outputs), strict=True):
        now = CURRENT[0].score((group.prediction.prediction_id, place))
        yield replace(row, logits=dict.fromkeys(row.logits, now))


HONEST_ROWS = evidence_state._rows


class HastyJoiner(Joiner):
    """Rule (c) broken: positives count as soon as they come, negatives at the window's end."""

    def __init__(self, *arguments: Any, mature: bool, **others: Any) -> None:
        assert mature
        super().__init__(*arguments, mature=False, **others)


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


@pytest.mark.parametrize("label", LABELS)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_a_memoriser_is_judged_as_the_constant_that_it_is(
    label: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert deviation(seed, LABELS[label], tmp_path_factory.mktemp("story")) < 1e-9


@pytest.mark.parametrize("label", LABELS)
def test_the_property_fails_when_a_score_is_not_the_records(label: str, tmp_path: Path) -> None:
    with mock.patch.object(evidence_state, "_rows", rows_with_present_scores):
        found = [deviation(seed, LABELS[label], tmp_path / str(seed)) for seed in range(6)]
    assert sum(one > noticed(LABELS[label]) for one in found) > 3


@pytest.mark.parametrize("label", ["window", "numbers", "told numbers"])
def test_the_property_fails_when_labels_are_not_mature(label: str, tmp_path: Path) -> None:
    with mock.patch("trainer_svc.intake.Joiner", HastyJoiner):
        found = [deviation(seed, LABELS[label], tmp_path / str(seed)) for seed in range(6)]
    assert sum(one > noticed(LABELS[label]) for one in found) > 3
