"""Prediction records: behind their answers, in order, none lost silently."""

import asyncio
from dataclasses import replace

import numpy as np
from prometheus_client import CollectorRegistry

from martlet.events import Arm, Outcome, Prediction
from martlet.wire.events import decode_event, encode_event
from serving_svc.prediction_log import GATHER_RECORDS, PredictionLog
from tests.unit.serving.fakes import MemoryWriter, SumServable, block_of, until

PREDICTION = Prediction(
    prediction_id="p",
    model="shop",
    time_us=1,
    epoch=1,
    revision=1,
    salt="salt",
    bucket=0,
    weight=0,
    arm=Arm.PIN,
    version=1,
    digest="digest-1",
    user_id=1,
    session_id="",
    item_ids=(1,),
    propensities=None,
    scores={1: np.zeros(1, np.float32)},
    spec_digest=SumServable.spec_digest,
    features=block_of(1),
)


class Stage:
    def __init__(self, limit: int = 1_000_000) -> None:
        self.writer = MemoryWriter(limit)
        self.collectors = CollectorRegistry()
        self.log = PredictionLog(self.writer, self._encode, self.collectors)

    def _encode(self, prediction: Prediction) -> bytes:
        if prediction.prediction_id == "bad":
            raise ValueError("cannot be encoded")
        return encode_event(prediction)

    def offer(self, *ids: str) -> None:
        for name in ids:
            self.log.offer(replace(PREDICTION, prediction_id=name))

    @property
    def written(self) -> list[str]:
        events = [decode_event(payload) for payload in self.writer.payloads]
        return [event.prediction_id for event in events if isinstance(event, (Prediction, Outcome))]

    def count(self, name: str) -> float | None:
        return self.collectors.get_sample_value(f"martlet_serving_prediction_records{name}_total")


async def test_records_are_written_soon_and_in_order() -> None:
    stage = Stage()
    stage.offer("a", "b")
    assert stage.written == []
    await until(lambda: stage.written == ["a", "b"])
    assert stage.count("") == 2


async def test_many_are_not_kept_waiting() -> None:
    stage = Stage()
    stage.offer(*(str(n) for n in range(GATHER_RECORDS)))
    assert len(stage.written) == GATHER_RECORDS


async def test_an_outcome_stands_behind_the_predictions_before_it() -> None:
    stage = Stage()
    stage.offer("a")
    await asyncio.wrap_future(stage.log.writer.append(encode_event(Outcome("e", "o", 1, "click", 1.0, 1))))
    assert stage.written == ["a", "o"]


async def test_closing_writes_what_waits() -> None:
    stage = Stage()
    stage.offer("a")
    stage.log.writer.close()
    assert stage.written == ["a"]


async def test_one_that_cannot_be_recorded_takes_no_other_with_it() -> None:
    stage = Stage(limit=2)
    stage.offer("a", "bad", "b", "c")
    stage.log.flush()
    assert stage.written == ["a", "b"]
    assert (stage.count(""), stage.count("_dropped")) == (2, 2)
