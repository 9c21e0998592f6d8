"""The probe asks the service's own port for its readiness, whatever the settings say of it."""

import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from martlet.runtime.config import load_config
from martlet.runtime.metrics_http import MetricsServer
from martlet.runtime.probe import is_ready, main, ready_url


class Switch:
    def __init__(self) -> None:
        self.on = threading.Event()


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def port(switch: Switch) -> Iterator[int]:
    server = MetricsServer("127.0.0.1", 0, CollectorRegistry(), switch.on.is_set)
    yield server.port
    server.close()


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8502/ready"),
        ({"MARTLET_SERVING_HOST": "0.0.0.0"}, "http://127.0.0.1:8502/ready"),
        ({"MARTLET_SERVING_HOST": "::", "MARTLET_SERVING_METRICS_PORT": "7"}, "http://[::1]:7/ready"),
        ({"MARTLET_TLS_CERTIFICATE": "a.crt", "MARTLET_SERVING_HOST": "10.0.0.3"}, "https://10.0.0.3:8502/ready"),
    ],
)
def test_where_it_asks(environment: dict[str, str], url: str) -> None:
    assert ready_url(load_config(None, environment), "serving") == url


def test_it_says_what_the_service_says(switch: Switch, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARTLET_REGISTRY_METRICS_PORT", str(port))
    assert main(["registry"]) == 1
    switch.on.set()
    assert main(["registry"]) == 0


def test_nobody_there_is_not_ready() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert not is_ready(f"http://127.0.0.1:{free.getsockname()[1]}/ready")


def test_a_bad_setting_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MARTLET_SERVING_METRICS_PORT", "many")
    assert main(["serving"]) == 2
    assert "metrics_port" in capsys.readouterr().err
