"""The images hold what they need and nothing else, and say what they want."""

import json
from pathlib import Path

import pytest

from tests.containers.images import Images
from tests.containers.podman import Podman

SERVICES = ("serving", "registry", "trainer")
PORTS = {"serving": ("8500", "8502"), "registry": ("8510", "8512"), "trainer": ("8520", "8522")}
COMMON = {"nats", "boto3", "cryptography", "opentelemetry.exporter.otlp.proto.grpc", "rich", "martlet.cli"}
WANTED = {
    "serving": COMMON | {"onnxruntime", "uvloop"},
    "registry": COMMON | {"sqlalchemy", "alembic", "psycopg"},
    "trainer": COMMON | {"torch", "numba", "onnx", "onnxscript", "onnxruntime"},
}
UNWANTED = {
    "serving": {"torch", "numba", "onnx", "sqlalchemy", "pyarrow", "pytest", "pip", "setuptools"},
    "registry": {"torch", "numba", "onnx", "onnxruntime", "pyarrow", "pytest", "pip", "setuptools"},
    "trainer": {"sqlalchemy", "pyarrow", "pytest", "pip"},
}
IMPORTABLE = """
import importlib.util, json, sys
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(json.dumps([name for name in sys.argv[1:] if there(name)]))
"""
LEFT_OVERS = """
for tool in cc gcc g++ make ld pip pip3; do command -v $tool && echo "a tool"; done
find / -xdev \\( -name '*.whl' -o -name '*.a' -o -path '*/.cache/pip' -o -path /tools -o -path /wheelhouse \\) \
    ! -path '/usr/share/python-wheels/*' 2>/dev/null
find /opt -xdev -name '*.py' | sed 's#/\\([^/]*\\)\\.py$#/__pycache__/\\1.cpython-311.pyc#' \
    | grep -v py312_ | while read -r compiled; do [ -e "$compiled" ] || echo "not compiled: $compiled"; done
find /opt /var/lib/martlet -xdev ! -user root ! -path /var/lib/martlet
"""


def image(images: Images, service: str) -> str:
    return str(getattr(images, service))


def importable(podman: Podman, name: str, modules: set[str]) -> set[str]:
    said = podman.run("run", "--rm", "--entrypoint", "python3", name, "-c", IMPORTABLE, *sorted(modules))
    return set(json.loads(said))


@pytest.mark.parametrize("service", SERVICES)
def test_each_image_has_its_extras_and_no_others(podman: Podman, images: Images, service: str) -> None:
    found = importable(podman, image(images, service), WANTED[service] | UNWANTED[service])
    assert found == WANTED[service]


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_left_of_building_and_all_is_compiled(podman: Podman, images: Images, service: str) -> None:
    left = podman.run("run", "--rm", "--user", "0", "--entrypoint", "sh", image(images, service), "-c", LEFT_OVERS)
    assert left == ""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is(podman: Podman, images: Images, service: str) -> None:
    (described,) = json.loads(podman.run("image", "inspect", image(images, service)))
    config = described["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == [f"martlet-{service}"]
    assert "Cmd" not in config or not config["Cmd"]
    assert set(config["ExposedPorts"]) == {f"{port}/tcp" for port in PORTS[service]}
    assert set(config["Volumes"]) == {"/var/lib/martlet"}
    assert config["Labels"]["org.opencontainers.image.title"] == f"martlet-{service}"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Labels"]["org.opencontainers.image.version"]
    assert service in described["Healthcheck"]["Test"]


@pytest.mark.parametrize("service", SERVICES)
def test_with_nothing_set_it_says_in_one_line_what_is_missing(podman: Podman, images: Images, service: str) -> None:
    """It would listen beyond loopback, in the clear, and nobody has said that this is meant."""
    options = ("--env=MARTLET_TRAINER_MODEL=no:MODEL",) if service == "trainer" else ()
    done = podman.attempt("run", "--rm", "--read-only", *options, image(images, service))
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("martlet-")]
    assert len(said) == 1
    assert "tls.insecure" in said[0] or service == "trainer"
    assert "Traceback" not in done.stderr


def test_settings_come_from_a_file_that_is_there(podman: Podman, images: Images, tmp_path: Path) -> None:
    """`/etc/martlet/martlet.yaml` needs no variable that names it."""
    file = tmp_path / "martlet.yaml"
    file.write_text("serving: {grpc_prot: 1}\n")
    mounted = f"--volume={file}:/etc/martlet/martlet.yaml:ro"
    done = podman.attempt("run", "--rm", "--read-only", mounted, images.serving)
    assert done.returncode == 2
    assert "grpc_prot" in done.stderr
