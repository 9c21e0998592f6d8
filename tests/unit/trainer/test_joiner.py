"""The joiner's rules, one by one, and against a joiner that is written the naive way."""

import random
from dataclasses import replace
from unittest import mock

import pytest

from martlet.events import Outcome, Prediction
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.streams import SECOND, START, Label, outcome, prediction
from trainer_svc.event_source import Place
from trainer_svc.held_predictions import Standing
from trainer_svc.joiner import Joiner
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount

EXPLICIT = Label(window_us=30 * SECOND)
WINDOW = Label("click", 30 * SECOND, explicit=False)


class Desk:
    """A joiner with the log it looks predictions up in."""

    def __init__(self, label: Label) -> None:
        self.log: dict[Place, bytes] = {}
        self.account = OutcomeAccount()
        self.label = label
        self.joiner = Joiner(label, lambda place: RecordedPrediction(self.log[place]), self.account)
        self.now = START
        self.examples: list[tuple[str, int, float, bool]] = []
        self.letters: list[DeadReason] = []

    def see(self, event: Prediction | Outcome, standing: Standing = Standing.OPEN) -> "Desk":
        place = Place("a", len(self.log))
        self.log[place] = encode_event(event)
        if isinstance(event, Prediction):
            self.joiner.add_prediction(RecordedPrediction(self.log[place]), place, standing)
        else:
            self.joiner.add_outcome(event, place, self.now)
        return self._take()

    def wait(self, seconds: float) -> "Desk":
        self.now += round(seconds * SECOND)
        self.joiner.advance(self.now)
        return self._take()

    def restart(self) -> "Desk":
        state = self.joiner.state()
        self.joiner = Joiner(self.label, self.joiner._fetch, self.account)
        self.joiner.restore(state)
        return self

    def _take(self) -> "Desk":
        joined = self.joiner.take()
        for group in joined.examples:
            for row, label in zip(group.rows.tolist(), group.labels.tolist(), strict=True):
                self.examples.append((group.prediction.prediction_id, row, label, group.judged))
        self.letters += [letter.reason for letter in joined.letters]
        return self


def test_an_explicit_label_is_its_value_against_the_threshold() -> None:
    desk = Desk(EXPLICIT).see(prediction(1)).see(outcome("e1", 1, 1, 4.0)).see(outcome("e2", 1, 3, 3.9))
    assert desk.examples == [("p-1", 0, 1.0, True), ("p-1", 2, 0.0, True)]
    assert desk.account.learned == 2


def test_an_outcome_waits_for_its_prediction() -> None:
    desk = Desk(EXPLICIT).see(outcome("e1", 1))
    assert (desk.examples, desk.joiner.pending) == ([], 1)
    desk.restart().see(prediction(1))
    assert (desk.examples, desk.joiner.pending) == ([("p-1", 0, 1.0, True)], 0)


def test_an_outcome_whose_prediction_never_comes_is_a_dead_letter_after_the_window() -> None:
    desk = Desk(EXPLICIT).see(outcome("e1", 1)).wait(30.9)
    assert desk.joiner.pending == 1
    desk.wait(0.1)
    assert (desk.letters, desk.joiner.pending) == ([DeadReason.UNKNOWN_PREDICTION], 0)


def test_a_waiting_outcome_does_not_close_the_prediction_it_waited_for() -> None:
    """Its own due time is over before the prediction's window is."""
    desk = Desk(EXPLICIT).see(outcome("e1", 1)).wait(10).see(prediction(1, START + 9 * SECOND)).wait(21)
    desk.see(outcome("e2", 1, 2, time_us=START + 30 * SECOND))
    assert [row for _, row, _, _ in desk.examples] == [0, 1]


def test_a_second_explicit_outcome_trains_again_but_is_no_evidence() -> None:
    desk = Desk(EXPLICIT).see(prediction(1)).see(outcome("e1", 1)).restart().see(outcome("e2", 1, value=1.0))
    assert desk.examples == [("p-1", 0, 1.0, True), ("p-1", 0, 0.0, False)]


def test_a_prediction_without_explicit_outcome_expires_unlearned() -> None:
    desk = Desk(EXPLICIT).see(prediction(1)).see(prediction(2)).see(outcome("e1", 1)).wait(31)
    assert desk.joiner.expired == 1
    assert len(desk.examples) == 1


def test_a_window_gives_positives_at_once_and_the_rest_negative_at_its_end() -> None:
    desk = Desk(WINDOW).see(prediction(1)).see(outcome("e1", 1, 2, type_="click"))
    assert desk.examples == [("p-1", 1, 1.0, True)]
    desk.restart().wait(30)
    assert desk.examples[1:] == [("p-1", 0, 0.0, True), ("p-1", 2, 0.0, True)]


def test_a_repeated_positive_is_excluded() -> None:
    desk = Desk(WINDOW).see(prediction(1)).see(outcome("e1", 1, type_="click")).see(outcome("e2", 1, type_="click"))
    assert len(desk.examples) == 1
    assert desk.account.excluded == {Excluded.REPEATED_LABEL: 1}


@pytest.mark.parametrize("label", [EXPLICIT, WINDOW])
def test_late_outcomes_are_excluded(label: Label) -> None:
    told = outcome("e1", 1, time_us=START + 31 * SECOND, type_=label.event)
    desk = Desk(label).see(prediction(1)).see(told).wait(31)
    before = len(desk.examples)
    desk.see(replace(told, event_id="e2", time_us=START + SECOND)).restart().see(replace(told, event_id="e3"))
    assert desk.account.excluded == {Excluded.LATE: 3}
    assert len(desk.examples) == before


def test_an_outcome_is_never_joined_to_another_prediction_of_the_same_hash() -> None:
    with mock.patch("trainer_svc.held_predictions._name", return_value=7):
        desk = Desk(EXPLICIT).see(prediction(1)).see(outcome("e1", 2))
    assert (desk.letters, desk.examples) == ([DeadReason.UNKNOWN_PREDICTION], [])


def test_a_prediction_is_forgotten_after_two_windows() -> None:
    desk = Desk(EXPLICIT).see(prediction(1)).see(prediction(2), Standing.OTHER_MODEL).wait(59).restart()
    assert desk.joiner.held == 2
    assert desk.wait(1).joiner.held == 0
    assert desk.joiner.next_due_us is None


def test_outcomes_that_are_not_for_this_model_are_told_apart() -> None:
    desk = Desk(EXPLICIT).see(prediction(1), Standing.OTHER_MODEL).see(prediction(2), Standing.OTHER_SPEC)
    desk.see(outcome("e1", 1)).see(outcome("e2", 2)).see(outcome("e3", 9, type_="view"))
    assert desk.account.excluded == {Excluded.OTHER_MODEL: 1, Excluded.OTHER_TYPE: 1}
    assert desk.letters == [DeadReason.OTHER_SPEC]


def test_an_item_that_was_not_answered_is_a_dead_letter() -> None:
    desk = Desk(EXPLICIT).see(prediction(1, items=[1, "1"])).see(outcome("e1", 1, 2)).see(outcome("e2", 1, "1"))
    assert desk.letters == [DeadReason.UNKNOWN_ITEM]
    assert [row for _, row, _, _ in desk.examples] == [1]


def test_a_repeated_prediction_changes_nothing() -> None:
    desk = Desk(WINDOW).see(prediction(1)).see(outcome("e1", 1, type_="click")).see(prediction(1)).wait(30)
    assert sorted(row for _, row, _, _ in desk.examples) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_the_joiner_finds_what_the_naive_one_finds(seed: int) -> None:
    """All within the window: then order must not matter."""
    dice = random.Random(seed)
    predictions = [prediction(n, START + n) for n in range(30)]
    told = [outcome(f"e{n}", dice.randrange(35), dice.randrange(1, 5), dice.choice((1.0, 5.0))) for n in range(80)]
    naive = sorted(
        (one.prediction_id, int(one.item_id) - 1, float(one.value >= 4.0))
        for one in told
        if one.prediction_id in {made.prediction_id for made in predictions} and int(one.item_id) <= 3
    )
    events: list[Prediction | Outcome] = [*predictions, *told]
    dice.shuffle(events)
    desk = Desk(EXPLICIT)
    for event in events:
        desk.see(event)
        if dice.random() < 0.1:
            desk.restart()
    assert sorted((name, row, label) for name, row, label, _ in desk.examples) == naive
    desk.wait(31)
    account = desk.account
    assert account.learned + account.dead_lettered.total() == len(told)
