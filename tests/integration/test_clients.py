"""Every client method against the real server: what is asked arrives, what is answered comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.health import Health, health_of
from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import Conflict, NotFound, Unavailable
from martlet.events import Arm, LogPosition, Outcome
from martlet.measurement import Measurement, MeasurementBatch
from martlet.versions import CatalogState, ServableStatus, VersionRecord, VersionState
from martlet.wire.registry import measurements_of, status_of
from martlet.wire.serving import ScoredItem, outcome_of, rank_query, recommend_query
from tests.integration.played_services import ASPIRED, LINEAGE, STATUS
from tests.integration.played_stage import PlayedStage

RECORDS = [
    VersionRecord("shop", n, f"d{n}", f"d{n - 1}", 1, CatalogState.ADMITTED, "", "delta", n, f"m{n}".encode())
    for n in range(1, 6)
]
HELD = ServableStatus("shop", 3, "c", VersionState.READY, requests=9)
BATCH = MeasurementBatch("trainer", 7, (Measurement("shop", 3, "logloss", 2, 1.0, 0.5),))


@pytest.fixture
async def stage() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage().start()
    stage.registry.records = RECORDS
    yield stage
    await stage.stop()


@pytest.fixture
async def registry(stage: PlayedStage) -> AsyncIterator[RegistryClient]:
    client = RegistryClient(stage.address)
    yield client
    await client.close()


@pytest.fixture
async def serving(stage: PlayedStage) -> AsyncIterator[ServingClient]:
    async with ServingClient(stage.address) as client:
        yield client


async def test_the_registry_from_an_event_loop(registry: RegistryClient, stage: PlayedStage) -> None:
    assert await registry.publish(b"m4") == RECORDS[3]
    assert await registry.lineage("shop") == LINEAGE
    assert await registry.version("shop", 2) == RECORDS[1]
    await registry.report_replica("serving-0", [HELD])
    await registry.report_measurements(BATCH)
    assert [status_of(status) for status in stage.registry.reports[0].servables] == [HELD]
    assert stage.registry.reports[0].replica == "serving-0"
    assert measurements_of(stage.registry.measurements[0]) == BATCH


async def test_the_catalog_is_read_page_by_page(registry: RegistryClient, stage: PlayedStage) -> None:
    assert await registry.versions("shop") == RECORDS
    listed = {"method": "/martlet.v1.RegistryService/ListVersions", "code": "OK"}
    assert stage.sample("martlet_played_rpc_duration_seconds_count", **listed) == 3


async def test_refusals_are_in_the_domains_words(registry: RegistryClient) -> None:
    with pytest.raises(NotFound, match="no version 9 of shop"):
        await registry.version("shop", 9)
    with pytest.raises(Conflict, match="the head is another"):
        await registry.publish(b"late")


async def test_the_watched_stream_names_who_watches(registry: RegistryClient, stage: PlayedStage) -> None:
    async with aclosing(registry.watch(["shop"], "serving-0")) as sets:
        assert await anext(sets) == ASPIRED
    assert (list(stage.registry.watches[0].models), stage.registry.watches[0].replica) == (["shop"], "serving-0")


async def test_the_registry_from_a_thread(stage: PlayedStage) -> None:
    def work() -> None:
        client = BlockingRegistryClient(stage.address)
        assert client.publish(b"m4") == RECORDS[3]
        assert client.lineage("shop") == LINEAGE
        assert client.version("shop", 2) == RECORDS[1]
        assert client.versions("shop") == RECORDS
        with pytest.raises(Conflict, match="the head is another"):
            client.publish(b"late")
        client.report_replica("serving-0", [HELD])
        client.report_measurements(BATCH)
        client.close()

    await asyncio.to_thread(work)
    assert [status_of(status) for status in stage.registry.reports[0].servables] == [HELD]
    assert measurements_of(stage.registry.measurements[0]) == BATCH


async def test_rank(serving: ServingClient, stage: PlayedStage) -> None:
    ranking = await serving.rank(
        "shop", 77, {5: {"item.price": 2.0}, "six": {}}, {"hour": 20.0, "recent_items": [1, 2]}, session_id="s"
    )
    assert (ranking.prediction_id, ranking.version, ranking.arm) == ("p-1", 3, Arm.LIVE)
    assert ranking.items == (ScoredItem(5, 0.5, 0.0), ScoredItem("six", 0.5, 0.0))
    query = rank_query(stage.serving.ranked[0])
    assert (query.model, query.session_id, query.version, query.input.user_id) == ("shop", "s", 0, 77)
    assert query.input.context == {"hour": 20.0, "recent_items": [1, 2]}
    assert query.input.item_values == [{"item.price": 2.0}, {}]


async def test_rank_takes_bare_candidates_and_no_user(serving: ServingClient, stage: PlayedStage) -> None:
    await serving.rank("shop", None, [3, 1, 2], version=4)
    query = rank_query(stage.serving.ranked[0])
    assert (query.input.user_id, query.input.item_ids, query.version) == (None, [3, 1, 2], 4)


async def test_recommend(serving: ServingClient, stage: PlayedStage) -> None:
    ranking = await serving.recommend("shop", "ann", 2, {"hour": 1.0}, exclude=[7, "x"])
    assert [item.item_id for item in ranking.items] == [0, 1]
    assert ranking.arm is Arm.PIN
    query = recommend_query(stage.serving.recommended[0])
    assert (query.user_id, query.k, query.exclude, query.context) == ("ann", 2, frozenset({7, "x"}), {"hour": 1.0})


async def test_events(serving: ServingClient, stage: PlayedStage) -> None:
    outcome = Outcome("e", "p-1", 5, "click", 1.0, 99)
    assert await serving.record_outcomes([outcome]) == LogPosition("serving-0", 1)
    assert await serving.upsert_items("shop", {5: {"item.price": 2.0}}) == LogPosition("serving-0", 2)
    assert await serving.delete_items("shop", [5, 6]) == LogPosition("serving-0", 3)
    sent: list[Any] = list(stage.events.requests)
    assert outcome_of(sent[0].outcomes[0], now_us=1) == outcome
    assert sent[1].items[0].attributes["item.price"].number == 2.0
    assert [item.number for item in sent[2].item_ids] == [5, 6]


async def test_statuses(serving: ServingClient, stage: PlayedStage) -> None:
    (held,) = await serving.status()
    assert (held.version, held.state, held.requests) == (3, VersionState.READY, 12)
    client = TrainerClient(stage.address)
    status = await client.status()
    await client.close()
    assert (status.step, status.consumed, status.pending) == (STATUS.step, STATUS.consumed, STATUS.pending)


async def test_health_is_told_and_nobody_there_is_no_error(stage: PlayedStage) -> None:
    assert await health_of(stage.address) is Health.SERVING
    await stage.server.set_serving(serving=False)
    assert await health_of(stage.address, "martlet.v1.ServingService") is Health.NOT_SERVING
    assert await health_of("127.0.0.1:1") is Health.UNREACHABLE


@pytest.mark.parametrize("client", [RegistryClient, ServingClient, TrainerClient])
async def test_a_service_that_is_away_is_unavailable(client: Callable[..., Any]) -> None:
    away = client("127.0.0.1:1", policy=CallPolicy(timeout=2, tries=2, backoff=0.01))
    call = away.lineage("shop") if isinstance(away, RegistryClient) else away.status()
    with pytest.raises(Unavailable):
        await call
    await away.close()


async def test_a_client_outlives_its_servers_restart() -> None:
    """A call made while the server is away waits for it, within its deadline."""
    first = await PlayedStage().start()
    port = first.server.grpc_port
    client = TrainerClient(first.address, policy=CallPolicy(timeout=10, tries=8, backoff=0.05))
    await client.status()
    await first.stop()
    call = asyncio.create_task(client.status())
    await asyncio.sleep(0.05)
    second = await PlayedStage(port=port).start()
    assert (await call).step == STATUS.step
    await client.close()
    await second.stop()


async def test_calls_go_round_the_hosts_and_a_lost_one_is_passed_over(stage: PlayedStage) -> None:
    other = await PlayedStage().start()
    both = f"ipv4:{stage.address},{other.address}"  # as `dns:///name:port` resolves to several hosts
    async with ServingClient(both, policy=CallPolicy(timeout=10, tries=6, backoff=0.05)) as client:
        async with asyncio.timeout(10):
            while not (stage.serving.ranked and other.serving.ranked):
                await client.rank("shop", 1, [1])
        before = len(stage.serving.ranked), len(other.serving.ranked)
        for _ in range(10):
            await client.rank("shop", 1, [1])
        assert (len(stage.serving.ranked), len(other.serving.ranked)) == (before[0] + 5, before[1] + 5)
        await other.stop()
        for _ in range(10):
            await client.rank("shop", 1, [1])
        assert len(stage.serving.ranked) == before[0] + 15
