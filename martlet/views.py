"""What the `martlet` command shows: gathered over the clients, as plain values; and the same as tables."""

import asyncio
import math
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.table import Table

from martlet.client.channel import CallPolicy
from martlet.client.health import Health, health_of
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError, Unavailable
from martlet.versions import AspiredSet, VersionRecord

SHOWN_DIGEST = 12
POLICY = CallPolicy(timeout=5.0, tries=2)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the services answer, and the token for them."""

    serving: str
    registry: str
    trainer: str
    token: str


async def versions(places: Places, model: str, last: int) -> list[dict[str, Any]]:
    """The catalog of a model, oldest first; `last` keeps only so many of the newest, 0 keeps all."""
    client = RegistryClient(places.registry, places.token, POLICY)
    try:
        records = await client.versions(model)
    finally:
        await client.close()
    return [_record(record) for record in records[-last:]]


async def rollout(places: Places, model: str) -> dict[str, Any]:
    """Where a model's lineage stands, and which versions answer how much."""
    client = RegistryClient(places.registry, places.token, POLICY)
    try:
        lineage = await client.lineage(model)
        aspired = await _aspired(client, model)
    finally:
        await client.close()
    models = [plain(asdict(found)) for found in aspired.models if found.model == model]
    return {
        **plain(asdict(lineage)),
        "lease_ms": aspired.lease_ms,
        "salt": models[0]["salt"] if models else "",
        "versions": models[0]["versions"] if models else [],
    }


async def status(places: Places) -> dict[str, Any]:
    """The health of the three services, what serving holds and how the trainer stands. Never fails as a whole."""
    health = await asyncio.gather(*(health_of(place) for place in (places.serving, places.registry, places.trainer)))
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
    table = _table("service", "gRPC", "metrics")
    for name, ports in shown.items():
        _row(table, name, f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['metrics_port']}/metrics")
    console.print(table)


def print_versions(console: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """A line for each version."""
    table = _table("version", "kind", "state", "epoch", "published (UTC)", "digest", "reason")
    for record in records:
        published = datetime.fromtimestamp(record["published_time_us"] / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
        _row(table, record["version"], record["kind"], record["state"], record["epoch"], published, *_named(record))
    console.print(table)


def print_rollout(console: Console, shown: Mapping[str, Any]) -> None:
    """The lineage in a line, and a line for each aspired version."""
    head, pin = shown["head_version"] or "none", shown["pin_version"] or "none"
    console.print(f"{shown['model']}: head {head}, pin {pin}, epoch {shown['epoch']}, revision {shown['revision']}")
    table = _table("version", "role", "share", "shadow", "digest")
    for version in shown["versions"]:
        share = f"{version['weight'] / 100:.2f} %"
        shadow = "yes" if version["shadow"] else ""
        _row(table, version["version"], version["role"], share, shadow, version["digest"][:SHOWN_DIGEST])
    console.print(table)


def print_status(console: Console, shown: Mapping[str, Any]) -> None:
    """A line for each service, then what serving holds and what the trainer has learned."""
    services = _table("service", "address", "health", "")
    for name, service in shown.items():
        _row(services, name, service["address"], service["health"], service.get("error", ""))
    console.print(services)
    held = _table("model", "version", "state", "requests", "errors", "digest", "reason")
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


async def _aspired(client: RegistryClient, model: str) -> AspiredSet:
    """The watched stream's first set."""
    try:
        async with asyncio.timeout(POLICY.timeout), aclosing(client.watch([model], "")) as sets:
            async for aspired in sets:
                return aspired
    except TimeoutError:
        raise Unavailable("the registry sent no aspired set") from None
    raise Unavailable("the registry ended the stream without an aspired set")


async def _servables(places: Places) -> dict[str, Any]:
    async with ServingClient(places.serving, places.token, POLICY) as client:
        return {"servables": [plain(asdict(held)) for held in await client.status()]}


async def _trainer(places: Places) -> dict[str, Any]:
    client = TrainerClient(places.trainer, places.token, POLICY)
    try:
        return dict(plain(asdict(await client.status())))
    finally:
        await client.close()


async def _or_error(gather: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    try:
        return await gather
    except MartletError as error:
        return {"error": str(error)}


def _record(record: VersionRecord) -> dict[str, Any]:
    return dict(plain(asdict(record)))


def _named(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["digest"][:SHOWN_DIGEST], row["reason"]


def _table(*columns: str) -> Table:
    """A plain table; only its last column, which may hold a sentence, wraps."""
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1])
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*_texts(cells))


def _texts(cells: Iterable[object]) -> list[str]:
    # A reason may hold square brackets, which rich would read as markup.
    return [str(cell).replace("[", r"\[") for cell in cells]
