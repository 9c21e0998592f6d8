"""Who did what stands in the journal, as verified, and is shown; unsigned versions stay out without being recorded."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.client.trainer import TrainerClient
from martlet.errors import Forbidden
from martlet.manifest import encode_manifest
from martlet.manifest_signatures import Signer
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig, Config, TokenConfig
from martlet.runtime.server import Listen, Server
from martlet.runtime.signing_config import SigningConfig
from martlet.said import Said
from martlet.signed_versions import SigningPublisher
from martlet.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
from martlet.versions import CatalogState
from martlet.wire.strategy_runs import RunState, StrategyRun
from martlet.wire.trainer import TrainerStatus
from registry_svc.app import running
from tests.integration.registry_stage import config_in
from tests.security.keys import key_pair
from tests.unit.registry.samples import SmallVersions
from trainer_svc.rpc.servicer import TrainerServicer

ONCE = CallPolicy(timeout=10, tries=1)


def token(name: str, role: str) -> TokenConfig:
    return TokenConfig(name, hashlib.sha256(f"{name}-secret".encode()).hexdigest(), role)


@dataclass
class Locked:
    address: str
    store: FolderStore
    versions: SmallVersions


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[Locked]:
    auth = AuthConfig(tokens=(token("trainer-7", "publisher"), token("ann", "operator"), token("bob", "reader")))
    config = replace(config_in(tmp_path), auth=auth)
    async with running(config) as server:
        store = FolderStore(config.artifact_dir)
        yield Locked(f"127.0.0.1:{server.grpc_port}", store, SmallVersions(store))


async def test_publisher_and_operator_stand_in_the_journal_as_verified(locked: Locked) -> None:
    publisher = RegistryClient(locked.address, "trainer-7-secret", ONCE)
    await publisher.publish(encode_manifest(locked.versions.newest))
    for value in (1.0, 2.0):
        newest = locked.versions.delta(value)
        await publisher.publish(encode_manifest(newest))
        locked.versions.newest = newest
    operator = RolloutClient(locked.address, "ann-secret", ONCE)
    await operator.abort("shop", "the night shift", "a drill")
    shown = await operator.show("shop")
    by_kind = {one.kind: one for one in shown.decisions}
    assert (by_kind["head"].who, by_kind["head"].caller) == ("", "token:trainer-7")
    assert (by_kind["aborted"].who, by_kind["aborted"].caller) == ("the night shift", "token:ann")
    own = [one for one in shown.decisions if one.kind not in ("head", "aborted")]
    assert all(one.caller == "" for one in own)  # what the registry decided by itself
    told = await command(locked.address, "rollout", "show", "shop", "--json")
    decisions = {one["kind"]: one for one in json.loads(told)["decisions"]}
    assert decisions["aborted"]["caller"] == "token:ann"
    screen = await command(locked.address, "rollout", "show", "shop")
    assert "a drill [token:ann]" in " ".join(screen.split())  # lines may be broken
    await publisher.close()
    await operator.close()


async def command(registry: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "martlet.cli", *arguments, "--registry", registry),
        env={**os.environ, "MARTLET_AUTH_TOKEN": "bob-secret"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_whose_word_is_forbidden_changes_nothing(locked: Locked) -> None:
    publisher = RegistryClient(locked.address, "trainer-7-secret", ONCE)
    await publisher.publish(encode_manifest(locked.versions.newest))
    mere = RolloutClient(locked.address, "trainer-7-secret", ONCE)
    with pytest.raises(Forbidden, match="needs a operator"):
        await mere.abort("shop", "ann", "she says")
    assert [one.kind for one in (await mere.show("shop")).decisions] == ["head"]
    await publisher.close()
    await mere.close()


@dataclass
class AskedRuns:
    asked: list[Said] = field(default_factory=list)

    def start(self, strategy: str, said: Said) -> StrategyRun:
        self.asked.append(said)
        return StrategyRun(strategy, strategy, said.why, said.who, RunState.ASKED, 1, {}, caller=said.caller)

    def listed(self) -> tuple[list[StrategyRun], str]:
        return [], ""


async def test_who_starts_a_run_stands_there_as_verified() -> None:
    auth, runs = AuthConfig(tokens=(token("ann", "operator"),)), AskedRuns()
    status = TrainerStatus("shop", 0, 0, {}, 0, 0, 0, 0, 0, "", 0, 0, {}, "")
    servicer = TrainerServicer(lambda: status, lambda _: Future(), lambda *_: Future(), list, runs)
    server = Server("trainer", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(auth))
    server.add("martlet.v1.TrainerService", lambda to: add_TrainerServiceServicer_to_server(servicer, to))
    await server.start()
    client = TrainerClient(f"127.0.0.1:{server.grpc_port}", "ann-secret", ONCE)
    run = await client.start_run("shop", "fine_tune", "the night shift", "drift")
    assert (run.who, run.caller) == ("the night shift", "token:ann")
    assert runs.asked == [Said("the night shift", "drift", "token:ann")]
    await client.close()
    await server.stop(0)


async def test_only_signed_versions_are_admitted_and_a_refusal_leaves_no_trace(tmp_path: Path) -> None:
    old, new, strange = (key_pair(tmp_path, name) for name in ("old", "new", "strange"))
    trust = SigningConfig(trusted=(str(old[1]), str(new[1])))
    async with running(replace(config_in(tmp_path / "data"), signing=trust)) as server:
        address, store = f"127.0.0.1:{server.grpc_port}", FolderStore(tmp_path / "data" / "artifacts")
        versions = SmallVersions(store)
        client, plain = RegistryClient(address, policy=ONCE), BlockingRegistryClient(address, policy=ONCE)

        def sign_and_publish(key: Path) -> CatalogState:
            return SigningPublisher(plain, store, Signer(key)).publish(encode_manifest(versions.newest)).state

        with pytest.raises(Forbidden, match="not signed"):
            await client.publish(encode_manifest(versions.newest))
        with pytest.raises(Forbidden, match="not trusted"):
            await asyncio.to_thread(sign_and_publish, strange[0])
        assert await client.versions("shop") == []
        assert await asyncio.to_thread(sign_and_publish, old[0]) is not CatalogState.REJECTED
        versions.newest = versions.delta()
        assert await asyncio.to_thread(sign_and_publish, new[0]) is not CatalogState.REJECTED
        assert len(await client.versions("shop")) == 2
        await client.close()
        plain.close()


async def test_a_graph_that_is_not_allowed_is_rejected(tmp_path: Path) -> None:
    config: Config = config_in(tmp_path)
    async with running(config) as server:
        store = FolderStore(config.artifact_dir)
        versions = SmallVersions(store)
        client = RegistryClient(f"127.0.0.1:{server.grpc_port}", policy=ONCE)
        node = b"\x22\x04Loop"
        graph = b"\x0a" + bytes([len(node)]) + node
        loop = store.put(b"\x3a" + bytes([len(graph)]) + graph)
        record = await client.publish(encode_manifest(replace(versions.newest, graph=loop)))
        assert record.state is CatalogState.REJECTED
        assert "Loop" in record.reason
        await client.close()
