"""Of several hosts one hangs, or does not lead: the client's call reaches the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.client.serving import ServingClient
from martlet.errors import Unavailable
from martlet.v1 import registry_pb2, serving_pb2
from martlet.versions import CatalogState, VersionRecord
from tests.integration.played_services import PlayedRegistry, PlayedServing
from tests.integration.played_stage import PlayedStage

RECORD = VersionRecord("shop", 1, "d1", "", 1, CatalogState.ADMITTED, "", "snapshot", 1, b"m1")


class Follower(PlayedRegistry):
    """A registry that does not lead."""

    async def PublishVersion(
        self, request: registry_pb2.PublishVersionRequest, context: object
    ) -> registry_pb2.PublishVersionResponse:
        raise Unavailable("another registry leads")


class Hung(PlayedServing):
    """A replica that takes a request and never answers."""

    async def Rank(self, request: serving_pb2.RankRequest, context: object) -> serving_pb2.RankResponse:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def leader() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage().start()
    stage.registry.records = [RECORD]
    yield stage
    await stage.stop()


@pytest.fixture
async def follower() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage(registry=Follower()).start()
    yield stage
    await stage.stop()


@pytest.mark.parametrize("first", ["leader", "follower"])
async def test_what_is_published_reaches_the_registry_that_leads(
    leader: PlayedStage, follower: PlayedStage, first: str
) -> None:
    """Whichever of them the name resolves to first, and for as many calls as there are."""
    stages = (leader, follower) if first == "leader" else (follower, leader)
    address = "ipv4:" + ",".join(stage.address for stage in stages)
    client = RegistryClient(address)
    for _ in range(6):
        assert await client.publish(b"m1") == RECORD
    await client.close()

    def from_a_thread() -> None:
        blocking = BlockingRegistryClient(address)
        assert [blocking.publish(b"m1") for _ in range(6)] == [RECORD] * 6
        blocking.close()

    await asyncio.to_thread(from_a_thread)


async def test_a_replica_that_hangs_answers_through_another(leader: PlayedStage) -> None:
    """It keeps its connections, as the kernel does for a process that is stopped, and says nothing."""
    hung = await PlayedStage(serving=Hung()).start()
    async with ServingClient(f"ipv4:{hung.address},{leader.address}") as client:
        for _ in range(2):
            assert (await client.rank("shop", 1, [1, 2])).prediction_id == "p-1"
    await hung.stop()
