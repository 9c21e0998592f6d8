"""Prequential quality and the scoreboard."""

import numpy as np
import pytest

from martlet.events import Arm
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.streams import prediction
from trainer_svc.labelled_rows import LabelledRows, all_rows, one_row
from trainer_svc.prequential import Prequential, area_under_curve, log_losses
from trainer_svc.scoreboard import Scoreboard


def test_the_area_counts_pairs_and_ties_half() -> None:
    generator = np.random.default_rng(0)
    logits = generator.integers(0, 5, 60).astype(np.float32)
    labels = generator.integers(0, 2, 60).astype(np.float32)
    pairs = [(p > n) + 0.5 * (p == n) for p in logits[labels == 1] for n in logits[labels == 0]]
    assert area_under_curve(logits, labels) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_curve(logits, np.ones(60)))


def test_log_losses_are_finite_for_any_finite_logit() -> None:
    logits = np.array([-1e4, 0.0, 1e4], np.float32)
    assert log_losses(logits, np.zeros(3)).tolist() == pytest.approx([0.0, np.log(2), 1e4])


@pytest.mark.parametrize("sizes", [(3, 4, 9), (25,), (10, 10), (1,) * 23])
def test_the_window_holds_the_newest_and_survives_a_restart(sizes: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    window, logits, labels = Prequential(10), list[float](), list[float]()
    for size in sizes:
        z, y = generator.normal(size=size).astype(np.float32), generator.integers(0, 2, size).astype(np.float32)
        window.update(z, y)
        logits += z.tolist()
        labels += y.tolist()
        restored = Prequential(10)
        restored.restore(window.state())
        window = restored
    newest = (np.array(logits[-10:], np.float32), np.array(labels[-10:], np.float32))
    figures = window.get()
    assert figures["examples"] == min(10, len(logits))
    assert figures["logloss"] == pytest.approx(float(log_losses(*newest).mean()))
    auc = area_under_curve(*newest)
    assert figures.get("auc") == (pytest.approx(auc) if np.isfinite(auc) else None)


def test_an_empty_window_has_no_figures() -> None:
    assert Prequential(10).get() == {"examples": 0.0}


def example(version: int, label: float, *, judged: bool = True, arm: Arm = Arm.LIVE) -> LabelledRows:
    made = prediction(1, version=version, arm=arm, logits=[0.0, 1.0, 2.0])
    return one_row(RecordedPrediction(encode_event(made)), 0, label, judged=judged)


def test_the_scoreboard_counts_first_labels_of_split_answers_by_version() -> None:
    board = Scoreboard("shop", "trainer/x", 1000)
    board.update([example(1, 1.0), example(2, 0.0), example(2, 1.0), example(2, 1.0, judged=False)])
    board.update([example(3, 1.0, arm=Arm.EXPLICIT)])
    restored = Scoreboard("shop", "trainer/x", 1000)
    restored.restore(board.state())
    batch = restored.report(5000)
    assert batch is not None
    assert (batch.producer, batch.sequence) == ("trainer/x", 1)
    assert [(m.version, m.count, pytest.approx(m.mean)) for m in batch.measurements] == [
        (1, 1, np.log(2)),
        (2, 2, np.log(2)),
    ]
    board.report(5000)
    board.update([example(1, 1.0)])
    assert board.report(5999) is None
    following = board.report(6000)
    assert following is not None
    assert following.sequence == 2


def test_the_scoreboard_adds_up_what_each_row_lost() -> None:
    board = Scoreboard("shop", "trainer/x", 0)
    whole = all_rows(RecordedPrediction(encode_event(prediction(1, version=4, logits=[0.5, -1.0, 2.0]))), [1])
    board.update([whole, example(4, 1.0)])
    losses = log_losses(np.array([0.5, -1.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    (version, figures) = (board.state().sums[0][0], board.state().sums[0][1:])
    assert version == 4
    assert figures == (4, pytest.approx(losses.sum()), pytest.approx((losses**2).sum()))


def test_running_quality_is_in_event_time_and_survives_a_restart() -> None:
    tested = Prequential(10)
    z, y = np.array([0.5, -1.0], np.float32), np.array([1.0, 0.0], np.float32)
    tested.advance(1_000_000)
    tested.update(z, y)
    tested.advance(2 * 3_600_000_000)
    tested.update(-z, y)
    restored = Prequential(10)
    restored.restore(tested.state())
    for one in (tested, restored):
        figures = one.running()
        assert figures["window_logloss"] == pytest.approx(float(log_losses(-z, y).mean()), abs=1e-6)
        assert figures["window_logloss"] > figures["fading_logloss"]
