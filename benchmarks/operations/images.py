"""Sizes of the container images, and how long a container takes from its start until it is ready.

A size is that of the gzipped layers, as a registry stores and a host pulls them, base included (`*_mb`), and unpacked
(`*_unpacked_mb`). Starting is from `podman run` to the first 200 of `/ready`, a fresh container each time, its files in
the page cache; serving has a version to load from the store by then. MB are 10^6 bytes.

The base is made of Debian's packages (tests/containers/images.py): with `python:3.11-slim` the sizes differ by the
difference of the two bases.
"""

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.figures import Figures, at_most
from martlet.client.registry import RegistryClient
from martlet.errors import NotFound
from martlet.replay.traffic import MODEL
from tests.containers.images import REPOSITORY, Images, built_images
from tests.containers.podman import Podman, engine
from tests.containers.stage import Container, Stage

SERVICES: Final = ("registry", "trainer", "serving")  # in the order in which each has what it needs
PORTS: Final = {"serving": (8500, 8502), "registry": (8510, 8512), "trainer": (8520, 8522)}
SERVING_MB: Final = 150.0
SETTINGS: Final = {
    "MARTLET_TLS_INSECURE": "true",
    "MARTLET_SERVING_REGISTRY": "registry:8510",
    "MARTLET_TRAINER_REGISTRY": "registry:8510",
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
}
MB: Final = 1e6
WAIT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Size:
    """How often each service is started."""

    starts: int


QUICK, FULL = Size(starts=3), Size(starts=9)


def images(figures: Figures, size: Size) -> None:
    """Adds `images.<service>_mb`, `images.<service>_unpacked_mb` and `images.<service>_start_to_ready_s`."""
    podman = engine()
    built = built_images(podman)
    for service in ("serving", "registry", "trainer", "base"):
        name = str(getattr(built, service))
        target = at_most(SERVING_MB) if service == "serving" else None
        figures.add(f"images.{service}_mb", _compressed(podman, name) / MB, "MB", target)
        unpacked = float(podman.run("image", "inspect", "--format", "{{.Size}}", name))
        figures.add(f"images.{service}_unpacked_mb", unpacked / MB, "MB")
    _starts(figures, podman, built, size.starts)


def _compressed(podman: Podman, name: str) -> int:
    """Bytes of all layers, gzipped."""
    with tempfile.TemporaryDirectory() as folder:
        podman.run("push", "--quiet", "--format", "oci", name, f"oci:{folder}/image", timeout=600)
        blobs = Path(folder) / "image" / "blobs" / "sha256"
        index = json.loads((Path(folder) / "image" / "index.json").read_text())
        manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_text())
        return sum(int(layer["size"]) for layer in manifest["layers"])


def _starts(figures: Figures, podman: Podman, built: Images, starts: int) -> None:
    with Stage(podman) as stage:
        data = f"--volume={stage.volume()}:/var/lib/martlet"
        model = f"--volume={REPOSITORY / 'examples'}:/opt/martlet/models/examples:ro"
        standing: dict[str, Container] = {}
        for service in SERVICES:
            if service == "serving":
                asyncio.run(_version_is_there(standing["registry"].address(8510)))
            seconds = []
            for _ in range(starts):
                if service in standing:
                    _end(podman, standing[service])
                began = time.monotonic()
                image = str(getattr(built, service))
                standing[service] = stage.start(image, service, SETTINGS, PORTS[service], data, model)
                standing[service].ready(PORTS[service][1])
                seconds.append(time.monotonic() - began)
            figures.add(f"images.{service}_start_to_ready_s", median(seconds), "s")


async def _version_is_there(registry_address: str) -> None:
    """Waits for the trainer's first version: without one, a replica is ready with nothing."""
    registry = RegistryClient(registry_address)
    async with asyncio.timeout(WAIT_SECONDS):
        while not await _head(registry):  # noqa: ASYNC110  another process publishes
            await asyncio.sleep(0.1)
    await registry.close()


async def _head(registry: RegistryClient) -> int:
    try:
        return (await registry.lineage(MODEL)).head_version
    except NotFound:
        return 0


def _end(podman: Podman, container: Container) -> None:
    container.signal("TERM")
    container.exit_code()
    podman.run("rm", container.name)


if __name__ == "__main__":
    measured = Figures()
    images(measured, QUICK if "--quick" in sys.argv else FULL)
    measured.write(Path("out/bench/operations/images.json"))
