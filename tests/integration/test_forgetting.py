"""A user is forgotten while the real trainer learns on: in the end no byte on disk names the user."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from martlet.client.registry import RegistryClient
from martlet.client.trainer import TrainerClient
from martlet.errors import InvalidInput, NotFound
from martlet.eventlog.file_log import FileEventWriter
from martlet.keys import text_id, wrap_int64
from martlet.manifest import spec_digest
from martlet.versions import CatalogState, ServableStatus, VersionState
from martlet.wire.events import encode_event
from martlet.wire.trainer import Erasure, ErasureState
from tests.integration.rating_model import MODEL
from tests.integration.test_trainer_process import FAST, environment, service, wait_for
from tests.unit.trainer.streams import outcome, prediction

T = TypeVar("T")
ANN = "ann-of-green-gables"
NAMED = {
    "the id": ANN.encode(),
    "its value": text_id(ANN).to_bytes(8, "little", signed=True),
    "its key": wrap_int64(text_id(ANN) + MODEL.spec.salts["user"]).to_bytes(8, "little", signed=True),
}
HEALTHY = {"registry_quality": "health", "registry_pin_min_seconds": 0, "registry_pin_min_requests": 5}


class Visits:
    """Writes what serving would write."""

    def __init__(self, data: Path) -> None:
        self._writer = FileEventWriter(data / "events", "serving-0")
        self._number = 0

    def make(self, count: int, user: int | str = 0) -> None:
        """So many answers with an outcome each; of user 0 to 19 in turn unless one is named."""
        for _ in range(count):
            self._number = number = self._number + 1
            now = time.time_ns() // 1000
            who = user or number % 20
            made = prediction(number, now, [number % 30, 50], user=who, spec=spec_digest(MODEL.spec))  # type: ignore[arg-type]
            self._writer.offer(encode_event(made))
            told = outcome(f"e-{number}", number, number % 30, float(1 + number % 5), now + 1000)
            self._writer.append(encode_event(told)).result(5)

    def close(self) -> None:
        self._writer.close()


def found_in(data: Path) -> dict[str, list[str]]:
    """Which of a user's names stand in which files."""
    files = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.suffix != ".ports"}
    return {name: [path.name for path, held in files.items() if raw in held] for name, raw in NAMED.items()}


def ask(address: str, make: Callable[[TrainerClient], Awaitable[T]]) -> T:
    async def asked() -> T:
        client = TrainerClient(address)
        try:
            return await make(client)
        finally:
            await client.close()

    return asyncio.run(asked())


def accounted_for(trainer: str) -> int:
    """Outcomes that are in one of the places where one can be."""
    status = ask(trainer, lambda client: client.status())
    return status.learned + status.excluded + status.pending + status.dead_lettered


def move_the_pin(registry: str, reports: Iterator[int]) -> int:
    """A replica says that every version is well; gives the pin's number."""

    async def told() -> int:
        client = RegistryClient(registry)
        try:
            versions = await client.versions("shop")
            served = [one for one in versions if one.state not in (CatalogState.REJECTED, CatalogState.EXPIRED)]
            answers = next(reports) * 10
            well = [ServableStatus("shop", one.version, one.digest, VersionState.READY, "", answers) for one in served]
            await client.report_replica("serving-0", well)
            return (await client.lineage("shop")).pin_version
        finally:
            await client.close()

    return asyncio.run(told())


@contextmanager
def shop(data: Path) -> Iterator[tuple[Visits, str]]:
    """A registry and a log with some events."""
    with service("registry", data, **HEALTHY) as (_, registry):
        visits = Visits(data)
        visits.make(60)
        yield visits, registry
        visits.close()


@contextmanager
def learning_shop(data: Path) -> Iterator[tuple[Visits, str, str]]:
    """The same with a trainer."""
    with shop(data) as (visits, registry), service("trainer", data, trainer_registry=registry, **FAST) as (_, trainer):
        yield visits, registry, trainer


def until_erased(trainer: str, registry: str, visits: Visits, reports: Iterator[int]) -> Erasure:
    """Life goes on until the erasure is done."""
    end = time.monotonic() + 60
    while True:
        visits.make(10)
        move_the_pin(registry, reports)
        newest = ask(trainer, lambda client: client.erasures("shop"))[-1]
        if newest.state is ErasureState.ERASED:
            return newest
        assert time.monotonic() < end, f"never erased: {newest}"


def test_a_forgotten_user_is_on_no_disk(tmp_path: Path) -> None:
    reports = iter(range(1, 10_000))
    with (
        shop(tmp_path) as (visits, registry),
        service("trainer", tmp_path, trainer_registry=registry, **FAST) as (_, trainer),
    ):
        visits.make(10, ANN)
        wait_for("a pin that knows the user", lambda: move_the_pin(registry, reports) >= 3)
        assert all(found_in(tmp_path).values())
        erasure = ask(trainer, lambda client: client.forget("shop", ANN, "ada", "she asks for it"))
        assert (erasure.state, erasure.rows) == (ErasureState.FORGOTTEN, 1)
        visits.make(30)
        done = until_erased(trainer, registry, visits, reports)
        assert (done.events, done.rows) == (20, 1)
        assert done.versions >= 1
        wait_for("old checkpoints to go", lambda: not any(found_in(tmp_path).values()))
        wait_for("each outcome to be in one place", lambda: accounted_for(trainer) >= visits._number)
        assert accounted_for(trainer) == visits._number


def test_an_erasure_outlives_the_trainer(tmp_path: Path) -> None:
    reports = iter(range(1, 10_000))
    with shop(tmp_path) as (visits, registry):
        with service("trainer", tmp_path, trainer_registry=registry, **FAST) as (process, trainer):
            visits.make(10, ANN)
            wait_for("a pin that knows the user", lambda: move_the_pin(registry, reports) >= 2)
            ask(trainer, lambda client: client.forget("shop", ANN, "ada", "she asks for it"))
            process.kill()
            process.wait(20)
        with service("trainer", tmp_path, trainer_registry=registry, **FAST) as (_, trainer):
            wait_for("the trainer", lambda: ask(trainer, lambda client: client.erasures("shop")))
            assert until_erased(trainer, registry, visits, reports).events == 20
            wait_for("old checkpoints to go", lambda: not any(found_in(tmp_path).values()))


def test_the_command_asks_and_waits(tmp_path: Path) -> None:
    with (
        shop(tmp_path) as (visits, registry),
        service("trainer", tmp_path, trainer_registry=registry, **FAST) as (_, trainer),
    ):
        visits.make(3, ANN)
        wait_for("a pin", lambda: move_the_pin(registry, iter([1])) >= 1)
        command = [sys.executable, "-m", "martlet.cli", "forget", "shop", ANN, "--why", "asked", "--trainer", trainer]
        told = subprocess.run([*command, "--json"], env=environment(), capture_output=True, check=True, timeout=60)
        assert json.loads(told.stdout)["state"] == "FORGOTTEN"
        with pytest.raises(NotFound, match="this trainer learns 'shop'"):
            ask(trainer, lambda client: client.forget("feed", ANN, "ada", "why"))
        with pytest.raises(InvalidInput, match="who and why"):
            ask(trainer, lambda client: client.forget("shop", ANN, "ada", " "))
