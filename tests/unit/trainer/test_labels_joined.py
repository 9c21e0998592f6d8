"""What the joiner makes of each kind of label: one by one, and the laws that hold for all of them."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.events import Outcome, Prediction
from martlet.learn.labels import Insertion, LabelRule
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.streams import SECOND, START, outcome, prediction
from trainer_svc.event_source import Place
from trainer_svc.held_predictions import Standing
from trainer_svc.joiner import Joiner
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount

LABELS: dict[str, ml.Label] = {
    "wait": ml.Binary("click", "30s"),
    "several": ml.Binary(("click", ml.Outcome("buy", 4)), "30s"),
    "back": ml.Binary("buy", "30s", takes_back="return"),
    "sampled": ml.Binary("click", "30s", negatives=0.5),
    "fnw": ml.Binary("click", "30s", delayed=ml.FNW()),
    "fnw-wait": ml.Binary("click", "30s", delayed=ml.FNW("5s")),
    "fnc": ml.Binary("click", "30s", delayed=ml.FNC("5s")),
    "es-dfm": ml.Binary("click", "30s", delayed=ml.ESDFM("5s")),
    "fnw-sampled": ml.Binary("click", "30s", negatives=0.5, delayed=ml.FNW("5s")),
    "early tasks": ml.MultiTask({"click": ml.Binary("click", "30s", delayed=ml.FNW("5s")),
                                 "buy": ml.Binary("buy", "30s", delayed=ml.ESDFM("8s"), negatives=0.5),
                                 "return": ml.Binary("return", "30s")}),
    "regression": ml.Regression("dwell", "30s", absent=0.0),
    "ranks": ml.MultiClass(("click", "buy"), "30s"),
    "tasks": ml.MultiTask({"click": ml.Binary("click", "10s"), "buy": ml.Binary("buy", "30s", takes_back="return"),
                           "stay": ml.Regression("dwell", "20s")}),
}  # fmt: skip
JUDGED_ONCE = [name for name in LABELS if name != "regression"]
Row = tuple[str, int, float, float, Insertion, int]


class Desk:
    """A joiner with the log it looks predictions up in."""

    def __init__(self, label: LabelRule, *, mature: bool = False) -> None:
        self.label, self.mature = label, mature
        self.log: dict[Place, bytes] = {}
        self.account = OutcomeAccount()
        self.joiner = self._joiner()
        self.now = START
        self.learned: list[Row] = []
        self.judged: list[tuple[str, int, float]] = []
        self.late: list[tuple[str, int]] = []
        self.letters: list[DeadReason] = []

    def _joiner(self) -> Joiner:
        return Joiner(self.label, lambda place: RecordedPrediction(self.log[place]), self.account, mature=self.mature)

    def see(self, event: Prediction | Outcome) -> "Desk":
        place = Place("a", len(self.log))
        self.log[place] = encode_event(event)
        if isinstance(event, Prediction):
            self.joiner.add_prediction(RecordedPrediction(self.log[place]), place, Standing.OPEN)
        else:
            self.joiner.add_outcome(event, place, self.now)
        return self._take()

    def tell(self, kind: str, item: int = 1, value: float = 1.0, at: float = 1.0) -> "Desk":
        """An outcome about prediction 1."""
        name = f"e{len(self.log)}"
        return self.see(outcome(name, 1, item, value, START + round(at * SECOND), kind))

    def wait(self, seconds: float) -> "Desk":
        self.now += round(seconds * SECOND)
        self.joiner.advance(self.now)
        return self._take()

    def restart(self) -> "Desk":
        state = self.joiner.state()
        self.joiner = self._joiner()
        self.joiner.restore(state)
        return self

    def _take(self) -> "Desk":
        joined = self.joiner.take()
        for group in joined.examples:
            self.learned += [(*row, group.weight, group.insertion, group.task) for row in rows(group)]
        self.judged += [row for group in (*joined.examples, *joined.unlearned) if group.judged for row in rows(group)]
        for group in joined.unlearned:
            if group.late is not None:
                self.late += [(group.prediction.prediction_id, int(row)) for row in group.rows[group.late]]
        self.letters += [letter.reason for letter in joined.letters]
        return self

    def take_learned(self) -> list[Row]:
        found, self.learned = self.learned, []
        return found


def rows(group: LabelledRows) -> list[tuple[str, int, float]]:
    labels = zip(group.rows.tolist(), group.labels.tolist(), strict=True)
    return [(group.prediction.prediction_id, row, label) for row, label in labels]


def desk(name: str, items: int = 2) -> Desk:
    return Desk(LABELS[name]).see(prediction(1, items=list(range(1, items + 1))))


EARLY, LATE, PLAIN, BACK = Insertion.EARLY, Insertion.LATE, Insertion.PLAIN, Insertion.TAKEN_BACK


def test_fnw_enters_all_as_negatives_and_the_positive_again() -> None:
    one = desk("fnw").wait(0)
    assert one.take_learned() == [("p-1", 0, 0.0, 1.0, EARLY, 0), ("p-1", 1, 0.0, 1.0, EARLY, 0)]
    assert one.restart().tell("click", 2).take_learned() == [("p-1", 1, 1.0, 1.0, LATE, 0)]
    assert one.judged == []
    one.restart().wait(30)
    assert (one.learned, one.judged) == ([], [("p-1", 0, 0.0), ("p-1", 1, 1.0)])


def test_after_a_wait_only_what_is_not_positive_enters() -> None:
    one = desk("es-dfm", 3).tell("click", 2).wait(5)
    early = [("p-1", 1, 1.0, 1.0, EARLY, 0), ("p-1", 0, 0.0, 1.0, EARLY, 0), ("p-1", 2, 0.0, 1.0, EARLY, 0)]
    assert one.take_learned() == early
    assert one.restart().tell("click", 1, at=20).take_learned() == [("p-1", 0, 1.0, 1.0, LATE, 0)]
    one.restart().wait(25)
    assert one.late == [("p-1", 0)]
    assert one.judged == [("p-1", 0, 1.0), ("p-1", 1, 1.0), ("p-1", 2, 0.0)]


def test_the_heaviest_outcome_counts() -> None:
    one = desk("several").tell("click").tell("buy").tell("click").tell("buy", 2).tell("click", 2).wait(30)
    assert one.learned == [
        ("p-1", 0, 1.0, 1.0, PLAIN, 0), ("p-1", 0, 1.0, 3.0, PLAIN, 0), ("p-1", 1, 1.0, 4.0, PLAIN, 0),
    ]  # fmt: skip
    assert one.judged == [("p-1", 0, 1.0), ("p-1", 1, 1.0)]
    assert (one.account.learned, one.account.excluded) == (3, {Excluded.REPEATED_LABEL: 2})


def test_a_return_takes_a_purchase_back() -> None:
    one = desk("back").tell("buy").restart().tell("return").tell("return").tell("buy").tell("return", 2)
    assert one.take_learned() == [("p-1", 0, 1.0, 1.0, PLAIN, 0), ("p-1", 0, 0.0, 1.0, BACK, 0)]
    assert one.account.learned == 2
    assert one.account.excluded == {
        Excluded.REPEATED_LABEL: 1, Excluded.TAKEN_BACK: 1, Excluded.NOTHING_TO_TAKE_BACK: 1,
    }  # fmt: skip
    one.restart().wait(30)
    assert one.judged == [("p-1", 0, 0.0), ("p-1", 1, 0.0)]
    assert one.take_learned() == [("p-1", 1, 0.0, 1.0, PLAIN, 0)]


def test_a_return_that_is_read_before_its_purchase_leaves_a_negative() -> None:
    one = desk("back").tell("return").tell("buy").wait(30)
    assert one.judged == [("p-1", 0, 0.0), ("p-1", 1, 0.0)]
    assert all(label == 0 for _, _, label, *_ in one.learned)


@pytest.mark.parametrize("name", ["sampled", "fnw-sampled"])
def test_negatives_that_are_not_chosen_are_judged_all_the_same(name: str) -> None:
    one = Desk(LABELS[name])
    for number in range(40):
        one.see(prediction(number))
    one.see(outcome("e", 3, type_="click")).wait(30)
    assert len(one.judged) == len({row[:2] for row in one.judged}) == 120
    learned = {row[:2] for row in one.learned}
    assert ("p-3", 0) in learned
    assert 40 < len(learned) < 80
    assert {row[3] for row in one.learned} == {1.0}
    again = Desk(LABELS[name])
    for number in reversed(range(40)):
        again.see(prediction(number))
    again.wait(30)
    assert {row[:2] for row in again.learned} - {("p-3", 0)} == learned - {("p-3", 0)}, "the hash depends on order"


def test_the_class_is_the_greatest_that_came() -> None:
    one = desk("ranks", 4).tell("buy", 2).tell("click", 2).tell("click", 3)
    assert one.learned == []
    one.restart().wait(30)
    assert [row[2] for row in one.learned] == [0.0, 2.0, 1.0, 0.0]
    assert len(one.judged) == 4


def test_a_number_is_learned_as_it_comes_and_its_absence_at_the_end() -> None:
    one = desk("regression").tell("dwell", 1, 42.5).wait(30)
    assert [row[1:3] for row in one.learned] == [(0, 42.5), (1, 0.0)]


def test_each_task_has_its_own_window_and_the_main_one_is_judged() -> None:
    one = desk("tasks").tell("click", 1).wait(10).restart().tell("click", 2, at=9).tell("dwell", 1, 7.0, at=12)
    one.tell("buy", 2, at=25).wait(20)
    assert [(row[1], row[2], row[5]) for row in one.learned] == [
        (0, 1.0, 0), (1, 0.0, 0), (0, 7.0, 2), (1, 1.0, 1), (0, 0.0, 1),
    ]  # fmt: skip
    assert one.judged == [("p-1", 0, 1.0), ("p-1", 1, 0.0)]
    assert one.account.excluded == {Excluded.LATE: 1}


def test_what_says_nothing_is_excluded() -> None:
    one = Desk(ml.Binary(ml.Dwell(30), "60s")).see(prediction(1)).tell("dwell", 1, 29.0).tell("dwell", 1, 30.0)
    assert (one.account.learned, one.account.excluded) == (1, {Excluded.SAYS_NOTHING: 1})


def story(seed: int, count: int = 12) -> list[tuple[float, Prediction | Outcome]]:
    """(seconds to wait before, event): in disorder, with strays, repeated kinds and late ones."""
    dice = random.Random(seed)
    events: list[tuple[float, Prediction | Outcome]] = []
    for number in range(count):
        now = START + number * 3 * SECOND
        items = list(range(1, dice.choice((2, 3, 70)) + 1))
        events.append((dice.choice((0.0, 3.0, 6.0)), prediction(number, now, items)))
        for _ in range(dice.randrange(5)):
            kind = dice.choice(("click", "buy", "return", "dwell", "view"))
            about, item = dice.choice((number, number, number + 1, 99)), dice.choice((1, 2, len(items), 999))
            told = outcome(f"e{dice.random()}", about, item, dice.choice((0.0, 2.0)),
                           now + dice.randrange(35 * SECOND), kind)  # fmt: skip
            events.insert(max(0, len(events) - dice.randrange(4)), (dice.choice((0.0, 1.0)), told))
    return events


def played(name: str, seed: int, *, mature: bool = False, restarts: bool = True) -> Desk:
    one, dice = Desk(LABELS[name], mature=mature), random.Random(seed)
    for seconds, event in story(seed):
        one.wait(seconds).see(event)
        if restarts and dice.random() < 0.2:
            one.restart()
    return one


@pytest.mark.parametrize("name", LABELS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_each_outcome_has_one_fate(name: str, seed: int) -> None:
    one, told = played(name, seed), sum(isinstance(event, Outcome) for _, event in story(seed))
    for seconds in (0, 20, 100):
        one.wait(seconds)
        account = one.account
        fates = account.learned + account.excluded.total() + account.dead_lettered.total() + one.joiner.pending
        assert fates == told
    assert (one.joiner.pending, one.joiner.held) == (0, 0)


@pytest.mark.parametrize("name", LABELS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_restart_changes_nothing(name: str, seed: int) -> None:
    left, right = (played(name, seed, restarts=restarts).wait(100) for restarts in (True, False))
    assert (left.learned, left.judged, left.late) == (right.learned, right.judged, right.late)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_task_learns_what_its_label_would_learn_alone(seed: int) -> None:
    """Early methods, waits and sampled negatives of one task do not meddle with those of another."""
    label = LABELS["early tasks"]
    assert isinstance(label, ml.MultiTask)
    together = played("early tasks", seed).wait(100)
    for task, own in enumerate(label.labels.values()):
        LABELS["alone"] = own
        alone = played("alone", seed).wait(100)
        del LABELS["alone"]
        assert [row[:5] for row in together.learned if row[5] == task] == [row[:5] for row in alone.learned]


@pytest.mark.parametrize("name", JUDGED_ONCE)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_impression_is_judged_once_by_its_final_label(name: str, seed: int) -> None:
    """Whatever is learned and how often: what judges is what a mature joiner says, which learns nothing early."""
    one, ripe = played(name, seed).wait(100), played(name, seed, mature=True).wait(100)
    shown = {(made.prediction_id, row) for _, made in story(seed) if isinstance(made, Prediction)
             for row in range(len(made.item_ids))}  # fmt: skip
    assert Counter(row[:2] for row in one.judged) == Counter(shown)
    if name != "tasks":  # of which outcomes wait for their prediction as long as the longest window
        assert sorted(one.judged) == sorted(ripe.judged)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_of_early_negatives_a_share_enters_and_positives_all_the_same(seed: int) -> None:
    """The same share by the same hash; an item that did not enter, and turns out positive, is a late positive too."""
    whole, some = played("fnw-wait", seed).wait(100), played("fnw-sampled", seed).wait(100)
    left_out = Counter(whole.learned) - Counter(some.learned)
    assert all(row[2:5] == (0.0, 1.0, EARLY) for row in left_out)
    assert not Counter(some.learned) - Counter(whole.learned)
    assert (some.judged, some.late) == (whole.judged, whole.late)


@pytest.mark.parametrize("name", ["wait", "fnw", "fnw-wait", "fnc", "es-dfm", "back"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_insertions_are_those_of_the_method(name: str, seed: int) -> None:
    """An impression enters once by its window's end; a late positive twice; what is taken back once more."""
    one = played(name, seed).wait(100)
    kinds: dict[tuple[str, int], Counter[tuple[Insertion, float]]] = {}
    for prediction_id, row, label, _, insertion, _ in one.learned:
        kinds.setdefault((prediction_id, row), Counter())[insertion, label] += 1
    final = {(name, row): label for name, row, label in one.judged}
    for place, counts in kinds.items():
        assert max(counts.values()) == 1
        positives = counts[PLAIN, 1.0] + counts[EARLY, 1.0] + counts[LATE, 1.0]
        assert positives - counts[BACK, 0.0] == final[place]
        again = counts[LATE, 1.0] + (counts[EARLY, 1.0] if name == "fnw" else 0)
        assert counts.total() == 1 + again + counts[BACK, 0.0]
    assert kinds.keys() == final.keys()


@pytest.mark.parametrize("name", ["fnw-wait", "fnc", "es-dfm"])
def test_without_delay_the_early_methods_learn_what_waiting_learns(name: str) -> None:
    early, waits = Desk(LABELS[name]), Desk(LABELS["wait"])
    for one in (early, waits):
        for number in range(20):
            one.see(prediction(number, START + number * SECOND))
            one.see(outcome(f"e{number}", number, 1 + number % 3, time_us=START + number * SECOND, type_="click"))
        one.wait(100)
    assert sorted(row[:4] for row in early.learned) == sorted(row[:4] for row in waits.learned)
    assert early.late == []
