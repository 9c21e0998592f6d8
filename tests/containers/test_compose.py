"""`deploy/compose.yaml` is a stack that runs: real broker, database, store and balancer, and two replicas behind it."""

import re
import secrets
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.replay.datasets import interleaved, synthetic
from martlet.replay.traffic import Traffic
from tests.containers.images import REPOSITORY, Images
from tests.containers.learning import learned, serves
from tests.containers.parts import part_images
from tests.containers.podman import Podman, run_program
from tests.servers.process import free_port, program

COMPOSE: Final = REPOSITORY / "deploy" / "compose.yaml"
# Prometheus and Grafana cannot be had everywhere: what they read is tested in tests/monitoring.
STARTED: Final = ("bucket", "registry", "trainer", "traefik")  # and what they depend on
EVENTS: Final = 200
CONCURRENCY: Final = 4
PATIENT: Final = CallPolicy(timeout=60.0, tries=400, backoff=0.05)
REMOVALS: Final = 3
PUBLISHED: Final = ("REGISTRY_PORT", "TRAINER_PORT", "SERVING_PORT")
MODEL: Final = "examples.movielens.model:MODEL"


class Stack:
    """The composed stack under a name of its own; `down` leaves nothing.

    Args:
        settings: the variables of `deploy/compose.yaml`.
    """

    def __init__(self, podman: Podman, settings: dict[str, str]) -> None:
        self._podman = podman
        self._project = f"martlet-test-{secrets.token_hex(4)}"
        self._environment = {**podman.environment, **settings}

    def address(self, port: str) -> str:
        """For clients, by the name of the variable that the port is set with."""
        return f"127.0.0.1:{self._environment[port]}"

    def compose(self, *arguments: str, timeout: float = 300.0) -> str:
        """Runs a command of podman-compose."""
        command = [program("podman-compose"), "--in-pod", "false", "-p", self._project, "-f", str(COMPOSE), *arguments]
        done = run_program(command, self._environment, timeout, REPOSITORY)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def logs(self) -> str:
        """The last lines of all containers."""
        names = self._podman.run("ps", "--all", "--filter", f"name={self._project}", "--format", "{{.Names}}").split()
        return "\n".join(f"== {name}\n{self._podman.attempt('logs', name).stderr[-1500:]}" for name in names)

    def down(self) -> None:
        """Removes it, volumes and all, whatever state it is in."""
        mine = ("--quiet", "--filter", f"label=io.podman.compose.project={self._project}")
        for _ in range(REMOVALS):  # they depend on one another, and each goes with what depends on it
            for container in self._podman.run("ps", "--all", *mine).split():
                self._podman.attempt("rm", "--force", "--ignore", "--time", "0", "--volumes", "--depend", container)
        for kind in ("volume", "network"):
            for name in self._podman.run(kind, "ls", *mine).split():
                self._podman.run(kind, "rm", "--force", name)


@pytest.fixture
def stack(podman: Podman, images: Images, tmp_path: Path) -> Iterator[Stack]:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    tmp_path.chmod(0o755)
    own = {f"{name.upper()}_IMAGE": getattr(images, name) for name in ("serving", "registry", "trainer")}
    ports = {name: str(free_port()) for name in PUBLISHED}
    model = {"MODEL_FOLDER": str(tmp_path), "MARTLET_TRAINER_MODEL": MODEL}
    stack = Stack(podman, {**own, **part_images(podman, images.base), **ports, **model})
    try:
        yield stack
    finally:
        stack.down()


async def test_the_stack_learns_from_what_both_replicas_were_told(stack: Stack) -> None:
    stack.compose("up", "--detach", *STARTED)
    serving = ServingClient(stack.address("SERVING_PORT"), policy=PATIENT)
    trainer = TrainerClient(stack.address("TRAINER_PORT"), policy=PATIENT)
    dataset = synthetic(EVENTS)
    traffic = Traffic(serving, dataset, others=2, rate=100.0)
    try:
        await serves(serving, replicas=2)
        await traffic.run(islice(interleaved(dataset.ratings), EVENTS), CONCURRENCY)
        await learned(trainer, EVENTS)
    except TimeoutError:
        pytest.fail(stack.logs())
    assert traffic.answers.failures == []
    assert set(traffic.answers.partition) == {"serving-0", "serving-1"}
    await serving.close()
    await trainer.close()


def described() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return compose


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in described()["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_mounted_file_is_there() -> None:
    volumes = [volume for service in described()["services"].values() for volume in service.get("volumes", ())]
    mounted = [volume.partition(":")[0] for volume in volumes if volume.startswith("./")]
    assert len(mounted) == 7
    assert [file for file in mounted if not (COMPOSE.parent / file).exists()] == []


def test_every_public_image_has_a_version() -> None:
    images = [service["image"] for service in described()["services"].values()]
    public = [image for image in images if ":-localhost/" not in image]
    assert public
    assert all(re.search(r":v?\d+(\.\d+)*(-alpine)?\}$", image) for image in public)
