"""The pods of a rendered overlay, run for real by `podman kube play`; what a cluster does beside that is played here.

Podman takes a pod as Kubernetes does: user, read-only root, capabilities, seccomp, limits, environment with the
downward API, ConfigMaps, volumes. It is no cluster, and this is where the class stands in:

- The StatefulSet's controller: pods are made from the template, one by one, under names that come again.
- The kubelet: probes are asked by the test, with the numbers of the manifest; the end of a pod is preStop's wait, then
  SIGTERM, then SIGKILL after the grace period.
- Names of Services: podman gives each pod its service's name as an alias, and its name server answers with all of them
  (those that run; Kubernetes: those that are ready).
- Published ports are left out: podman would take them on the host, and replicas would collide.
- Names of volumes and pods are the machine's, not a namespace's: all get a prefix of this cluster's own.
"""

import copy
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.containers.images import Images
from tests.containers.podman import Podman
from tests.deploy.rendered import Document, Rendered, container

READY_SECONDS: Final = 180.0


class PlayedCluster:
    """A network and the pods on it.

    Args:
        folder: where the files to play are written.
    """

    def __init__(self, podman: Podman, images: Images, overlay: Rendered, folder: Path) -> None:
        self._podman, self._images, self._overlay, self._folder = podman, images, overlay, folder
        self._prefix = f"martlet-{secrets.token_hex(3)}"
        self._pods: set[str] = set()
        podman.run("network", "create", self._prefix)
        (found,) = json.loads(podman.run("network", "inspect", self._prefix))
        self.name_server: str = found["subnets"][0]["gateway"]

    def start(self, component: str, number: int = 0) -> None:
        """Makes the pod of that number, as its controller does. Returns when it runs."""
        name = self._name(component, number)
        file = self._folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([*self._config_maps(), self._pod(component, name)]))
        self._pods.add(name)
        network = f"{self._prefix}:alias=martlet-{component}"
        self._podman.run("kube", "play", "--network", network, str(file), timeout=120)

    def end(self, component: str, number: int = 0) -> None:
        """Ends a pod as the kubelet does, and takes it away.

        Raises:
            AssertionError: it had to be killed.
        """
        pod = self._overlay.pods()[component]
        time.sleep(container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"])
        name, grace = self._name(component, number), pod["spec"]["terminationGracePeriodSeconds"]
        self._podman.run("stop", "--time", str(grace), f"{name}-{component}", timeout=grace + 30)
        code = self.inspected(component, number)["State"]["ExitCode"]
        assert code == 0, f"{name} ended with {code}: {self.log(component, number)}"
        self._remove(name)

    def kill(self, component: str, number: int = 0) -> None:
        """Ends a pod as a lost node does, and takes it away."""
        name = self._name(component, number)
        self._podman.run("kill", "--signal", "KILL", f"{name}-{component}")
        self._remove(name)

    def address(self, component: str, number: int = 0) -> str:
        """The pod's own address."""
        pod = json.loads(self._podman.run("pod", "inspect", self._name(component, number)))
        (found,) = json.loads(self._podman.run("inspect", pod["InfraContainerID"]))
        address: str = found["NetworkSettings"]["Networks"][self._prefix]["IPAddress"]
        return address

    def target(self, component: str, port: int) -> str:
        """For gRPC clients: the name of the headless service, asked of this cluster's name server."""
        return f"dns://{self.name_server}:53/martlet-{component}:{port}"

    def inspected(self, component: str, number: int = 0) -> dict[str, Any]:
        """What podman knows of the pod's container."""
        (found,) = json.loads(self._podman.run("inspect", f"{self._name(component, number)}-{component}"))
        return dict(found)

    def run_in(self, component: str, *command: str, number: int = 0) -> str:
        """What a command says in the pod's container, whatever comes of it."""
        done = self._podman.attempt("exec", f"{self._name(component, number)}-{component}", *command)
        return done.stdout + done.stderr

    def log(self, component: str, number: int = 0) -> str:
        """The end of the pod's log."""
        done = self._podman.attempt("logs", "--tail", "20", f"{self._name(component, number)}-{component}")
        return done.stdout + done.stderr

    def close(self) -> None:
        """Takes everything away, whatever state it is in."""
        for name in sorted(self._pods):
            self._podman.attempt("pod", "kill", name)  # else each gets ten seconds to end
            self._podman.attempt("pod", "rm", "--force", name)
        volumes = self._podman.attempt("volume", "ls", "--quiet").stdout.split()
        for volume in (one for one in volumes if one.startswith(self._prefix)):
            self._podman.attempt("volume", "rm", "--force", volume)
        self._podman.attempt("network", "rm", "--force", self._prefix)

    def _remove(self, name: str) -> None:
        self._podman.run("pod", "rm", "--force", name)
        self._pods.discard(name)

    def _name(self, component: str, number: int) -> str:
        return f"{self._prefix}-{component}-{number}"

    def _config_maps(self) -> Sequence[Document]:
        found = copy.deepcopy(self._overlay.of("ConfigMap"))
        for one in found:
            one["metadata"]["name"] = f"{self._prefix}-{one['metadata']['name']}"
        return found

    def _pod(self, component: str, name: str) -> Document:
        """The template as a pod: what is changed is what the module's first lines say."""
        pod = copy.deepcopy(self._overlay.pods()[component]) | {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"]["name"] = name
        own = container(pod)
        own["image"] = getattr(self._images, component)
        del own["ports"]
        for mount in own["volumeMounts"]:
            mount["name"] = f"{name}-{mount['name']}"
        for volume in pod["spec"]["volumes"]:
            volume["name"] = f"{name}-{volume['name']}"
            if "persistentVolumeClaim" in volume:
                volume["persistentVolumeClaim"]["claimName"] = f"{self._prefix}-data"
            if "configMap" in volume:
                volume["configMap"]["name"] = f"{self._prefix}-{volume['configMap']['name']}"
        return pod
