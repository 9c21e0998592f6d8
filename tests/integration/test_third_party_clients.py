"""Other projects' clients drive a Martlet server, each from an environment of its own."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.martlet_server import ECHO_FLOAT, served
from tests.integration.client_environments import KSERVE, PERF_ANALYZER, TRITON, Environment

SCRIPTS = Path(__file__).parent / "third_party"
# The first run of a machine installs what the client needs.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with models that echo every datatype."""
    with served() as address:
        yield address


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """What the command printed; it must end well."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=clean | (environment or {}), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize(
    ("client", "script"),
    [
        (TRITON, "triton_sync.py"),
        (TRITON, "triton_aio.py"),
        (PERF_ANALYZER, "triton_sync.py"),
        (KSERVE, "kserve_grpc.py"),
    ],
    ids=["triton", "triton-aio", "triton-2.48", "kserve"],
)
def test_a_client_gets_what_it_asks_for(address: str, client: Environment, script: str) -> None:
    run(str(client.python()), str(SCRIPTS / script), address)


@pytest.mark.parametrize("options", [["-b", "1"], ["-b", "16"], ["--streaming"]], ids=["one-row", "16-rows", "stream"])
def test_perf_analyzer_measures(address: str, options: list[str]) -> None:
    told = run(*perf_analyzer(address), *options, environment=perf_analyzer_libraries())
    assert "Throughput: 0 infer/sec" not in told
    for line in ("Client:", "Server:", "Inference count:", "compute infer"):
        assert line in told, told


def perf_analyzer(address: str) -> list[str]:
    PERF_ANALYZER.python()
    program = str(PERF_ANALYZER.folder / "bin" / "perf_analyzer")
    load = ["--async", "--concurrency-range", "2", "-p", "500", "-r", "3", "-s", "999", "--percentile", "99"]
    return [program, "-m", ECHO_FLOAT, "-i", "grpc", "-u", address, *load]


def perf_analyzer_libraries() -> dict[str, str]:
    """Where its shared libraries are."""
    try:
        ctypes.CDLL("libb64.so.0d")
    except OSError:
        pytest.fail("perf_analyzer needs the system's libb64: apt-get install -y libb64-0d")
    return {"LD_LIBRARY_PATH": str(PERF_ANALYZER.site_packages / "nvidia" / "cuda_runtime" / "lib")}
