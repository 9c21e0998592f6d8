"""Calls are shared among replicas by the client, as behind a headless service; who comes and goes costs no call."""

from collections.abc import Iterator

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from tests.integration.balanced_replicas import Load, Replica
from tests.servers.names import NameServer
from tests.servers.process import free_port

RENEWED = 1.0  # seconds after which a client is asked to connect anew


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


def headless(names: NameServer, port: int) -> ServingClient:
    """A client of the headless service; a call may take as long as it takes a slow machine."""
    return ServingClient(f"dns://{names.address}/martlet-serving.martlet.svc:{port}", policy=CallPolicy(timeout=30.0))


async def test_each_call_goes_to_the_next_replica(names: NameServer) -> None:
    port = free_port()
    names.addresses = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    replicas = [await Replica(address, address, port).start() for address in names.addresses]
    async with headless(names, port) as client:
        for address in names.addresses:  # until there is a connection to each
            async with Load(client, callers=1) as first:
                await first.answered_by(address, 1)
        async with Load(client) as load:
            await load.answered(300)
    counts = [load.answers[address] for address in names.addresses]
    assert max(counts) - min(counts) <= load.callers, "not in turn"
    assert not load.failures
    for replica in replicas:
        await replica.server.stop(None)


async def test_a_roll_loses_no_call(names: NameServer) -> None:
    """One pod after the other is replaced by one of another address, as a StatefulSet rolls."""
    port = free_port()
    pods = [await Replica(address, address, port, RENEWED).start() for address in ("127.0.0.2", "127.0.0.3")]
    names.addresses = ("127.0.0.2", "127.0.0.3")
    async with headless(names, port) as client, Load(client) as load:
        await load.answered()
        for number, pod in enumerate(list(pods)):
            names.addresses = tuple(address for address in names.addresses if address != pod.name)
            await pod.drain(notice=0.5)
            successor = f"127.0.0.{10 + number}"
            pods[number] = await Replica(successor, successor, port, RENEWED).start()
            names.addresses = (*names.addresses, successor)
            if number == 0:
                await load.answered(50)  # nobody has told the client of the new one yet
        await load.answered_by("127.0.0.10")
        await load.answered_by("127.0.0.11")
    assert not load.failures
    for pod in pods:
        await pod.server.stop(None)


async def test_a_replica_that_comes_later_is_found(names: NameServer) -> None:
    """Nothing breaks when it comes; clients look again because connections are renewed."""
    port = free_port()
    first = await Replica("127.0.0.2", "127.0.0.2", port, RENEWED).start()
    names.addresses = ("127.0.0.2",)
    async with headless(names, port) as client, Load(client) as load:
        await load.answered()
        second = await Replica("127.0.0.3", "127.0.0.3", port).start()
        names.addresses = ("127.0.0.2", "127.0.0.3")
        await load.answered_by("127.0.0.3")
    assert not load.failures
    await first.server.stop(None)
    await second.server.stop(None)


async def test_a_replica_that_dies_costs_no_call(names: NameServer) -> None:
    """Calls that it had taken are told UNAVAILABLE, and tried again at the other: each may be repeated."""
    port = free_port()
    names.addresses = ("127.0.0.2", "127.0.0.3")
    dies, lives = [await Replica(address, address, port).start() for address in names.addresses]
    async with headless(names, port) as client, Load(client) as load:
        await load.answered_by("127.0.0.2")
        await dies.server.stop(None)  # no grace: what is under way is cut off
        await load.answered()
    assert not load.failures
    await lives.server.stop(None)
