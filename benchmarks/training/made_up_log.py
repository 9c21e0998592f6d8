"""A synthetic log of slates: Zipf-distributed categorical features, predictions and clicks in event time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm, Outcome, Prediction
from martlet.feature_spec import FeatureBlock
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event

PARTITION: Final = "serving-0"
START_US: Final = 1_700_000_000_000_000
CLICK: Final = "click"
WINDOW_SECONDS: Final = 2
USER_FEATURES: Final = 8
ITEM_FEATURES: Final = 12
VERSION: Final = 1
_SKEW: Final = 1.1
_SIZE_OF_VOCABULARY: Final = 45_000  # of each feature: 20 of them fill a table of a million rows to 0.86
_CLICK_DELAY_US: Final = 300_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the log holds.

    Attributes:
        examples: labelled rows that reading the whole log gives.
        slate: items of a prediction.
        per_second: items shown in a second of event time.
        clicks: mean clicks of a slate.
    """

    examples: int
    slate: int = 50
    per_second: int = 100_000
    clicks: float = 2.0

    @property
    def predictions(self) -> int:
        """So many that the windows of all but the last seconds' end."""
        shown = self.examples + self.per_second * (WINDOW_SECONDS + 1)
        return -(-shown // self.slate)


def inputs() -> dict[str, ml.Input]:
    """Twenty categorical features, 8 of the user or context and 12 of the item."""
    user = {f"user_{number}": ml.Id(f"context_{number}") for number in range(USER_FEATURES)}
    item = {f"item_{number}": ml.Id(f"item.attribute_{number}") for number in range(ITEM_FEATURES)}
    return {**user, **item}


def write_log(root: Path, model: ml.Model, traffic: Traffic, seed: int = 1) -> int:
    """Writes the log; gives the event time of its last record."""
    writer = FileEventWriter(root, PARTITION, queue_limit=1 << 22)
    last = START_US
    for time_us, payload in _events(model, traffic, np.random.default_rng(seed)):
        last = time_us
        if not writer.offer(payload):
            raise RuntimeError("the log's queue is full")
    writer.close()
    return last


def _events(model: ml.Model, traffic: Traffic, random: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """Events in the order of their times."""
    step_us = traffic.slate * 1e6 / traffic.per_second
    told: list[Outcome] = []
    for number in range(traffic.predictions):
        now = START_US + int(number * step_us)
        while told and told[0].time_us <= now:
            outcome = told.pop(0)
            yield outcome.time_us, encode_event(outcome)
        prediction = _prediction(model, number, now, traffic.slate, random)
        yield now, encode_event(prediction)
        clicked = np.flatnonzero(random.random(traffic.slate) < traffic.clicks / 50)
        told += [_click(prediction, int(row), now + _CLICK_DELAY_US) for row in clicked]


def _prediction(model: ml.Model, number: int, now: int, slate: int, random: np.random.Generator) -> Prediction:
    ids = zipf(random, (slate, ITEM_FEATURES))
    logits = random.normal(-3.0, 0.5, slate).astype(np.float32)
    features = FeatureBlock(
        zipf(random, (1, USER_FEATURES)),
        np.zeros((1, 0), np.float32),
        ids,
        np.zeros((slate, 0), np.float32),
        np.zeros(slate, np.int64),
    )
    return Prediction(
        prediction_id=f"{number:024x}",
        model=model.name,
        time_us=now,
        epoch=1,
        revision=3,
        salt="lane-1",
        bucket=number % 10_000,
        weight=9_000,
        arm=Arm.LIVE,
        version=VERSION,
        digest="mt1-" + "a" * 64,
        user_id=int(ids[0, 0]),
        session_id="",
        item_ids=tuple(range(1, slate + 1)),
        propensities=None,
        scores={VERSION: logits},
        spec_digest=spec_digest(model.spec),
        features=features,
        head=VERSION,
    )


def _click(prediction: Prediction, row: int, time_us: int) -> Outcome:
    item = prediction.item_ids[row]
    return Outcome(f"{prediction.prediction_id}/{item}", prediction.prediction_id, item, CLICK, 1.0, time_us)


def zipf(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Ids of one feature's vocabulary, the frequent ones small: a bounded Zipf law by its inverse."""
    top = 1.0 - _SIZE_OF_VOCABULARY ** (1.0 - _SKEW)
    drawn = (1.0 - top * random.random(shape)) ** (1.0 / (1.0 - _SKEW))
    return np.asarray(drawn, np.int64)
