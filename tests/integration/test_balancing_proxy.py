"""Callers that do not balance go through a proxy that does: a real Traefik, with the configuration that is shipped."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from tests.integration.balanced_replicas import Load, Replica
from tests.servers.traefik import Traefik

ONE_TRY = CallPolicy(timeout=30.0, tries=1)  # so that nothing but the proxy makes good what a replica refuses


@asynccontextmanager
async def proxied(
    folder: Path,
    serving: Sequence[Replica],
    canary: Sequence[Replica] = (),
    weight: int = 10,
    policy: CallPolicy = ONE_TRY,
) -> AsyncIterator[tuple[Traefik, ServingClient]]:
    """A client on one connection to a proxy before replicas."""
    traefik = Traefik(folder, [_place(one) for one in serving], [_place(one) for one in canary], weight)
    await asyncio.to_thread(traefik.start)
    try:
        async with ServingClient(f"127.0.0.1:{traefik.port}", policy=policy) as client:
            await _until_it_leads_somewhere(client)
            yield traefik, client
    finally:
        await asyncio.to_thread(traefik.stop)
        for replica in (*serving, *canary):
            await replica.server.stop(None)


async def test_one_connections_calls_are_shared_evenly(tmp_path: Path) -> None:
    replicas = [await Replica(name).start() for name in "abc"]
    async with proxied(tmp_path, replicas) as (_, client), Load(client) as load:
        await load.answered(300)
    counts = [load.answers[replica.name] for replica in replicas]
    assert max(counts) - min(counts) <= 2 * load.callers
    assert not load.failures


async def test_the_proxy_counts_what_replicas_answer(tmp_path: Path) -> None:
    replicas = [await Replica(name).start() for name in "ab"]
    async with proxied(tmp_path, replicas) as (traefik, client):
        before = sum(replica.answered for replica in replicas)
        seen = await asyncio.to_thread(traefik.counted, "traefik_service_requests_total", service="serving@file")
        for _ in range(20):
            await client.rank("shop", 1, [1])
        assert sum(replica.answered for replica in replicas) - before == 20
        counted = await asyncio.to_thread(traefik.counted, "traefik_service_requests_total", service="serving@file")
        assert counted - seen == 20
        assert await _reaches(traefik, "traefik_service_server_up", 2) == 2


async def test_weights_are_kept(tmp_path: Path) -> None:
    stable, canary = await Replica("stable").start(), await Replica("canary").start()
    async with proxied(tmp_path, [stable], [canary], weight=25) as (_, client), Load(client) as load:
        await load.answered(400)
    assert abs(load.answers["canary"] / load.answers.total() - 0.25) < 0.05
    assert not load.failures


async def test_a_replica_that_drains_loses_no_call(tmp_path: Path) -> None:
    """With the notice that a pod's preStop gives: the proxy sees that it is not ready before it closes its port."""
    replicas = [await Replica(name).start() for name in "abc"]
    async with proxied(tmp_path, replicas) as (_, client), Load(client) as load:
        for name in "ab":
            await load.answered_by(name)
        for leaves in replicas[:2]:
            await leaves.drain(notice=2.5)
            await load.answered()
    assert not load.failures


async def test_a_replica_that_goes_without_notice_costs_no_call_that_is_tried_again(tmp_path: Path) -> None:
    """Until the proxy looks again it may send a call there; the caller is told UNAVAILABLE, and its policy helps."""
    replicas = [await Replica(name).start() for name in "ab"]
    async with (
        proxied(tmp_path, replicas, policy=CallPolicy(timeout=30.0, tries=8)) as (_, client),
        Load(client) as load,
    ):
        await load.answered_by("a")
        await replicas[0].server.stop(None)
        await load.answered()
    assert not load.failures


async def _reaches(traefik: Traefik, metric: str, wanted: float) -> float:
    """The metric, after the proxy's first look at the replicas' health, or ten seconds."""
    for _ in range(100):
        found = await asyncio.to_thread(traefik.counted, metric, service="serving@file")
        if found >= wanted:
            return found
        await asyncio.sleep(0.1)
    return found


async def _until_it_leads_somewhere(client: ServingClient) -> None:
    """Traefik listens before it has read where to."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.rank("shop", 1, [1])
            except Exception:  # noqa: BLE001  whatever it says before it knows its routes
                await asyncio.sleep(0.05)
            else:
                return


def _place(replica: Replica) -> str:
    return f"127.0.0.1:{replica.server.grpc_port}"
