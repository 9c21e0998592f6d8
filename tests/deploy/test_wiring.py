"""What one object says of another is true: services, settings, secrets, scaling, disruption, scraping."""

from pathlib import Path, PurePosixPath

import pytest
import yaml

from martlet.runtime.config import Config, load_config
from martlet.runtime.server_tls import server_tls
from tests.deploy.rendered import (
    OVERLAYS,
    ROOT,
    Document,
    Rendered,
    container,
    environment,
    ports,
    rendered,
    selects,
    values_under,
)

COMPONENTS = ("registry", "serving", "trainer")


def settings(overlay: str, component: str, folder: Path) -> Config:
    """What the process in a pod would go by."""
    found, pod = rendered(overlay), rendered(overlay).pods()[component]
    (volume,) = (one for one in pod["spec"]["volumes"] if one["name"] == "settings")
    (mount,) = (one for one in container(pod)["volumeMounts"] if one["name"] == "settings")
    told = environment(pod)
    name = PurePosixPath(told.pop("MARTLET_CONFIG"))
    assert str(name.parent) == mount["mountPath"]
    file = folder / name.name
    file.write_text(found.named("ConfigMap", volume["configMap"]["name"])["data"][name.name])
    return load_config(file, told)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_are_settings_and_say_what_the_manifests_say(overlay: str, component: str, tmp_path: Path) -> None:
    config, pod = settings(overlay, component, tmp_path), rendered(overlay).pods()[component]
    own = getattr(config, component)
    assert {"grpc": own.grpc_port, "metrics": own.metrics_port} == ports(pod)
    assert own.host == "0.0.0.0"
    assert config.tls.listens or config.tls.insecure, "it would refuse to listen"
    if not config.tls.listens:
        server_tls(config.tls, own.host)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        secured = container(pod)[probe].get("httpGet", {}).get("scheme") == "HTTPS"
        assert secured == config.tls.listens, "the kubelet asks gRPC in the clear alone"


@pytest.mark.parametrize("component", ["serving", "trainer"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_registry_is_called_where_it_is(overlay: str, component: str, tmp_path: Path) -> None:
    """Through the headless service: a call that met a registry which does not lead goes on to the next."""
    address = getattr(settings(overlay, component, tmp_path), component).registry
    scheme, _, place = address.partition("///")
    name, _, port = place.partition(":")
    service = rendered(overlay).named("Service", name)
    assert scheme == "dns:"
    assert service["spec"]["clusterIP"] == "None"
    assert int(port) in [one["port"] for one in service["spec"]["ports"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_pods_and_ports_that_exist(overlay: str) -> None:
    found = rendered(overlay)
    for service in found.of("Service"):
        chosen = [
            pod for pod in found.pods().values() if selects({"matchLabels": service["spec"]["selector"]}, _labels(pod))
        ]
        assert len(chosen) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert ports(chosen[0])[port["targetPort"]] == port["port"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workloads_select_their_own_pods_and_stand_behind_a_headless_service(overlay: str) -> None:
    found = rendered(overlay)
    for workload in found.of("Deployment", "StatefulSet"):
        chosen = [pod for pod in found.pods().values() if selects(workload["spec"]["selector"], _labels(pod))]
        assert chosen == [workload["spec"]["template"]]
        if workload["kind"] == "StatefulSet":
            assert found.named("Service", workload["spec"]["serviceName"])["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_change_of_settings_rolls_the_pods(overlay: str) -> None:
    """The name of a ConfigMap is a digest of what it holds."""
    for name in _used(rendered(overlay), "configMap", "name"):
        assert name in rendered(overlay).names("ConfigMap") or name in _documented()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_is_explained(overlay: str) -> None:
    """None is in the repository; the page says how each is made."""
    used = _used(rendered(overlay), "secret", "secretName") | _used(rendered(overlay), "secretRef", "name")
    used |= _used(rendered(overlay), "secretKeyRef", "name") | _used(rendered(overlay), "credentials", "name")
    assert not rendered(overlay).of("Secret")
    assert used <= _documented()
    assert (not used) == (overlay == "dev")


def test_every_file_that_settings_name_is_mounted(tmp_path: Path) -> None:
    for component in COMPONENTS:
        config, pod = settings("production", component, tmp_path), rendered("production").pods()[component]
        named = [config.tls.certificate, config.tls.key, config.tls.ca, config.auth.tokens_file]
        if component != "registry":  # it calls nobody and writes no events
            named += [config.auth.token_file, config.event_log.credentials]
        mounts = {mount["mountPath"] for mount in container(pod)["volumeMounts"]}
        assert {str(PurePosixPath(path).parent) for path in named} <= mounts, component


def test_the_autoscaler_scales_what_exists_and_nothing_else_sets_its_size() -> None:
    (scaler,) = rendered("production").of("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    workload = rendered("production").named(target["kind"], target["name"])
    assert workload["apiVersion"] == target["apiVersion"]
    assert "replicas" not in workload["spec"]
    assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
    asked = container(workload["spec"]["template"])["resources"]["requests"]
    assert {metric["resource"]["name"] for metric in scaler["spec"]["metrics"]} <= asked.keys(), "a share of nothing"


def test_a_node_can_be_emptied_and_never_takes_two_of_a_kind() -> None:
    found = rendered("production")
    guarded = []
    for budget in found.of("PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        guarded += [name for name, pod in found.pods().items() if selects(budget["spec"]["selector"], _labels(pod))]
    assert sorted(guarded) == ["registry", "serving"]


def test_replicas_are_spread() -> None:
    for component in ("registry", "serving"):
        pod = rendered("production").pods()[component]
        spread = pod["spec"]["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in {one["topologyKey"] for one in spread}
        assert all(selects(one["labelSelector"], _labels(pod)) for one in spread)


def test_each_service_is_scraped_once() -> None:
    found = rendered("production")
    scraped = []
    for monitor in found.of("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        chosen = [one for one in found.of("Service") if selects(monitor["spec"]["selector"], one["metadata"]["labels"])]
        with_port = [one for one in chosen if endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}]
        scraped += [one["metadata"]["name"] for one in with_port]
        assert endpoint["scheme"] == "https"
        assert "jobLabel" not in monitor["spec"], "the rules go by jobs that are called as the services are"
        assert endpoint["tlsConfig"]["serverName"] in scraped
    assert sorted(scraped) == ["martlet-registry", "martlet-serving", "martlet-trainer"]


def test_certificates_bear_the_names_by_which_services_are_called() -> None:
    text = (ROOT / "deploy/kubernetes/components/cert-manager/certificates.yaml").read_text()
    made = {one["spec"]["secretName"]: one["spec"] for one in yaml.safe_load_all(text) if one["kind"] == "Certificate"}
    for service in rendered("production").of("Service"):
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        assert service["metadata"]["name"] in made[f"martlet-{component}-tls"]["dnsNames"]
        assert {"server auth", "client auth"} <= set(made[f"martlet-{component}-tls"]["usages"])


def _labels(pod: Document) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"]["labels"]
    return found


def _used(found: Rendered, kind: str, name: str) -> set[str]:
    return {one[name] for one in values_under(list(found.documents), kind) if isinstance(one, dict) and name in one}


def _documented() -> set[str]:
    words = (ROOT / "docs" / "kubernetes.md").read_text().replace("`", " ").split()
    return {word.strip(".,:;()") for word in words}
