"""JetStream over TLS with credentials files: the settings suffice, and who is not let in is told why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from martlet.clock import SystemClock
from martlet.errors import InvalidInput, Unavailable
from martlet.runtime.config import Config
from martlet.runtime.parts import event_log
from martlet.runtime.parts_config import EventLogConfig
from tests.security.authority import Authority
from tests.servers.nats import NatsServer
from tests.servers.nats_operator import Account, Operator

SECURITY = """
tls {{ cert_file: "{certificate}", key_file: "{key}", timeout: 5 }}
operator: {operator}
system_account: {system}
resolver: MEMORY
resolver_preload {{ {accounts} }}
"""


@dataclass
class Secured:
    settings: EventLogConfig
    strange_ca: Path
    unknown: Account


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("nats-tls")
    authority, operator = Authority(folder), Operator()
    pair, shop, system = authority.pair("nats"), operator.account(), operator.account(streams=False)
    security = SECURITY.format(
        certificate=pair.certificate, key=pair.key, operator=operator.claim, system=system.name,
        accounts=", ".join(f"{one.name}: {one.claim}" for one in (shop, system)),
    )  # fmt: skip
    server = NatsServer(folder / "server", security)
    server.start()
    url = f"tls://localhost:{server.port}"
    settings = EventLogConfig(
        "jetstream", url, str(shop.credentials(folder / "shop.creds")), str(authority.certificate)
    )
    yield Secured(settings, Authority(folder, "strange").certificate, operator.account())
    server.stop()


def tried(settings: EventLogConfig) -> list[bytes]:
    log = event_log(Config(event_log=settings), SystemClock())
    try:
        writer, reader = log.writer("replica", 10), log.reader()
        try:
            writer.append(b"an event").result()
            return [record.payload for record in reader.read("replica", 0, 1000)]
        finally:
            writer.close()
            reader.close()
    finally:
        log.close()


def test_events_come_and_go(secured: Secured) -> None:
    assert b"an event" in tried(secured.settings)


def test_an_account_that_the_servers_do_not_know_is_told_so(secured: Secured, tmp_path: Path) -> None:
    credentials = secured.unknown.credentials(tmp_path / "unknown.creds")
    with pytest.raises(Unavailable, match=r"(?i)authorization violation"):
        reading(replace(secured.settings, credentials=str(credentials)))


def test_nobody_is_not_let_in(secured: Secured) -> None:
    with pytest.raises(Unavailable, match=r"(?i)authorization violation"):
        reading(replace(secured.settings, credentials=""))


def test_servers_of_another_authority_are_not_believed(secured: Secured) -> None:
    with pytest.raises(Unavailable, match=r"(?i)certificate verify failed"):
        reading(replace(secured.settings, ca=str(secured.strange_ca)))


@pytest.mark.parametrize("setting", ["credentials", "ca"])
def test_a_file_that_is_not_there_is_a_bad_setting(secured: Secured, setting: str) -> None:
    with pytest.raises(InvalidInput, match=f"bad setting: event_log.{setting} names no file: /nowhere"):
        event_log(Config(event_log=replace(secured.settings, **{setting: "/nowhere"})), SystemClock())


def reading(settings: EventLogConfig) -> None:
    log = event_log(Config(event_log=settings), SystemClock())
    reader = log.reader()
    try:
        reader.partitions()
    finally:
        reader.close()
        log.close()
