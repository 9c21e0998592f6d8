"""A real loop as `martlet up` runs it, with a little traffic, and the metrics pages that it tells."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.errors import MartletError, NotFound
from martlet.events import Outcome
from martlet.up import Household, Plan, Ports
from tests.metrics.table import SERVICES

PATIENT = CallPolicy(timeout=30, tries=20, backoff=0.2)
ROLLOUT = "default: {live: {burn_in_labels: 1}}\n"  # a newborn model's labels are judged at once
USERS, ITEMS = 12, 20


@dataclass
class Loop:
    """Where it listens, and what a test asks of it."""

    ports: Mapping[str, Ports]
    client: ServingClient
    rounds: int = 0

    async def act(self) -> None:
        """Some users rate what they are recommended; one outcome is of another type, and is excluded."""
        self.rounds += 1
        for user in range(USERS):
            try:
                answer = await self.client.recommend("shop", user, 3)
            except NotFound:  # no version yet
                await asyncio.sleep(0.1)
                return
            await answer.record(answer.items[0].item_id, "rating", float(1 + (user + self.rounds) % 5))
        odd = Outcome(f"odd-{self.rounds}", answer.prediction_id, answer.items[0].item_id, "click", 1.0, 0)
        await self.client.record_outcomes([odd])

    async def pages(self) -> dict[str, str]:
        return {service: await self.page(service) for service in SERVICES}

    async def page(self, service: str) -> str:
        address = f"http://127.0.0.1:{self.ports[service].metrics_port}/metrics"
        return await asyncio.to_thread(_read, address)


def _read(address: str) -> str:
    with urlopen(address, timeout=10) as page:
        return bytes(page.read()).decode()


@asynccontextmanager
async def running_loop(root: Path) -> AsyncIterator[Loop]:
    """Starts the three services; ends them in order."""
    rollout = root / "rollout.yaml"
    rollout.write_text(ROLLOUT)
    settings = {
        "REGISTRY_ROLLOUT": str(rollout),
        "TRAINER_MODEL": "tests.integration.rating_model:MODEL",
        "TRAINER_PUBLISH_INTERVAL_MS": "300",
        "TRAINER_CHECKPOINT_INTERVAL_SECONDS": "1",
        "TRAINER_BATCH_EXAMPLES": "16",
        **{f"{service.upper()}_{port}_PORT": "0" for service in SERVICES for port in ("GRPC", "METRICS")},
    }
    environment = {f"MARTLET_{name}": value for name, value in settings.items()}
    plan = Plan(["--data-dir", str(root / "data")], {**os.environ, **environment}, 20.0)
    (root / "ports").mkdir()
    household = Household(plan, root / "ports")
    try:
        ports = await household.start()
        client = ServingClient(f"127.0.0.1:{ports['serving'].grpc_port}", "", PATIENT)
        with suppress(MartletError):
            await client.upsert_items("shop", {item: {"item.price": float(item)} for item in range(ITEMS)})
        yield Loop(ports, client)
        await client.close()
    finally:
        assert await household.stop() == []
