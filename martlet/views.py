"""What the `martlet` command shows: gathered over the clients, as plain values; and the same as tables."""

import asyncio
import math
from collections.abc import Coroutine, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from martlet.client.bearer import Token
from martlet.client.channel import CallPolicy
from martlet.client.health import Health, health_of
from martlet.client.serving import ServingClient
from martlet.client.tls import Plaintext, Tls
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.tables import table

SHOWN_DIGEST = 12
POLICY = CallPolicy(timeout=5.0, tries=2)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the services answer, the token for them, and how their channels are secured."""

    serving: str
    registry: str
    trainer: str
    token: Token
    tls: Tls | Plaintext | None = None


async def status(places: Places) -> dict[str, Any]:
    """The health of the three services, what serving holds and how the trainer stands. Never fails as a whole."""
    health = await asyncio.gather(
        *(health_of(place, tls=places.tls) for place in (places.serving, places.registry, places.trainer))
    )
    held = {} if health[0] is Health.UNREACHABLE else await _or_error(_servables(places))
    learned = {} if health[2] is Health.UNREACHABLE else await _or_error(_trainer(places))
    return {
        "serving": {"address": places.serving, "health": health[0].value, **held},
        "registry": {"address": places.registry, "health": health[1].value},
        "trainer": {"address": places.trainer, "health": health[2].value, **learned},
    }


def all_serving(shown: Mapping[str, Any]) -> bool:
    """Whether `status` found every service serving."""
    return all(service["health"] == Health.SERVING.value for service in shown.values())


def plain(value: Any) -> Any:
    """As JSON takes it: enums by their lower-case name, what is no finite number as null, bytes left out."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items() if not isinstance(inner, bytes)}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_ports(console: Console, shown: Mapping[str, Mapping[str, int]]) -> None:
    """Where the services that were started listen."""
    started = table("service", "gRPC", "metrics")
    for name, ports in shown.items():
        _row(started, name, f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['metrics_port']}/metrics")
    console.print(started)


def print_status(console: Console, shown: Mapping[str, Any]) -> None:
    """A line for each service, then what serving holds and what the trainer has learned."""
    services = table("service", "address", "health", "")
    for name, service in shown.items():
        _row(services, name, service["address"], service["health"], service.get("error", ""))
    console.print(services)
    held = table("model", "version", "state", "requests", "errors", "digest", "reason")
    for row in shown["serving"].get("servables", ()):
        _row(held, row["model"], row["version"], row["state"], row["requests"], row["errors"], *_named(row))
    if held.row_count:
        console.print(held)
    trainer = shown["trainer"]
    if "step" in trainer:
        console.print(
            f"{trainer['model']}: step {trainer['step']}, published version {trainer['last_published_version']}; "
            f"outcomes: {trainer['learned']} learned, {trainer['pending']} pending, "
            f"{trainer['excluded']} excluded, {trainer['dead_lettered']} dead-lettered"
        )
        for series, count in trainer.get("drift_alarms", {}).items():
            console.print(f"drift noticed by {series}: {count} times")


async def _servables(places: Places) -> dict[str, Any]:
    async with ServingClient(places.serving, places.token, POLICY, places.tls) as client:
        return {"servables": [plain(asdict(held)) for held in await client.status()]}


async def _trainer(places: Places) -> dict[str, Any]:
    client = TrainerClient(places.trainer, places.token, POLICY, places.tls)
    try:
        return dict(plain(asdict(await client.status())))
    finally:
        await client.close()


async def _or_error(gather: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    try:
        return await gather
    except MartletError as error:
        return {"error": str(error)}


def _named(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["digest"][:SHOWN_DIGEST], row["reason"]


def _row(to: Table, *cells: object) -> None:
    # A reason may hold square brackets, which rich would read as markup.
    to.add_row(*(Text(str(cell)) for cell in cells))
