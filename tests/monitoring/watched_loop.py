"""The loop under traffic, and what watches it: Prometheus and Alertmanager by the committed settings, a webhook."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from examples.demo.processes import Services
from examples.demo.sabotage import Saboteur
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.client.serving import ServingClient
from martlet.replay.datasets import Rating, interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from martlet.versions import VersionState
from tests.monitoring.rule_files import PROMETHEUS, RULES, faster
from tests.servers.prometheus import AlertmanagerServer, PrometheusServer

T = TypeVar("T")

FASTER: Final = 60.0  # than the committed rules: what lasts a minute there lasts a second here
NAMESPACE: Final = "shop"
EVENTS: Final = 12_000  # at most; it ends with the test
RATE: Final = 50.0
PATIENT: Final = CallPolicy(timeout=30.0, tries=300, backoff=0.02)
SETTINGS: Final = {
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "500",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "2",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
    "MARTLET_LEARNING_HYGIENE_STATISTICS_EVERY": "2",
    "MARTLET_LEARNING_HYGIENE_OUTLIERS": "quantile",
    "MARTLET_LEARNING_HYGIENE_BOT_EVENTS": "30",
    "MARTLET_LEARNING_DRIFT_DETECTORS": "[page_hinkley]",
    "MARTLET_LEARNING_DRIFT_PAGE_HINKLEY_THRESHOLD": "1.0",  # so that there are alarms to be seen
}
# So that the lane opens within seconds.
POLICY: Final = {"default": {"live": {"burn_in_labels": 50, "labels_per_step": 50, "steps": [0, 2500, 5000]}}}


class Webhook:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """It is read from `received`."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def heard(self, path: str, name: str, status: str) -> list[dict[str, Any]]:
        """The alerts of this name and status that were sent there."""
        return [
            alert
            for where, body in list(self.received)
            for alert in body["alerts"]
            if where == path and alert["labels"]["alertname"] == name and alert["status"] == status
        ]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class WatchedLoop:
    """Runs from construction until `close`. Traffic comes from a thread of its own."""

    def __init__(self, folder: Path) -> None:
        policy = folder / "rollout.yaml"
        policy.write_text(yaml.safe_dump(POLICY))
        self.services = Services(folder, {**SETTINGS, "MARTLET_REGISTRY_ROLLOUT": str(policy)})
        self.webhook = Webhook()
        self._folder = folder
        self._ending = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._traffic: Future[None] | None = None
        self.prometheus: PrometheusServer | None = None
        self._alertmanager = AlertmanagerServer(folder / "alertmanager", alertmanager_settings(self.webhook.port))

    def start(self, synthetic_port: int) -> None:
        """Services, traffic, watchers."""
        for name in ("registry", "serving", "trainer"):
            self.services.start(name)
        self._alertmanager.start()
        settings = self._prometheus_settings(synthetic_port)
        self.prometheus = PrometheusServer(self._folder / "prometheus", settings)
        self.prometheus.start()
        self._traffic = asyncio.run_coroutine_threadsafe(self._drive(), self._loop)

    def does(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the traffic's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def publish_structural(self) -> None:
        """A version from elsewhere, its logits moved: it takes the structural road."""
        registry = RegistryClient(self.services.running["registry"].address, policy=PATIENT)
        try:
            await Saboteur(registry, self._folder / "data" / "artifacts", MODEL).shifted(0.1)
        finally:
            await registry.close()

    async def abort(self) -> None:
        """Ends the structural version under way; without one, closes the live lane as an alarm would."""
        rollouts = RolloutClient(self.services.running["registry"].address, policy=PATIENT)
        try:
            await rollouts.abort(MODEL, "a test", "to see it in a dashboard")
        finally:
            await rollouts.close()

    def until(self, what: str, met: Callable[[], object], seconds: float = 60.0) -> None:
        """Waits; what does not come fails the test."""
        end = time.monotonic() + seconds
        while not met():
            if time.monotonic() > end:
                raise AssertionError(f"never came: {what}\nfiring: {sorted(self.watching.firing())}")
            time.sleep(0.25)

    @property
    def watching(self) -> PrometheusServer:
        assert self.prometheus is not None
        return self.prometheus

    def value(self, expression: str) -> float:
        """Of the first series of a query; 0: there is none."""
        result = self.watching.query(expression)
        return float(result[0]["value"][1]) if result else 0.0

    def close(self) -> None:
        self._ending.set()
        if self._traffic is not None:
            self._traffic.exception(60)
        self.services.stop_all()
        if self.prometheus is not None:
            self.prometheus.stop()
        self._alertmanager.stop()
        self.webhook.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _drive(self) -> None:
        dataset = synthetic(EVENTS)
        client = ServingClient(self.services.running["serving"].address, policy=PATIENT)
        try:
            await _ready(client)
            events = self._while_it_runs(interleaved(dataset.ratings))
            await Traffic(client, dataset, others=2, rate=RATE).run(events, concurrency=4)
        finally:
            await client.close()

    def _while_it_runs(self, events: Iterator[Rating]) -> Iterator[Rating]:
        for event in events:
            if self._ending.is_set():
                return
            yield event

    def _prometheus_settings(self, synthetic_port: int) -> dict[str, Any]:
        """The committed settings for Kubernetes; service discovery's part is played by targets with its labels."""
        settings: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus-kubernetes.yml").read_text())
        settings["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        settings["rule_files"] = [str(path) for path in faster_rules(self._folder / "rules")]
        manager = {"static_configs": [{"targets": [f"127.0.0.1:{self._alertmanager.port}"]}]}
        settings["alerting"] = {"alertmanagers": [manager]}
        (job, _cadvisor) = settings["scrape_configs"]
        del job["kubernetes_sd_configs"]
        job["static_configs"] = [pod(name, service.metrics_port) for name, service in self.services.running.items()]
        page = {"targets": [f"127.0.0.1:{synthetic_port}"], "labels": {"namespace": "synthetic"}}
        settings["scrape_configs"] = [job, {"job_name": "martlet-synthetic", "static_configs": [page]}]
        return settings


async def _ready(client: ServingClient) -> None:
    for _ in range(600):
        if any(status.state is VersionState.READY for status in await client.status()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no version became ready")


def pod(component: str, port: int) -> dict[str, Any]:
    """What Kubernetes' service discovery tells of a pod of deploy/kubernetes."""
    label, meta = "__meta_kubernetes_pod_label_app_kubernetes_io_", "__meta_kubernetes_pod_"
    return {
        "targets": [f"127.0.0.1:{port}"],
        "labels": {
            f"{label}part_of": "martlet",
            f"{label}component": component,
            f"{meta}container_port_name": "metrics",
            f"{meta}name": f"martlet-{component}-0",
            f"{meta}phase": "Running",
            "__meta_kubernetes_namespace": NAMESPACE,
        },
    }


def faster_rules(folder: Path) -> list[Path]:
    """The committed rules, in which time passes faster, as files."""
    folder.mkdir()
    for path in RULES.glob("*.yml"):
        groups = yaml.safe_load(path.read_text())["groups"]
        (folder / path.name).write_text(yaml.safe_dump({"groups": [faster(group, FASTER) for group in groups]}))
    return sorted(folder.glob("*.yml"))


def alertmanager_settings(port: int) -> dict[str, Any]:
    """The committed settings, with hooks of our own, and less patience."""
    settings: dict[str, Any] = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    settings["templates"] = [str(PROMETHEUS / "templates" / "*.tmpl")]
    for receiver in settings["receivers"]:
        receiver["webhook_configs"][0]["url"] = f"http://127.0.0.1:{port}/{receiver['name']}"
    for route in (settings["route"], *settings["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}
    return settings
