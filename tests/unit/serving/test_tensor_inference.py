"""Inference on raw tensors over fake versions: what is answered, by whom, what is refused, what is counted."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import DeadlinePassed, InvalidInput
from martlet.events import Arm
from martlet.feature_spec import FeatureSpec
from martlet.signature import Signature, TensorSpec
from serving_svc.answering import Answering
from serving_svc.batcher import Batcher
from serving_svc.health_meter import HealthMeter, HealthMetrics
from serving_svc.manager import Manager
from serving_svc.servable import Servable, Tensors
from serving_svc.tensor_check import check_inputs
from serving_svc.tensor_inference import TensorInference, TensorQuery
from serving_svc.tensor_statistics import Duration, TensorStatistics
from tests.unit.serving.fakes import (
    MODEL,
    FakeLoader,
    NanServable,
    Shelf,
    SumServable,
    head_and_pin,
    managed,
    sid,
    until,
)


class Stage:
    """Version 1 is the pin, version 2 the head of a lane of 100 %."""

    def __init__(self, manager: Manager, executor: ThreadPoolExecutor) -> None:
        self.clock = ManualClock(1_700_000_000_000_000)
        self.meter = HealthMeter(HealthMetrics(CollectorRegistry()))
        self.statistics = TensorStatistics()
        numbers = itertools.count(1)

        def next_id() -> str:
            return f"p{next(numbers)}"

        self.tensors = TensorInference(
            answering=Answering(manager, self.meter, self.clock, lease_open=lambda _model: True, next_id=next_id),
            batcher=Batcher(executor, self.clock, max_batch_rows=64, max_pending_rows=1000),
            statistics=self.statistics,
            clock=self.clock,
            next_id=next_id,
            max_rows=10,
        )


@asynccontextmanager
async def staged(head: Servable | None = None, pin: Servable | None = None) -> AsyncIterator[Stage]:
    shelf = Shelf({1: FakeLoader(pin or SumServable(100)), 2: FakeLoader(head or SumServable(200))})
    async with managed(shelf) as manager:
        manager.aspire(head_and_pin(7, head=2, pin=1, weight=10_000, epoch=3))
        await until(lambda: manager.ready_versions(MODEL) == (1, 2))
        with ThreadPoolExecutor(2) as executor:
            yield Stage(manager, executor)


Array = npt.NDArray[np.generic]


def tensors(**replaced: Array | None) -> TensorQuery:
    inputs: dict[str, Array] = {
        "user": np.array([1], np.int64),
        "item": np.array([1, 2], np.int64),
        "history": np.zeros((1, 3), np.int64),
        "history_mask": np.zeros((1, 3), np.float32),
        "price": np.zeros((2, 1), np.float32),
        "hour": np.zeros((1, 1), np.float32),
        "row_of_user": np.zeros(2, np.int64),
    }
    for name, array in replaced.items():
        if array is None:
            del inputs[name]
        else:
            inputs[name] = array
    return TensorQuery(MODEL, 0, "s", inputs, ())


async def test_infer_answers_raw_tensors() -> None:
    async with staged() as stage:
        answer = await stage.tensors.infer(tensors(), None)
        assert (answer.servable, answer.arm) == (sid(2), Arm.LIVE)
        assert {name: array.tolist() for name, array in answer.outputs.items()} == {
            "score": [201.0, 202.0],
            "logit": [201.0, 202.0],
        }


async def test_infer_falls_back_to_the_pin() -> None:
    async with staged(head=NanServable(after=2)) as stage:
        answer = await stage.tensors.infer(tensors(), None)
        assert (answer.servable, answer.arm) == (sid(1), Arm.PIN)


async def test_an_infinity_that_the_caller_sent_is_the_callers() -> None:
    async with staged(head=NanServable(after=2)) as stage:
        with pytest.raises(InvalidInput, match="'price' holds an infinity"):
            await stage.tensors.infer(tensors(price=np.full((2, 1), np.inf, np.float32)), None)
        assert stage.meter.of(sid(2)).errors == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (tensors(item=None), "input 'item' is missing"),
        (tensors(extra=np.zeros(1, np.int64)), "input 'extra' is not known"),
        (tensors(item=np.zeros(2, np.int32)), "input 'item' is INT32, expected INT64"),
        (tensors(item=np.zeros((2, 1), np.int64)), "input 'item' has 2 dimensions"),
        (tensors(price=np.zeros((3, 1), np.float32)), "input 'price' has shape"),
        (tensors(history=np.zeros((1, 4), np.int64)), "input 'history' has shape"),
        (tensors(row_of_user=np.array([0, 1])), "'row_of_user' must hold numbers from 0 to 0"),
        (tensors(row_of_user=np.array([0, -1])), "'row_of_user' must hold numbers from 0 to 0"),
        (tensors(item=np.zeros(2, "V2")), "input 'item' is BF16, expected INT64"),
        (tensors(user=np.zeros(0, np.int64)), "input 'user' has shape"),
        (
            tensors(
                item=np.zeros(11, np.int64), price=np.zeros((11, 1), np.float32), row_of_user=np.zeros(11, np.int64)
            ),
            "11 rows are too many",
        ),
        (
            tensors(
                user=np.zeros(11, np.int64),
                history=np.zeros((11, 3), np.int64),
                history_mask=np.zeros((11, 3), np.float32),
                hour=np.zeros((11, 1), np.float32),
            ),
            "11 rows are too many",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_tensors_that_do_not_fit_are_refused_by_name(query: TensorQuery, message: str) -> None:
    async with staged() as stage:
        with pytest.raises(InvalidInput, match=message):
            await stage.tensors.infer(query, None)


async def test_unknown_outputs_are_refused_by_name() -> None:
    async with staged() as stage:
        query = tensors()
        with pytest.raises(InvalidInput, match="output 'nothing' is not known"):
            await stage.tensors.infer(TensorQuery(MODEL, 0, "", query.inputs, ("nothing",)), None)
        answer = await stage.tensors.infer(TensorQuery(MODEL, 0, "", query.inputs, ("logit",)), None)
        assert list(answer.outputs) == ["logit"]


async def test_outputs_come_in_the_order_asked_for_and_none_twice() -> None:
    async with staged() as stage:
        query = TensorQuery(MODEL, 0, "s", tensors().inputs, ("logit", "score"))
        assert list((await stage.tensors.infer(query, None)).outputs) == ["logit", "score"]
        with pytest.raises(InvalidInput, match="output 'logit' is asked for twice"):
            await stage.tensors.infer(TensorQuery(MODEL, 0, "s", query.inputs, ("logit", "logit")), None)


async def test_each_answer_has_a_prediction_id_of_its_own() -> None:
    async with staged() as stage:
        answers = [await stage.tensors.infer(tensors(), None) for _ in range(2)]
        assert len({answer.prediction_id for answer in answers}) == 2


class TickingServable(SumServable):
    """Each run takes 2 s."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()

    def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        self.clock.advance(2.0)
        return super().infer(inputs, outputs)


async def test_what_each_version_did_is_counted() -> None:
    servable = TickingServable()
    async with staged(head=servable) as stage:
        servable.clock = stage.clock
        await stage.tensors.infer(tensors(), None)
        await stage.tensors.infer(tensors(), None)
        with pytest.raises(InvalidInput):
            await stage.tensors.infer(tensors(item=None), None)
        totals, untouched = stage.statistics.of(sid(2)), stage.statistics.of(sid(1))
        assert (totals.rows, totals.runs, totals.last_us) == (4, 2, 1_700_000_004_000_000)
        assert (totals.success, totals.fail) == (Duration(2, 4_000_000_000), Duration(1, 0))
        assert (totals.compute_infer, totals.queue.count) == (Duration(2, 4_000_000_000), 2)
        assert (untouched.rows, untouched.success.count, untouched.fail.count) == (0, 0, 0)
        stage.statistics.forget(sid(2))
        assert stage.statistics.of(sid(2)).runs == 0


async def test_an_answer_that_is_no_number_counts_as_failed() -> None:
    async with staged(head=NanServable(after=2)) as stage:
        await stage.tensors.infer(tensors(), None)
        assert (stage.statistics.of(sid(2)).fail.count, stage.statistics.of(sid(1)).success.count) == (1, 1)


class PlainServable(NanServable):
    """A version without features, which gives NaN."""

    spec = FeatureSpec((), {})


async def test_without_features_a_nan_is_an_answer() -> None:
    async with staged(head=PlainServable()) as stage:
        answer = await stage.tensors.infer(tensors(), None)
        assert answer.servable == sid(2)
        assert np.isnan(answer.outputs["logit"]).all()


async def test_a_deadline_that_is_over_is_not_worked_for() -> None:
    async with staged() as stage:
        with pytest.raises(DeadlinePassed):
            await stage.tensors.infer(tensors(), stage.clock.monotonic())


def test_rows_of_free_tensors_are_the_largest_first_dimension() -> None:
    signature = Signature(
        (TensorSpec("a", "string", ("b", 2)), TensorSpec("c", "bfloat16", ()), TensorSpec("d", "bool", (3, "k"))), ()
    )
    inputs: dict[str, Array] = {
        "a": np.full((7, 2), "", object),
        "c": np.zeros((), "V2"),
        "d": np.zeros((3, 9), np.bool_),
    }
    assert check_inputs(signature, inputs) == 7
    with pytest.raises(InvalidInput, match="'c' has 1 dimensions"):
        check_inputs(signature, {**inputs, "c": np.zeros(1, "V2")})
