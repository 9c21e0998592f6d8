"""The whole loop with every lock on: mutual TLS, tokens, signed versions, traces, JSON logs."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from martlet.client.answer import Answer
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.tls import Tls
from martlet.client.trainer import TrainerClient
from martlet.errors import Forbidden, MartletError, NotFound, Unauthenticated
from martlet.up import Household, Plan, Ports
from tests.security.authority import Authority
from tests.security.keys import key_pair
from tests.security.trace_receiver import Receiver, Seen, receiver

SECRETS = {"loop": "publisher", "app": "caller", "boss": "operator"}
PATIENT = CallPolicy(timeout=30, tries=20, backoff=0.2)


def secret_of(name: str) -> str:
    return f"the-secret-of-{name}-8731"


@dataclass
class Locked:
    ports: dict[str, Ports]
    tls: Tls
    receiver: Receiver
    log: Path

    def address(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service].grpc_port}"

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@asynccontextmanager
async def locked(root: Path) -> AsyncIterator[Locked]:
    authority = Authority(root)
    pair, (private, public) = authority.pair("martlet"), key_pair(root, "publisher")
    log, settings = root / "log", root / "settings.yaml"
    with receiver() as kept:
        service = {"grpc_port": 0, "metrics_port": 0}
        told = {
            "data_dir": str(root / "data"),
            "registry": service | {"quality": "health", "pin_min_seconds": 0.0, "pin_min_requests": 5},
            "serving": service,
            "trainer": service
            | {"model": "tests.integration.rating_model:MODEL", "publish_interval_ms": 100, "batch_examples": 16},
            "tls": {
                "certificate": str(pair.certificate),
                "key": str(pair.key),
                "ca": str(authority.certificate),
                "client_ca": str(authority.certificate),
            },
            "auth": {
                "token": secret_of("loop"),
                "tokens": [
                    {"name": name, "sha256": hashlib.sha256(secret_of(name).encode()).hexdigest(), "role": role}
                    for name, role in SECRETS.items()
                ],
            },
            "signing": {"key": str(private), "trusted": [str(public)]},
            "tracing": {"endpoint": f"127.0.0.1:{kept.port}", "share": 1.0, "insecure": True, "export_seconds": 0.1},
            "log": {"level": "debug", "format": "json"},
        }
        settings.write_text(yaml.safe_dump(told))
        shell = ("/bin/sh", "-c", f'exec "$0" "$@" 2>>{log}', sys.executable, "-m")
        commands = {name: (*shell, f"{name}_svc") for name in ("registry", "serving", "trainer")}
        plan = Plan(["--config", str(settings)], dict(os.environ), 20.0, commands)
        (root / "ports").mkdir()
        household = Household(plan, root / "ports")
        try:
            ports = await household.start()
            yield Locked(ports, Tls(authority.certificate, pair.certificate, pair.key), kept, log)
        finally:
            assert await household.stop() == []


async def test_a_recommendation_leads_to_the_version_that_learned_from_it(tmp_path: Path) -> None:
    async with locked(tmp_path) as stage, asyncio.timeout(90):
        app = ServingClient(stage.address("serving"), secret_of("app"), PATIENT, stage.tls)
        boss = ServingClient(stage.address("serving"), secret_of("boss"), PATIENT, stage.tls)
        await boss.upsert_items("shop", {item: {"item.price": float(item)} for item in range(20)})
        for user in range(40):
            answer = await soon(app, user)
            await answer.record(answer.items[0].item_id, "rating", float(1 + user % 5))
        live = await first(stage.receiver, "version live", with_parent=True)
        await refused(stage)
        await app.close()
        await boss.close()
        check_chain(stage.receiver, live)
    check_log(stage)


async def soon(app: ServingClient, user: int) -> Answer:
    """An answer, once there is a version."""
    while True:
        try:
            return await app.recommend("shop", user, 5)
        except NotFound:
            await asyncio.sleep(0.1)


async def first(kept: Receiver, name: str, *, with_parent: bool) -> Seen:
    """The first such span whose way back to a request is known."""
    while True:
        for span in kept.named(name):
            known = {one.id for one in kept.spans}
            whole = all(one.parent in known for one in kept.spans if one.parent and one.trace == span.trace)
            if span.parent and whole and any(one.trace == span.trace for one in kept.named(REQUEST)) is with_parent:
                return span
        await asyncio.sleep(0.05)


REQUEST = "martlet.v1.ServingService/Recommend"
PUBLISH = "martlet.v1.RegistryService/PublishVersion"


def check_chain(kept: Receiver, live: Seen) -> None:
    """One trace, from a request to the version that is live: each span's parent is the one that led to it."""
    by_id = {span.id: span for span in kept.spans}
    way = [live]
    while way[-1].parent:
        way.append(by_id[way[-1].parent])
    names = [span.name for span in reversed(way)]
    assert names == [REQUEST, "record", "learn", "publish", PUBLISH, "version live"]
    assert {span.trace for span in way} == {live.trace}
    assert [span.service for span in reversed(way)] == [
        *("martlet-serving", "martlet-serving", "martlet-trainer", "martlet-trainer", "martlet-registry"),
        "martlet-serving",
    ]
    request = way[-1]
    of_request = [span for span in kept.spans if span.trace == request.trace]
    batch = next(span for span in of_request if span.name == "batch")
    assert batch.parent == request.id
    assert any(span.parent == batch.id for span in kept.named("score")) or any(
        batch.id in span.links for span in kept.named("score")
    )
    learned = {link for span in kept.named("learn") for link in (span.parent, *span.links)}
    recorded = {span.id for span in kept.named("record")}
    assert learned <= recorded  # nothing is learned from but what was recommended


async def refused(stage: Locked) -> None:
    """Whoever is not let in leaves no trace of the secrets it tried."""
    for service, secret, error in (
        ("registry", "a-guess-4410", Unauthenticated),
        ("registry", "", Unauthenticated),
    ):
        client = RegistryClient(stage.address(service), secret, CallPolicy(timeout=5, tries=1), stage.tls)
        with pytest.raises(error):
            await client.lineage("shop")
        await client.close()
    trainer = TrainerClient(stage.address("trainer"), secret_of("app"), CallPolicy(timeout=5, tries=1), stage.tls)
    with pytest.raises(Forbidden):
        await trainer.forget("shop", 3, "app", "because")
    await trainer.close()
    plain = TrainerClient(stage.address("trainer"), "", CallPolicy(timeout=2, tries=1))
    with pytest.raises(MartletError):
        await plain.status()
    await plain.close()


def check_log(stage: Locked) -> None:
    """Every line is JSON, some say in which trace they were written, and none holds a secret."""
    text = stage.log.read_text()
    own = [line for line in stage.lines() if line.startswith("{")]
    lines = [json.loads(line) for line in own]
    assert lines
    assert {line["level"] for line in lines} <= {"debug", "info", "warning", "error"}
    assert any("trace" in line for line in lines)
    for secret in (*map(secret_of, SECRETS), "a-guess-4410"):
        assert secret not in text
    assert "PRIVATE KEY" not in text
