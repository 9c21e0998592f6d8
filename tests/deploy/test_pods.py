"""Laws of every pod: what it may, what it uses, how it is watched, how it ends."""

import pytest

from martlet.runtime.config import Config, ServingConfig
from martlet.runtime.server import LIVENESS
from tests.deploy.rendered import OVERLAYS, Document, container, environment, ports, rendered

COMPONENTS = ("registry", "serving", "trainer")
EVERY_POD = [(overlay, component) for overlay in OVERLAYS for component in COMPONENTS]
KUBELET_SECONDS = 5  # until a process that was killed is gone, and what the kubelet itself takes


@pytest.fixture(params=EVERY_POD, ids="/".join)
def pod(request: pytest.FixtureRequest) -> Document:
    overlay, component = request.param
    return rendered(overlay).pods()[component]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_has_one_workload(overlay: str) -> None:
    assert sorted(rendered(overlay).pods()) == sorted(COMPONENTS)


def test_nobody_is_root_or_can_become_it(pod: Document) -> None:
    spec, own = pod["spec"]["securityContext"], container(pod)["securityContext"]
    assert spec["runAsNonRoot"]
    assert (spec["runAsUser"], spec["runAsGroup"], spec["fsGroup"]) == (65532, 65532, 65532)
    assert spec["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(pod["spec"].get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC"))
    assert "initContainers" not in pod["spec"]


def test_only_data_and_tmp_can_be_written(pod: Document) -> None:
    written = {mount["mountPath"] for mount in container(pod)["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/var/lib/martlet", "/tmp"}
    assert environment(pod)["MARTLET_DATA_DIR"] == "/var/lib/martlet"


def test_every_mount_has_its_volume_and_every_volume_its_mount(pod: Document) -> None:
    mounted = [mount["name"] for mount in container(pod)["volumeMounts"]]
    assert len(mounted) == len(set(mounted))
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert set(mounted) - volumes <= {"data"}, "only the trainer's data comes from a claim's template"
    assert volumes <= set(mounted)
    assert all(len(volume) == 2 for volume in pod["spec"]["volumes"]), "a volume has one source"


def test_nobody_holds_a_token_for_the_api_server(pod: Document) -> None:
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_has_an_account_of_its_own(overlay: str) -> None:
    accounts = {component: pod["spec"]["serviceAccountName"] for component, pod in rendered(overlay).pods().items()}
    assert len(set(accounts.values())) == len(accounts)
    assert set(accounts.values()) == rendered(overlay).names("ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in rendered(overlay).of("ServiceAccount"))


def test_what_a_pod_uses_is_asked_for_and_bounded(pod: Document) -> None:
    resources = container(pod)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    temporary = [volume["emptyDir"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume]
    assert all(one.get("sizeLimit") for one in temporary)


def test_liveness_does_not_ask_whether_it_can_serve(pod: Document) -> None:
    """Else a replica that waits for a first version, or a trainer that reads its journal, would be killed for it."""
    probes = container(pod)
    for name in ("livenessProbe", "startupProbe"):
        probe = probes[name]
        assert probe.get("grpc", {}).get("service") == LIVENESS or probe["httpGet"]["path"] == "/live"
    ready = probes["readinessProbe"]
    assert ready.get("grpc") == {"port": ports(pod)["grpc"]} or ready["httpGet"]["path"] == "/ready"


def test_probes_ask_ports_that_the_pod_has(pod: Document) -> None:
    numbers = ports(pod)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container(pod)[name]
        asked = probe["grpc"]["port"] if "grpc" in probe else numbers[probe["httpGet"]["port"]]
        assert asked == numbers["grpc" if "grpc" in probe else "metrics"]


def test_a_pod_has_time_to_end_in_order(pod: Document) -> None:
    waits = container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = ServingConfig().drain_seconds if "serving" in container(pod)["name"] else 1.0
    patience = Config().event_log.patience_seconds  # what is in the writers' queues goes out last
    assert waits >= 1
    assert pod["spec"]["terminationGracePeriodSeconds"] >= waits + drain + patience + KUBELET_SECONDS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_and_registries_bear_their_pods_names(overlay: str) -> None:
    pods = rendered(overlay).pods()
    assert environment(pods["serving"], "one")["MARTLET_SERVING_REPLICA"] == "one"
    assert environment(pods["registry"], "two")["MARTLET_REGISTRY_NAME"] == "two"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_serving_has_names_that_come_again(overlay: str) -> None:
    """A replica's name is a partition of the event log, which all read for good."""
    serving = rendered(overlay).named("StatefulSet", "martlet-serving")
    assert serving["spec"]["podManagementPolicy"] == "Parallel"
    assert serving["spec"]["updateStrategy"]["type"] == "RollingUpdate"


def test_a_registry_goes_when_its_successor_is_there() -> None:
    registry = rendered("production").named("Deployment", "martlet-registry")
    assert registry["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert registry["spec"]["replicas"] >= 2


def test_the_trainers_volume_outlives_it() -> None:
    trainer = rendered("production").named("StatefulSet", "martlet-trainer")
    assert trainer["spec"]["replicas"] == 1
    assert trainer["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = trainer["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(trainer["spec"]["template"])["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/martlet"


def test_who_shares_a_folder_shares_a_volume_and_a_node() -> None:
    for pod in rendered("dev").pods().values():
        (data,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "data")
        assert data["persistentVolumeClaim"]["claimName"] in rendered("dev").names("PersistentVolumeClaim")
        (term,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_those_that_are_built(overlay: str) -> None:
    for component, pod in rendered(overlay).pods().items():
        name, _, tag = container(pod)["image"].rpartition(":")
        assert name.rpartition("/")[2] == f"martlet-{component}"
        assert tag not in {"", "latest"}
    if overlay == "dev":
        assert container(pod)["image"] == f"localhost/martlet-{component}:dev"
