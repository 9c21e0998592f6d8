"""The real servers, started once for all tests of a process that need them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kafka import MockKafka
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import CREDENTIALS, S3Server


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs within a test sets logs up, and sends them to that test's own stream, which is closed then.

    Whatever a wider fixture has set up goes, too.
    """
    root = logging.getLogger()
    handlers, level = [one for one in root.handlers if type(one).__module__.startswith("_pytest")], root.level
    root.handlers[:] = handlers
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Tests keep apart by the names of their logs."""
    server = NatsServer(_folder(tmp_path_factory, "nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka() -> MockKafka:
    """Tests keep apart by the names of their logs."""
    return MockKafka()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Tests keep apart by their databases."""
    server = PostgresServer(_folder(tmp_path_factory, "postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a database that is empty."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Tests keep apart by prefixes."""
    server = S3Server(_folder(tmp_path_factory, "s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        server.start()
        yield server
        server.stop()


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is not a pass: where changes are let in, nothing is skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
