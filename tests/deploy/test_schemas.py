"""Everything that is rendered is what Kubernetes and the operators take, and a misspelt field is not."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.rendered import KUBERNETES, OVERLAYS, Document, kustomized, rendered
from tests.deploy.schema_check import faults


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_strictly_one_of_its_kind(overlay: str) -> None:
    assert [fault for document in rendered(overlay).documents for fault in faults(document)] == []


@pytest.mark.parametrize("component", sorted(path.name for path in (KUBERNETES / "components").iterdir()))
def test_a_component_renders_by_itself(component: str, tmp_path: Path) -> None:
    found = kustomized(_with_component(tmp_path, component))
    assert found
    assert [fault for document in found for fault in faults(document)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_misspelt_field_is_a_fault_wherever_it_stands(overlay: str) -> None:
    """Each field of each object's spec is misspelt once, down to the fourth level."""
    seen: set[tuple[str, ...]] = set()
    for document in rendered(overlay).documents:
        for path in _fields(document.get("spec", {}), 4):
            shape = (document["kind"], *(part for part in path if isinstance(part, str)))
            if shape in seen:
                continue
            seen.add(shape)
            assert faults(_misspelt(document, path)), f"{document['kind']}: {path}"
    assert len(seen) > 50


def _with_component(folder: Path, component: str) -> Path:
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "martlet",
        "components": [os.path.relpath(KUBERNETES / "components" / component, folder.resolve())],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return folder


def _fields(value: Any, depth: int) -> Iterator[tuple[str | int, ...]]:
    """Paths of the fields whose names a schema knows: not those of labels and the like."""
    if depth == 0:
        return
    if isinstance(value, dict):
        for name, under in value.items():
            yield (name,)
            if name not in {"matchLabels", "labels", "selector", "annotations", "requests", "limits"}:
                yield from ((name, *path) for path in _fields(under, depth - 1))
    elif isinstance(value, list) and value:
        yield from ((0, *path) for path in _fields(value[0], depth))


def _misspelt(document: Document, path: tuple[str | int, ...]) -> Document:
    spoilt = copy.deepcopy(document)
    place: Any = spoilt["spec"]
    for part in path[:-1]:
        place = place[part]
    place[f"{path[-1]}x"] = place.pop(path[-1])
    return spoilt
