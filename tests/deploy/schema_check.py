"""Whether an object is one of its kind, strictly: a field that there is not is an error, as a typing mistake should be.

Kubernetes' own kinds against its published schemas; the kinds of operators against `schemas/`, which hold the fields
that may be used here (their own definitions are far larger, and let unknown fields pass).
"""

import json
from functools import cache
from pathlib import Path
from typing import Final

import jsonschema
import kubernetes_validate

from tests.deploy.rendered import Document

VERSIONS: Final = ("1.32", "1.36")  # the oldest that is supported here, and a current one
SCHEMAS: Final = Path(__file__).parent / "schemas"


def faults(document: Document) -> list[str]:
    """What is wrong with it: empty when nothing is."""
    if _own_schema(document["kind"]) is not None:
        found = jsonschema.Draft202012Validator(_own_schema(document["kind"])).iter_errors(document)
        return [f"{error.json_path}: {error.message}" for error in found]
    return [fault for version in VERSIONS for fault in _faults_in(document, version)]


def _faults_in(document: Document, version: str) -> list[str]:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [f"Kubernetes {version}: {error}"]
    return []


@cache
def _own_schema(kind: str) -> dict[str, object] | None:
    path = SCHEMAS / f"{kind.lower()}.json"
    found: dict[str, object] | None = json.loads(path.read_text()) if path.exists() else None
    return found
