"""The use cases over fake versions: what is answered, by whom, and what is recorded."""

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import DeadlinePassed, InvalidInput, NotFound, NotReady
from martlet.events import Arm, ItemDelete, ItemUpsert, Prediction
from martlet.exploration import BEST_FIRST, Exploration
from martlet.feature_encoding import ItemId, RankInput, Value
from martlet.item_filter import Between, In, ItemFilter, equals
from martlet.keys import text_id
from martlet.wire.events import decode_event, encode_event
from martlet.wire.explaining import ExplainQuery
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery
from serving_svc.answering import Answering, session_of
from serving_svc.batcher import Batcher
from serving_svc.candidates import Candidates
from serving_svc.explainer import Explainer
from serving_svc.health_meter import HealthMeter, HealthMetrics
from serving_svc.inference import Inference
from serving_svc.item_store import ItemStore
from serving_svc.manager import Manager
from serving_svc.prediction_log import PredictionLog
from serving_svc.retriever import Retriever
from serving_svc.servable import Servable
from serving_svc.shadow import ShadowScoring
from serving_svc.shadow_metrics import ShadowMetrics
from serving_svc.warm_up import RecentRequests
from tests.unit.serving.fakes import (
    MODEL,
    FakeLoader,
    MemoryWriter,
    NanServable,
    RaisingServable,
    Shelf,
    SumServable,
    head_and_pin,
    managed,
    sid,
    until,
)


class Stage:
    """Inference with version 1 as the pin and version 2 as the head of a lane of 100 %."""

    def __init__(
        self, manager: Manager, executor: ThreadPoolExecutor, log_limit: int, share: float, exploration: Exploration
    ) -> None:
        self.clock = ManualClock(1_700_000_000_000_000)
        self.writer = MemoryWriter(log_limit)
        self.collectors = CollectorRegistry()
        self.meter = HealthMeter(HealthMetrics(self.collectors))
        self.items = ItemStore()
        self.recent = RecentRequests()
        self.lease, self.items_known = True, True
        numbers = itertools.count(1)
        self.log = PredictionLog(self.writer, encode_event, self.collectors)
        self.shadow = ShadowScoring(
            manager,
            self.log,
            executor,
            ShadowMetrics(self.collectors),
            share=share,
            max_rows=1000,
        )
        answering = Answering(
            manager,
            self.meter,
            self.clock,
            lease_open=lambda _model: self.lease,
            next_id=lambda: f"anonymous-{next(numbers)}",
        )
        batcher = Batcher(executor, self.clock, max_batch_rows=64, max_pending_rows=1000)
        self.retriever = Retriever(
            self.items,
            manager,
            self.recent,
            executor,
            self.clock,
            self.collectors,
            above=10,
            refresh_seconds=60.0,
        )
        self.explainer = Explainer(answering, batcher, self.items, most_rows=1000)
        self.inference = Inference(
            answering=answering,
            batcher=batcher,
            items=self.items,
            candidates=Candidates(self.items, self.retriever, batcher, limit=10, retrieved=5, newest=2),
            records=self.shadow,
            recent=self.recent,
            clock=self.clock,
            items_known=lambda: self.items_known,
            next_id=lambda: f"p{next(numbers)}",
            max_candidates=10,
            exploration=exploration,
        )

    @property
    def records(self) -> list[Prediction]:
        self.log.flush()
        events = [decode_event(payload) for payload in self.writer.payloads]
        return [event for event in events if isinstance(event, Prediction)]

    async def rank(
        self,
        *items: ItemId,
        values: Sequence[Mapping[str, Value]] | None = None,
        version: int = 0,
        session: str = "",
        deadline: float | None = None,
    ) -> Ranking:
        request = RankInput("user-1", {"hour": 3.0}, items, values or [{} for _ in items])
        return await self.inference.rank(RankQuery(MODEL, session, version, request), deadline)

    async def recommend(
        self,
        k: int,
        *exclude: ItemId,
        only: ItemFilter | None = None,
        exploration: Exploration | None = None,
    ) -> Ranking:
        query = RecommendQuery(MODEL, "", 0, "user-1", {}, k, frozenset(exclude), only, exploration)
        return await self.inference.recommend(query, None)

    def announce(self, items: Iterable[int], price: float = 1.0) -> None:
        for n in items:
            self.items.apply(ItemUpsert(MODEL, n, {"item.price": price, "item.kind": n % 3}, n))


@asynccontextmanager
async def staged(
    head: Servable | None = None,
    pin: Servable | None = None,
    log_limit: int = 100,
    share: float = 0.0,
    exploration: Exploration = BEST_FIRST,
) -> AsyncIterator[Stage]:
    shelf = Shelf({1: FakeLoader(pin or SumServable(100)), 2: FakeLoader(head or SumServable(200))})
    async with managed(shelf) as manager:
        manager.aspire(head_and_pin(7, head=2, pin=1, weight=10_000, epoch=3))
        manager.synced()
        await until(lambda: manager.is_ready() and manager.route(MODEL).lane is not None)
        with ThreadPoolExecutor(1) as executor:
            stage = Stage(manager, executor, log_limit, share, exploration)
            yield stage
            await stage.shadow.close()


async def test_the_lane_answers_best_first_and_the_record_says_everything() -> None:
    async with staged() as stage:
        ranking = await stage.rank(1, 3, 2, values=[{"item.price": 5.0}, {}, {"item.price": 0.5}], session="s")
        assert [item.item_id for item in ranking.items] == [1, 3, 2]
        assert [item.logit for item in ranking.items] == [206.0, 203.0, 202.5]
        assert [item.score for item in ranking.items] == [103.0, 101.5, 101.25]
        assert (ranking.version, ranking.digest, ranking.arm) == (2, "digest-2", Arm.LIVE)
        (record,) = stage.records
        assert record.prediction_id == ranking.prediction_id == "p1"
        assert (record.epoch, record.revision, record.salt, record.weight) == (3, 7, "salt-3", 10_000)
        assert (record.arm, record.version, record.digest) == (Arm.LIVE, 2, "digest-2")
        assert (record.user_id, record.session_id, record.time_us) == ("user-1", "s", 1_700_000_000_000_000)
        assert record.item_ids == (1, 3, 2)
        assert record.scores[2].tolist() == [206.0, 203.0, 202.5]
        assert record.features.item_ids.tolist() == [[1], [3], [2]]
        np.testing.assert_array_equal(record.features.item_numbers, np.array([[5.0], [np.nan], [0.5]], np.float32))
        assert record.features.user_ids[0, 0] == text_id("user-1")


async def test_the_record_says_what_the_others_say_of_the_same_items() -> None:
    async with staged(share=1.0) as stage:
        await stage.rank(1, 3, 2, values=[{"item.price": 5.0}, {}, {"item.price": 0.5}])
        await stage.rank(4, version=1)
        assert [record.arm for record in stage.records] == [Arm.EXPLICIT]  # the other waits for its scores
        await stage.shadow.close()
        named, record = stage.records
        assert {version: logits.tolist() for version, logits in record.scores.items()} == {
            2: [206.0, 203.0, 202.5],
            1: [106.0, 103.0, 102.5],
        }
        assert (record.head, named.head) == (2, 2)
        assert list(named.scores) == [1]


async def test_features_are_recorded_in_the_order_answered() -> None:
    async with staged() as stage:
        await stage.rank(1, 3, 2)
        (record,) = stage.records
        assert record.item_ids == (3, 2, 1)
        assert record.features.item_ids.tolist() == [[3], [2], [1]]


@pytest.mark.parametrize("broken", [NanServable(after=2), RaisingServable()], ids=["nan", "raising"])
async def test_when_the_lane_fails_the_pin_answers_in_the_same_call(broken: Servable) -> None:
    async with staged(head=broken) as stage:
        ranking = await stage.rank(1, 2)
        assert (ranking.version, ranking.arm) == (1, Arm.PIN)
        assert [item.logit for item in ranking.items] == [102.0, 101.0]
        (record,) = stage.records
        assert (record.version, record.arm, record.weight) == (1, Arm.PIN, 10_000)
        assert list(record.scores) == [1]
        assert (stage.meter.of(sid(2)).errors, stage.meter.of(sid(1)).errors) == (1, 0)
        assert (stage.meter.of(sid(2)).requests, stage.meter.of(sid(1)).requests) == (1, 1)


async def test_when_both_fail_the_caller_is_told_and_nothing_is_recorded() -> None:
    async with staged(head=RaisingServable(), pin=NanServable(after=2)) as stage:
        with pytest.raises(NotReady, match="version 1 of 'shop' failed"):
            await stage.rank(1)
        assert stage.records == []


async def test_a_version_that_was_asked_for_by_name_answers_itself_or_not_at_all() -> None:
    async with staged(head=RaisingServable()) as stage:
        assert (await stage.rank(1, version=1)).arm is Arm.EXPLICIT
        with pytest.raises(NotReady, match="version 2"):
            await stage.rank(1, version=2)
        with pytest.raises(NotFound, match="no version 9"):
            await stage.rank(1, version=9)


async def test_when_the_lease_is_over_the_pin_answers_everything() -> None:
    async with staged() as stage:
        stage.lease = False
        assert (await stage.rank(1)).arm is Arm.PIN
        assert stage.records[0].weight == 0


async def test_a_bad_value_is_the_callers_fault_not_the_versions() -> None:
    async with staged() as stage:
        with pytest.raises(InvalidInput, match=r"item\.price"):
            await stage.rank(1, values=[{"item.price": "cheap"}])
        with pytest.raises(InvalidInput, match="11 candidates are too many"):
            await stage.rank(*range(11))
        with pytest.raises(InvalidInput, match=r"item\.price"):
            await stage.rank(1, values=[{"item.price": float("inf")}])
        assert stage.meter.of(sid(2)).requests == 0


async def test_past_its_deadline_a_request_is_refused_by_no_version() -> None:
    async with staged() as stage:
        with pytest.raises(DeadlinePassed):
            await stage.rank(1, deadline=stage.clock.monotonic())
        assert stage.meter.of(sid(1)).requests == stage.meter.of(sid(2)).requests == 0


async def test_known_attributes_fill_what_the_request_does_not_say() -> None:
    async with staged() as stage:
        for item in (1, 2):
            stage.items.apply(ItemUpsert(MODEL, item, {"item.price": 50.0}, 1))
        ranking = await stage.rank(1, 2, 3, values=[{"item.price": 7.0}, {}, {}])
        assert {item.item_id: item.logit for item in ranking.items} == {1: 208.0, 2: 252.0, 3: 203.0}


async def test_known_attributes_of_the_wrong_kind_are_left_out() -> None:
    async with staged() as stage:
        stage.items.apply(ItemUpsert(MODEL, 1, {"item.price": "cheap"}, 1))
        assert (await stage.rank(1)).items[0].logit == 201.0


async def test_a_full_log_drops_records_and_counts_but_answers() -> None:
    async with staged(log_limit=1) as stage:
        for _ in range(3):
            assert (await stage.rank(1)).items
        stage.log.flush()
        value = stage.collectors.get_sample_value
        assert value("martlet_serving_prediction_records_total") == 1
        assert value("martlet_serving_prediction_records_dropped_total") == 2


async def test_recommend_chooses_of_what_is_on_offer() -> None:
    async with staged() as stage:
        for n in range(1, 9):
            stage.items.apply(ItemUpsert(MODEL, n, {"item.price": 1.0}, n))
        ranking = await stage.recommend(3, 7, "unknown")
        assert [item.item_id for item in ranking.items] == [8, 6, 5]
        (record,) = stage.records
        assert record.item_ids == (8, 6, 5)
        assert record.features.item_ids.tolist() == [[8], [6], [5]]
        assert record.features.item_numbers.tolist() == [[1.0]] * 3
        assert record.scores[2].tolist() == [209.0, 207.0, 206.0]


async def test_recommend_without_items_is_empty_and_not_recorded() -> None:
    async with staged() as stage:
        assert (await stage.recommend(3)).items == ()
        assert stage.records == []
        stage.items_known = False
        with pytest.raises(NotReady, match="still being read"):
            await stage.recommend(3)
        with pytest.raises(InvalidInput, match="k = 11"):
            await stage.recommend(11)


def ids_of(ranking: Ranking) -> list[ItemId]:
    return [item.item_id for item in ranking.items]


async def test_recommend_answers_what_the_filter_lets_through() -> None:
    async with staged() as stage:
        stage.announce(range(1, 9))
        assert ids_of(await stage.recommend(8, only=equals("item.kind", 1))) == [7, 4, 1]
        assert ids_of(await stage.recommend(8, 4, only=equals("item.kind", 1))) == [7, 1]
        assert ids_of(await stage.recommend(8, only=Between("item.price", 2.0))) == []
        assert [record.item_ids for record in stage.records] == [(7, 4, 1), (7, 1)]


async def test_of_more_items_than_are_ranked_the_newest_are_until_there_are_vectors() -> None:
    async with staged() as stage:
        stage.announce([*range(1000, 1030), *range(1, 11)])
        assert ids_of(await stage.recommend(3)) == [10, 9, 8]
        await stage.retriever.refresh()
        assert ids_of(await stage.recommend(3)) == [1029, 1028, 1027]
        told = stage.collectors.get_sample_value
        assert told("martlet_serving_retrieval_refreshes_total", {"model": MODEL}) == 1
        assert told("martlet_serving_retrieval_refresh_seconds", {"model": MODEL}) == 0  # this clock stands still


async def test_what_retrieval_finds_is_filtered_excluded_and_ranked() -> None:
    async with staged() as stage:
        stage.announce(range(1, 101))
        await stage.retriever.refresh()
        assert ids_of(await stage.recommend(3, 100, 98)) == [99, 97, 96]
        assert ids_of(await stage.recommend(3, only=equals("item.kind", 0))) == [99, 96, 93]
        two_kinds = In("item.kind", (0, 1))
        assert ids_of(await stage.recommend(9, only=two_kinds)) == [100, 99, 97, 96, 94]  # 5 are retrieved
        narrow = In("item.price", (5.0,))
        stage.announce([3, 50], price=5.0)  # older events change nothing
        assert ids_of(await stage.recommend(3, only=narrow)) == []
        for n in (3, 50):
            stage.items.apply(ItemUpsert(MODEL, n, {"item.price": 5.0}, 1000))
        assert ids_of(await stage.recommend(3, only=narrow)) == [50, 3]  # few allowed ones are all ranked


async def test_items_that_come_or_go_are_seen_at_once_and_retrieved_soon() -> None:
    async with staged() as stage:
        stage.announce(range(1, 101))
        await stage.retriever.refresh()
        for n in (100, 99):
            stage.items.apply(ItemDelete(MODEL, n, 1000))
        for n in (500, 501, 502):  # into the slots that are free, and one more
            stage.items.apply(ItemUpsert(MODEL, n, {"item.price": 1.0}, 1001))
        assert ids_of(await stage.recommend(4)) == [502, 501, 98, 97]  # of the new ones the two newest
        await stage.retriever.refresh()
        assert ids_of(await stage.recommend(4)) == [502, 501, 500, 98]


async def test_vectors_of_a_shelf_that_grew_are_made_anew() -> None:
    async with staged() as stage:
        stage.announce(range(1, 60))
        await stage.retriever.refresh()
        stage.announce(range(60, 600))
        stage.announce([1], price=2.0)
        await stage.retriever.refresh()
        vectors = stage.retriever.vectors(MODEL, SumServable.spec_digest)
        assert vectors is not None
        assert int(vectors.ready.sum()) == 599
        assert ids_of(await stage.recommend(3)) == [599, 598, 597]


async def test_vectors_are_made_anew_when_they_are_due() -> None:
    async with staged() as stage:
        stage.announce(range(1, 30))
        await stage.retriever.refresh()
        first = stage.retriever.vectors(MODEL, SumServable.spec_digest)
        await stage.retriever.refresh()
        assert stage.retriever.vectors(MODEL, SumServable.spec_digest) is first
        stage.clock.advance(61.0)
        await stage.retriever.refresh()
        assert stage.retriever.vectors(MODEL, SumServable.spec_digest) is not first


async def test_a_version_that_gives_no_numbers_does_not_stop_retrieval() -> None:
    async with staged(head=NanServable(after=2)) as stage:
        stage.announce(range(1, 30))
        await stage.retriever.refresh()
        assert len((await stage.recommend(3)).items) == 3  # the pin answers


async def test_exploration_is_logged_with_its_propensities() -> None:
    async with staged() as stage:
        stage.announce(range(1, 6))
        answers = [await stage.recommend(2, exploration=Exploration(epsilon=1.0)) for _ in range(20)]
        assert len({tuple(ids_of(answer)) for answer in answers}) > 3
        for answer, record in zip(answers, stage.records, strict=True):
            assert record.prediction_id == answer.prediction_id
            assert list(record.item_ids) == ids_of(answer)
            assert record.propensities is not None
            assert record.propensities.tolist() == pytest.approx([1 / 5, 1 / 4])
            assert [item.propensity for item in answer.items] == pytest.approx([1 / 5, 1 / 4])
            assert record.scores[2].tolist() == [item.logit for item in answer.items]


async def test_a_request_decides_over_the_configured_exploration() -> None:
    async with staged(exploration=Exploration(epsilon=1.0)) as stage:
        request = RankInput("user-1", {}, [1, 2, 3], [{}, {}, {}])
        for exploration, propensities in ((None, [1 / 3, 1 / 2, 1.0]), (BEST_FIRST, None)):
            await stage.inference.rank(RankQuery(MODEL, "", 0, request, exploration), None)
            logged = stage.records[-1].propensities
            assert (None if logged is None else logged.tolist()) == (propensities and pytest.approx(propensities))


async def test_unknown_users_and_items_get_the_defaults() -> None:
    async with staged() as stage:
        ranking = await stage.rank("never announced", 3)
        assert set(ids_of(ranking)) == {"never announced", 3}
        assert all(np.isfinite(item.logit) for item in ranking.items)
        query = RecommendQuery(MODEL, "", 0, None, {}, 3, frozenset())
        stage.announce([1])
        assert ids_of(await stage.inference.recommend(query, None)) == [1]
        assert stage.records[-1].user_id is None


async def test_an_explanation_adds_up_and_is_neither_recorded_nor_measured() -> None:
    async with staged() as stage:
        stage.announce([3], price=7.0)
        query = ExplainQuery(MODEL, "", 0, "user-1", {}, 3, {}, permutations=100)
        explanation = await stage.explainer.explain(query, None)
        assert (explanation.version, explanation.arm, explanation.exact) == (2, Arm.LIVE, True)
        assert explanation.logit == 210.0  # 3 + price 7 + shift 200; the price is what was announced
        parts = {part.feature: part for part in explanation.contributions}
        assert (parts["price"].without, parts["user"].without, parts["hour"].without) == (7.0, 0.0, 0.0)
        total = sum(part.shapley for part in explanation.contributions)
        assert total == pytest.approx(explanation.logit - explanation.base_logit)
        assert stage.records == []
        assert stage.meter.of(sid(2)).requests == 0
        with pytest.raises(InvalidInput, match=r"item\.price"):
            await stage.explainer.explain(replace(query, item_values={"item.price": "cheap"}), None)


async def test_what_was_answered_is_kept_for_warm_up_and_gate() -> None:
    async with staged() as stage:
        await stage.rank(1, 3, 2)
        stage.items.apply(ItemUpsert(MODEL, 5, {}, 1))
        await stage.recommend(1)
        kept = stage.recent.of(SumServable.spec_digest)
        assert [block.item_ids[:, 0].tolist() for block in kept] == [[3, 2, 1], [5]]


def test_the_session_is_the_user_unless_it_is_named() -> None:
    assert [session_of("s", 5), session_of("", 5), session_of("", "u"), session_of("", None)] == ["s", "5", "u", ""]
