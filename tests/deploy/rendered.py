"""What an overlay comes out as, and how its objects refer to one another."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from tests.servers.process import program

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ("dev", "production")
WORKLOADS: Final = ("Deployment", "StatefulSet")

Document: TypeAlias = dict[str, Any]


@cache
def rendered(overlay: str) -> "Rendered":
    """An overlay by its name."""
    return Rendered(kustomized(KUBERNETES / "overlays" / overlay))


def kustomized(folder: Path) -> tuple[Document, ...]:
    """The documents that a kustomization comes out as."""
    command = [program("kubectl"), "kustomize", str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return tuple(yaml.safe_load_all(told.stdout))


@dataclass(frozen=True)
class Rendered:
    """All documents of an overlay."""

    documents: tuple[Document, ...]

    def of(self, *kinds: str) -> list[Document]:
        """The documents of some kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    def named(self, kind: str, name: str) -> Document:
        """The one of that kind and name."""
        (found,) = (document for document in self.of(kind) if document["metadata"]["name"] == name)
        return found

    def pods(self) -> dict[str, Document]:
        """Component → the pods that its workload makes, as template."""
        return {
            document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: document["spec"][
                "template"
            ]
            for document in self.of(*WORKLOADS)
        }

    def names(self, kind: str) -> set[str]:
        """What there is of a kind."""
        return {document["metadata"]["name"] for document in self.of(kind)}


def container(pod: Document) -> Document:
    """A pod's container: each has one."""
    (one,) = pod["spec"]["containers"]
    found: Document = one
    return found


def ports(pod: Document) -> dict[str, int]:
    """Name → number of a pod's ports."""
    return {port["name"]: port["containerPort"] for port in container(pod)["ports"]}


def environment(pod: Document, name: str = "pod-0") -> dict[str, str]:
    """What a pod of that name finds in its environment, as far as the manifest says it."""
    found = {}
    for one in container(pod).get("env", []):
        source = one.get("valueFrom", {})
        by_field = {"metadata.name": name}.get(source.get("fieldRef", {}).get("fieldPath"))
        found[one["name"]] = by_field if by_field is not None else one.get("value", "")
    return found


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects what bears these labels. The empty one selects everything."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(_holds(expression, labels) for expression in selector.get("matchExpressions", []))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if expression["operator"] != "In":
        raise NotImplementedError(expression["operator"])
    return labels.get(expression["key"]) in expression["values"]


def values_under(document: Any, key: str) -> Iterator[Any]:
    """Every value that stands under a key, however deep."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            yield from values_under(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from values_under(value, key)
