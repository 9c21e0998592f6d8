"""A real log as impressions with delayed positives, written as an event log and learned by the trainer's own state."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.events import Arm, Event, Outcome, Prediction
from martlet.feature_encoding import RankInput, concatenate, encode
from martlet.feature_spec import FeatureBlock
from martlet.manifest import spec_digest
from martlet.replay.datasets import interleaved, movielens_100k
from martlet.wire.events import encode_event
from trainer_svc.audit import NoLetters
from trainer_svc.event_source import Cut, EventSource, Range
from trainer_svc.intake import LATENESS_US, IntakeRules
from trainer_svc.journal import Began, Stepped
from trainer_svc.learner import Learner
from trainer_svc.training_state import TrainingState

CACHE: Final = Path(".cache/datasets")
SECOND_US: Final = 1_000_000
START_US: Final = 1_700_000_000 * SECOND_US
PARTITION: Final = "serving-0"
BATCH: Final = 256
_CACHE_BYTES: Final = 256 << 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Impressions:
    """Columns, one entry an impression; impression i is made at second i.

    Attributes:
        requests: what was asked.
        labels: float64[n], 1 if the user gave five stars.
    """

    requests: Sequence[RankInput]
    labels: Floats


def inputs() -> dict[str, ml.Input]:
    """What the models here read."""
    return {
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id"),
        "genres": ml.IdList("item.genres", max_len=6, pool="mean"),
        "occupation": ml.Id("occupation"),
        "age": ml.Id("age"),
    }


def movielens(count: int, active: int, stars: float = 5.0) -> Impressions:
    """The first ratings of MovieLens 100K, so many users at a time; an impression is one rated film."""
    data = movielens_100k(CACHE)
    ratings = list(islice(interleaved(data.ratings, active), count))
    requests = [RankInput(one.user, data.users[one.user], [one.item], [data.items[one.item]]) for one in ratings]
    return Impressions(requests, np.array([float(one.rating >= stars) for one in ratings]))


@dataclass(frozen=True, slots=True)
class Hours:
    """An event log on disk, cut into stretches of equal numbers of impressions.

    Attributes:
        ends: the log's positions at the stretches' ends.
        blocks: what each stretch's impressions are scored by.
        stretch_us: event time of one.
    """

    root: Path
    ends: Sequence[int]
    blocks: Sequence[FeatureBlock]
    stretch_us: int


def write(
    root: Path,
    model: ml.Model,
    impressions: Impressions,
    delays_us: npt.NDArray[np.int64],
    size: int,
    *,
    told: bool = False,
) -> Hours:
    """Writes predictions and, for positives, clicks after their delays, in event time.

    `told`: real negatives have a click of value 0, too, at once.
    """
    encoded = [encode(model.spec, request) for request in impressions.requests]
    timed: list[tuple[int, Event]] = []
    for number, (request, block) in enumerate(zip(impressions.requests, encoded, strict=True)):
        now = START_US + number * SECOND_US
        timed.append((now, _prediction(model, number, now, request, block)))
        label = float(impressions.labels[number])
        if label or told:
            then = now + (int(delays_us[number]) if label else 0)
            timed.append((then, Outcome(f"e{number}", f"p{number}", request.item_ids[0], "click", label, then)))
    timed.sort(key=lambda one: one[0])
    writer = FileEventWriter(root, PARTITION, queue_limit=1 << 22)
    ends, last = [], 0
    stretches = -(-len(encoded) // size)
    for stretch in range(1, stretches + 1):
        until = START_US + stretch * size * SECOND_US
        position = None
        while last < len(timed) and timed[last][0] < until:
            position = writer.append(encode_event(timed[last][1]))
            last += 1
        assert position is not None, "an hour without an event"
        ends.append(position.result().offset)
    writer.close()
    blocks = [concatenate(encoded[at : at + size]) for at in range(0, len(encoded), size)]
    return Hours(root, ends, blocks, size * SECOND_US)


@dataclass(frozen=True, slots=True)
class Course:
    """What a run came to.

    Attributes:
        logits: float64[n], each stretch's block scored by what has learned the stretches before.
    """

    logits: Floats
    learner: Learner
    state: TrainingState


def learn(model: ml.Model, hours: Hours, batch: int = BATCH) -> Course:
    """Learns a log, stretch by stretch, in batches of at most so many examples."""
    tail, lookup = FileEventReader(hours.root), FileEventReader(hours.root)
    source = EventSource(tail, lookup, 4 << 20, _CACHE_BYTES)
    learner = Learner(model)
    rules = IntakeRules(model.name, model.spec, model.label, 86_400 * SECOND_US)
    began = Began("bench", model.name, "", spec_digest(model.spec), "", batch, 1 << 14, 1, 86_400, 16)
    state = TrainingState(began, rules, learner, lambda: b"", source, NoLetters())
    scores, start = [], 0
    for number, (end, block) in enumerate(zip(hours.ends, hours.blocks, strict=True), 1):
        scores.append(learner.predict(block).astype(np.float64))
        now = START_US + number * hours.stretch_us + LATENESS_US
        state.take_step(Stepped(Cut((Range(PARTITION, start, end),), ()), now))
        start = end
    tail.close()
    lookup.close()
    return Course(np.concatenate(scores), learner, state)


def _prediction(model: ml.Model, number: int, now: int, request: RankInput, block: FeatureBlock) -> Prediction:
    return Prediction(
        f"p{number}", model.name, now, 1, 1, "salt", 5, 9000, Arm.LIVE, 1, "mt1-x", request.user_id, "",
        tuple(request.item_ids), None, {1: np.zeros(len(request.item_ids), np.float32)}, spec_digest(model.spec), block,
    )  # fmt: skip
