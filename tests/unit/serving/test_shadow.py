"""Shadow scores: who scores is fixed by the answer, the scores come later, the record is written once."""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from martlet.events import Arm, Prediction
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.versions import Role, VersionState
from martlet.wire.events import decode_event, encode_event
from serving_svc.manager import Manager
from serving_svc.prediction_log import PredictionLog
from serving_svc.servable import Scores, Servable
from serving_svc.shadow import RUN_ROWS, ShadowScoring, is_sampled
from serving_svc.shadow_metrics import ShadowMetrics
from tests.unit.serving.fakes import (
    MODEL,
    FakeLoader,
    MemoryWriter,
    NanServable,
    RaisingServable,
    Shelf,
    SumServable,
    aspired,
    block_of,
    managed,
    until,
)


class OtherSpecServable(SumServable):
    """Reads a number more."""

    spec = FeatureSpec(
        (*SumServable.spec.features, Feature("depth", "item.depth", FeatureKind.NUMBER, Side.ITEM)),
        SumServable.spec.salts,
    )
    spec_digest = "other"

    def predict(self, block: FeatureBlock) -> Scores:
        assert block.item_numbers.shape[1] == self.spec.layout.item_number_columns
        return super().predict(block)


class ShapelessServable(SumServable):
    """Passes warm-up, then forgets a row."""

    def predict(self, block: FeatureBlock) -> Scores:
        scores = super().predict(block)
        return scores if len(self.batches) <= 2 else scores.rows(1, block.rows)


class Stage:
    """Head 2, pin 1 and candidate 3, each a `SumServable` shifted by 100 times its number unless staged otherwise."""

    def __init__(self, manager: Manager, executor: ThreadPoolExecutor, share: float, max_rows: int) -> None:
        self.manager = manager
        self.writer = MemoryWriter()
        self.collectors = CollectorRegistry()
        self.log = log = PredictionLog(self.writer, encode_event, self.collectors)
        metrics = ShadowMetrics(self.collectors)
        self.shadow = ShadowScoring(manager, log, executor, metrics, share=share, max_rows=max_rows)
        self.answers = 0

    def answer(self, *items: int, version: int = 2, arm: Arm = Arm.LIVE) -> None:
        """An answer that version 2 (or another) gave."""
        self.answers += 1
        block = block_of(*items)
        logits = np.full(block.rows, version, np.float32)
        prediction = Prediction(
            prediction_id=f"p{self.answers}",
            model=MODEL,
            time_us=self.answers,
            epoch=1,
            revision=1,
            salt="salt",
            bucket=0,
            weight=9000,
            arm=arm,
            version=version,
            digest=f"digest-{version}",
            user_id="user-1",
            session_id="",
            item_ids=items,
            propensities=None,
            scores={version: logits},
            spec_digest=SumServable.spec_digest,
            features=block,
            head=2,
        )
        self.shadow.record(prediction, self.manager.route(MODEL))

    @property
    def records(self) -> dict[str, dict[int, list[float]]]:
        """{prediction id: {version: logits}}, in the log's order."""
        self.log.flush()
        events = [decode_event(payload) for payload in self.writer.payloads]
        predictions = [event for event in events if isinstance(event, Prediction)]
        assert len({prediction.prediction_id for prediction in predictions}) == len(predictions)
        return {
            prediction.prediction_id: {version: logits.tolist() for version, logits in prediction.scores.items()}
            for prediction in predictions
        }

    def count(self, name: str, role: Role | None = None) -> float | None:
        labels = {"role": role.name.lower()} if role else {}
        return self.collectors.get_sample_value(f"martlet_serving_shadow_{name}", labels)


@asynccontextmanager
async def staged(
    others: Mapping[int, Servable] | None = None, share: float = 1.0, max_rows: int = 10_000
) -> AsyncIterator[Stage]:
    shelf = Shelf({n: FakeLoader((others or {}).get(n, SumServable(100 * n))) for n in (1, 2, 3, 4)})
    async with managed(shelf) as manager:
        manager.aspire(aspired(1, (Role.HEAD, 2, 9000), (Role.PIN, 1, 1000), (Role.CANDIDATE, 3, 0)))
        await until(lambda: manager.ready_versions(MODEL) == (1, 2, 3))
        with ThreadPoolExecutor(1) as executor:
            stage = Stage(manager, executor, share, max_rows)
            yield stage
            await stage.shadow.close()


async def test_the_others_score_the_same_rows_and_the_record_is_written_once() -> None:
    async with staged() as stage:
        stage.answer(7, 3)
        assert stage.records == {}
        await until(lambda: bool(stage.records))
        assert stage.records == {"p1": {2: [2.0, 2.0], 1: [107.0, 103.0], 3: [307.0, 303.0]}}
        await stage.shadow.close()
        assert len(stage.writer.payloads) == 1


async def test_answers_of_one_moment_are_scored_in_one_run() -> None:
    pin, candidate = SumServable(100), SumServable(300)
    async with staged({1: pin, 3: candidate}) as stage:
        warm = len(pin.batches)
        for items in ((1,), (2, 3), (4,)):
            stage.answer(*items)
        stage.answer(5, version=1, arm=Arm.PIN)
        await stage.shadow.close()
        assert [record[3] for record in stage.records.values()] == [[301.0], [302.0, 303.0], [304.0], [305.0]]
        assert stage.records["p4"] == {1: [1.0], 2: [205.0], 3: [305.0]}
        assert pin.batches[warm:] == [4]
        assert candidate.batches[warm:] == [4, 1]
        assert stage.count("scored_total", Role.CANDIDATE) == 4
        assert stage.count("run_seconds_count", Role.CANDIDATE) == 2


async def test_large_runs_go_to_the_executor_and_are_bounded() -> None:
    candidate = SumServable(300)
    async with staged({3: candidate}) as stage:
        warm = len(candidate.batches)
        for _ in range(3):
            stage.answer(*range(RUN_ROWS // 2))
        await stage.shadow.close()
        assert candidate.batches[warm:] == [RUN_ROWS, RUN_ROWS // 2]
        assert [len(record[3]) for record in stage.records.values()] == [RUN_ROWS // 2] * 3


async def test_a_head_that_comes_after_the_answer_never_scores_it() -> None:
    """It may have learned what became of the answer."""
    async with staged() as stage:
        stage.answer(5, version=1, arm=Arm.PIN)
        stage.manager.aspire(aspired(2, (Role.HEAD, 4, 9000), (Role.PIN, 1, 1000), (Role.CANDIDATE, 3, 0)))
        await until(lambda: 4 in stage.manager.ready_versions(MODEL))
        await until(lambda: bool(stage.records))
        assert stage.records["p1"] == {1: [1.0], 2: [205.0], 3: [305.0]}
        stage.answer(5, version=1, arm=Arm.PIN)
        await stage.shadow.close()
        assert stage.records["p2"] == {1: [1.0], 4: [405.0], 3: [305.0]}


async def test_a_version_stays_until_it_has_scored_and_not_longer() -> None:
    async with staged() as stage:
        stage.answer(5, version=1, arm=Arm.PIN)
        stage.manager.aspire(aspired(2, (Role.PIN, 1, 10_000)))
        states = {status.version: status.state for status in stage.manager.statuses()}
        assert states[2] is states[3] is VersionState.DRAINING
        await stage.shadow.close()
        assert stage.records["p1"] == {1: [1.0], 2: [205.0], 3: [305.0]}
        await until(lambda: {s.state for s in stage.manager.statuses() if s.version > 1} == {VersionState.RETIRED})


async def test_closing_writes_every_record() -> None:
    async with staged() as stage:
        for n in range(50):
            stage.answer(n)
        await stage.shadow.close()
        assert list(stage.records) == [f"p{n}" for n in range(1, 51)]
        await stage.shadow.close()
        assert len(stage.writer.payloads) == 50


async def test_a_caller_that_named_the_version_gets_no_shadow_scores() -> None:
    async with staged() as stage:
        stage.answer(5, arm=Arm.EXPLICIT)
        assert stage.records == {"p1": {2: [2.0]}}


async def test_beyond_the_queue_records_are_written_without_shadow_scores_and_counted() -> None:
    async with staged(max_rows=4) as stage:
        stage.answer(*range(6))  # larger than the queue, but alone
        stage.answer(1)
        assert stage.records == {"p2": {2: [2.0]}}
        assert stage.count("dropped_total") == 1
        await stage.shadow.close()
        stage.answer(1)
        await stage.shadow.close()
        assert [sorted(record) for record in stage.records.values()] == [[2], [1, 2, 3], [1, 2, 3]]


async def test_scores_that_are_no_numbers_are_recorded_for_the_judge() -> None:
    async with staged({3: NanServable(after=2)}) as stage:
        stage.answer(5, 6)
        await stage.shadow.close()
        record = stage.records["p1"]
        np.testing.assert_array_equal(record[3], [5.0, np.nan])
        assert record[1] == [105.0, 106.0]
        assert (stage.count("not_finite_total", Role.CANDIDATE), stage.count("scored_total", Role.CANDIDATE)) == (1, 1)


@pytest.mark.parametrize("broken", [RaisingServable(), ShapelessServable()], ids=["raises", "wrong shape"])
async def test_a_version_that_fails_is_left_out_and_counted(broken: Servable) -> None:
    async with staged({3: broken}) as stage:
        stage.answer(5)
        stage.answer(6)
        await stage.shadow.close()
        assert stage.records == {"p1": {2: [2.0], 1: [105.0]}, "p2": {2: [2.0], 1: [106.0]}}
        assert (stage.count("failed_total", Role.CANDIDATE), stage.count("scored_total", Role.CANDIDATE)) == (2, 0)


async def test_a_version_of_another_feature_spec_scores_what_is_the_same() -> None:
    async with staged({3: OtherSpecServable()}) as stage:
        stage.answer(5)
        await stage.shadow.close()
        assert stage.records == {"p1": {2: [2.0], 1: [105.0], 3: [5.0]}}


async def test_with_nobody_to_compare_the_record_is_written_at_once() -> None:
    async with staged() as stage:
        stage.manager.aspire(aspired(2, (Role.PIN, 1, 10_000)))
        stage.answer(5, version=1, arm=Arm.PIN)
        assert stage.records == {"p1": {1: [1.0]}}


async def test_what_is_not_in_the_sample_is_written_at_once() -> None:
    async with staged(share=0.0) as stage:
        stage.answer(5)
        assert stage.records == {"p1": {2: [2.0]}}


def test_the_sample_has_its_share_and_grows_with_it() -> None:
    ids = [f"serving-0-{n}" for n in range(10_000)]
    small, large = ({one for one in ids if is_sampled(one, share)} for share in (0.1, 0.3))
    assert small < large
    assert 850 < len(small) < 1150
    assert 2800 < len(large) < 3200
    assert all(is_sampled(one, 1.0) for one in ids)
