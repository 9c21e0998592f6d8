"""Figures of replays: what is caught, how late, how many users a bad head answered, and what it cost them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import Figures, Target, at_most
from benchmarks.judge.replay_faults import FAULTS, HEALTHY, Fault
from benchmarks.judge.replay_lane import JUDGED, UNJUDGED, Replay
from benchmarks.judge.replay_learner import Floats
from benchmarks.judge.replay_streams import EVENTS, Stream, movielens, online_retail
from registry_svc.journal import DecisionKind

DATASETS: Mapping[str, Callable[[int], Stream | None]] = {"movielens": movielens, "online_retail": online_retail}

PLANTED = 30_000
WATCHED = 15_000
"""Labels after the fault began in which an alarm counts as its alarm."""
FIRST = 5000

TARGETS: Mapping[str, Target] = {
    "healthy.false_closures": at_most(0),
    "flip_5000.labels_median": at_most(3500),
    "flip_5000.answers_median": at_most(2500),
    "flip_5000.poisoned_pin_runs": at_most(0),
    "half_flip_5000.labels_median": at_most(6000),
    "half_flip_5000.answers_median": at_most(4000),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        delay: labels until the first alarm; infinite: none came.
        answers: users whom a bad head answered until then, or in all that was watched.
        poisoned_pins: moves of the pin to a version with the fault in it until then.
        alarms, pin_moves: in all that was watched.
        served, head, pin: log-loss, by the true labels.
        harm, unjudged_harm: nats that all answers together lost against the same stream without the fault; and what
            they would have lost with nobody to judge.
        segment_labels, segment_gap: of the segment's own labels in the fault's first 5,000, and head - pin on them.
    """

    delay: float
    answers: float
    poisoned_pins: float
    alarms: float
    pin_moves: float
    served: float
    head: float
    pin: float
    harm: float
    unjudged_harm: float
    segment_labels: float
    segment_gap: float


def replays(figures: Figures, seeds: int) -> None:
    """Every fault in every log that is there."""
    for dataset, load in DATASETS.items():
        outcomes: dict[str, list[Outcome]] = {fault.name: [] for fault in (HEALTHY, *FAULTS)}
        for seed in range(1, seeds + 1):
            stream = load(seed)
            if stream is None:
                print(f"replay.{dataset}: not there")  # noqa: T201
                break
            for fault, outcome in _outcomes(stream, seed):
                outcomes[fault.name].append(outcome)
        for name, runs in outcomes.items():
            if runs:
                _add(figures, f"replay.{dataset}", name, runs)


def _outcomes(stream: Stream, seed: int) -> Iterator[tuple[Fault, Outcome]]:
    """The way to the fault is gone once, and every fault is planted into a copy."""
    judged = Replay.of(stream, seed, len(stream.labels), JUDGED).run(PLANTED)
    unjudged = Replay.of(stream, seed, len(stream.labels), UNJUDGED).run(PLANTED)
    end = judged.labels + WATCHED
    whole = judged.planted(HEALTHY, seed).run(EVENTS)
    free = unjudged.planted(HEALTHY, seed).run(end)
    yield HEALTHY, _outcome(whole, 0, 0.0, 0.0)
    for fault in FAULTS:
        replay = judged.planted(fault, seed).run(end)
        harm = _harm(replay, whole)
        yield fault, _outcome(replay, replay.begin, harm, _harm(unjudged.planted(fault, seed).run(end), free))


def _outcome(replay: Replay, begin: int, harm: float, unjudged_harm: float) -> Outcome:
    moved = [move for move in replay.moved if move.labels > begin]
    alarms = [move for move in moved if move.kind is DecisionKind.ALARM]
    labels, events = (alarms[0].labels, alarms[0].events) if alarms else (replay.labels, replay.events)
    pins = [move for move in moved if move.kind is DecisionKind.PIN]
    answers, judged = replay.answers, replay.order[begin : replay.labels]
    first = replay.order[begin : begin + FIRST]
    segment = first[replay.stream.segment[first]]
    return Outcome(
        delay=labels - begin if alarms else float("inf"),
        answers=float(answers.bad[:events].sum()),
        poisoned_pins=sum(move.bad and move.labels < labels for move in pins),
        alarms=len(alarms),
        pin_moves=len(pins),
        served=float(_loss(replay, answers.served)[judged].mean()),
        head=float(_loss(replay, answers.head)[judged].mean()),
        pin=float(_loss(replay, answers.pin)[judged].mean()),
        harm=harm,
        unjudged_harm=unjudged_harm,
        segment_labels=len(segment),
        segment_gap=float((_loss(replay, answers.head) - _loss(replay, answers.pin))[segment].mean()),
    )


def _loss(replay: Replay, logits: Floats) -> Floats:
    loss: Floats = np.logaddexp(0.0, logits) - replay.stream.labels[: len(logits)] * logits
    return loss


def _harm(replay: Replay, healthy: Replay) -> float:
    judged = replay.order[replay.begin : replay.labels]
    return float((_loss(replay, replay.answers.served) - _loss(healthy, healthy.answers.served))[judged].sum())


def _add(figures: Figures, place: str, fault: str, runs: Sequence[Outcome]) -> None:
    def add(name: str, value: float, unit: str) -> None:
        figures.add(f"{place}.{fault}.{name}", value, unit, TARGETS.get(f"{fault}.{name}"))

    def column(name: str) -> Floats:
        return np.array([getattr(run, name) for run in runs], dtype=np.float64)

    caught = column("delay")[np.isfinite(column("delay"))]
    add("runs", len(runs), "runs")
    if fault == HEALTHY.name:
        add("false_closures", column("alarms").sum(), "closures")
    else:
        add("caught_share", len(caught) / len(runs), "share")
        add("labels_median", float(np.median(caught)) if len(caught) else np.inf, "labels")
        add("labels_max", caught.max(initial=-np.inf), "labels")
        add("answers_median", float(np.median(column("answers"))), "answers")
        add("answers_max", column("answers").max(), "answers")
        add("poisoned_pin_runs", (column("poisoned_pins") > 0).sum(), "runs")
        add("harm_median", float(np.median(column("harm"))), "nats")
        add("unjudged_harm_median", float(np.median(column("unjudged_harm"))), "nats")
    add("pin_moves_median", float(np.median(column("pin_moves"))), "moves")
    if fault.startswith("segment"):
        add("segment_labels_median", float(np.median(column("segment_labels"))), "labels")
        add("segment_head_minus_pin", column("segment_gap").mean(), "nats")
    for name in ("served", "head", "pin"):
        add(f"log_loss_{name}", column(name).mean(), "nats")
