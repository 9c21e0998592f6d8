"""The product's images, built once for all tests on this machine, by the verb that users have: `make images`.

The public base cannot be had everywhere: a base of the same Python is made from Debian's packages. Wheels come from
the place where the tests' own packages came from, through pip's cache.
"""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.containers.podman import ContainerError, Podman, cache_folder, run_program

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = ("martlet", "registry_svc", "serving_svc", "trainer_svc", "deploy/docker")
FILES: Final = (".dockerignore", "LICENSE", "README.md", "constraints.txt", "pyproject.toml")
EXTRAS: Final = "signing,tracing,jetstream,s3,serving,registry,postgres,trainer"
BUILD_SECONDS: Final = 900.0
BASE_RECIPE: Final = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=python3,python3-venv,ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "bookworm",
)


@dataclass(frozen=True, slots=True)
class Images:
    """Names of the images, for `podman run`. The same images also bear the tag `dev`."""

    serving: str
    registry: str
    trainer: str
    base: str


def built_images(podman: Podman) -> Images:
    """Builds what is not there already in just this content; safe to call from several processes at once.

    Raises:
        ContainerError: something could not be built.
    """
    with _alone():
        base = _base(podman)
        tag = f"test-{_digest(_sources())}"
        serving, registry, trainer = (f"localhost/martlet-{name}:{tag}" for name in ("serving", "registry", "trainer"))
        if not all(_exists(podman, name) for name in (serving, registry, trainer)):
            _build(podman, tag, base)
        for name in (serving, registry, trainer):
            podman.run("tag", name, f"{name.partition(':')[0]}:dev")
    return Images(serving, registry, trainer, base)


def _build(podman: Podman, tag: str, base: str) -> None:
    settings = {"ENGINE": podman.program, "TAG": tag, "BASE": base, "WHEELHOUSE": str(_wheelhouse())}
    _succeed(["make", "--no-print-directory", "images"], {**podman.environment, **settings})


def _base(podman: Podman) -> str:
    name = f"localhost/martlet-base:{_digest([part.encode() for part in BASE_RECIPE])}"
    if not _exists(podman, name):
        archive = cache_folder() / "base.tar"
        _succeed([*BASE_RECIPE, str(archive)], {})
        podman.run("import", "--quiet", str(archive), name, timeout=BUILD_SECONDS)
        archive.unlink()
    return name


def _wheelhouse() -> Path:
    """A folder of all wheels that the images need, and of what builds Martlet's own."""
    settled = [(REPOSITORY / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    folder = cache_folder() / f"wheels-{_digest([*settled, EXTRAS.encode()])}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        _succeed([*_downloads(part), *_requirements()], {})
        part.replace(folder)
    return folder


def _downloads(folder: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    settled = ["--no-binary", "nkeys", "--constraint", "constraints.txt"]
    return [*pip, *settled, "--wheel-dir", str(folder), "setuptools>=77"]


def _requirements() -> list[str]:
    program = [sys.executable, str(REPOSITORY / "deploy/docker/requirements.py"), EXTRAS, "pyproject.toml"]
    return subprocess.run(program, check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout.splitlines()


def _sources() -> Iterator[bytes]:
    """Names and contents of everything that the images are made of."""
    below = (path for folder in SOURCES for path in (REPOSITORY / folder).rglob("*") if path.is_file())
    files = [*(REPOSITORY / name for name in FILES), *(p for p in below if p.suffix not in (".pyc", ".nbc", ".nbi"))]
    for path in sorted(files):
        yield str(path.relative_to(REPOSITORY)).encode()
        yield path.read_bytes()


def _digest(parts: Iterator[bytes] | list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:12]


def _exists(podman: Podman, name: str) -> bool:
    return podman.attempt("image", "exists", name).returncode == 0


def _succeed(command: list[str], environment: dict[str, str]) -> None:
    done = run_program(command, environment, BUILD_SECONDS, REPOSITORY)
    if done.returncode != 0:
        raise ContainerError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-4000:]}")


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this machine at a time: what is built here is shared by all."""
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
