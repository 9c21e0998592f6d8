"""Admission's policy: what a manifest must say before its version is served. Pure.

What its blobs hold is `blob_checks`' concern. A refusal is about the version itself and stands for ever; whether its
turn has come (compare-and-swap) is another question.
"""

import math
from dataclasses import dataclass
from typing import Final

from martlet.digest import is_digest
from martlet.errors import InvalidInput
from martlet.feature_encoding import is_signature_of
from martlet.feature_spec import FeatureSpec, check_features
from martlet.keys import text_id
from martlet.manifest import Manifest, TableManifest, VersionKind
from martlet.table_blobs import TABLE_DTYPES

MEAN_SHIFT: Final = "mean_abs_logit_shift"
LONGEST_NAME: Final = 200
MAX_NUMBER: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """Limits of admission.

    Attributes:
        max_mean_logit_shift: how far a version may move recent answers, in logits, on average.
    """

    max_mean_logit_shift: float


def check_address(manifest: Manifest) -> None:
    """What must hold for a version to be recorded at all, even as refused.

    Raises:
        InvalidInput: no usable model name, parent or epoch.
    """
    if not manifest.model.isprintable() or not 1 <= len(manifest.model) <= LONGEST_NAME:
        raise InvalidInput(f"model must be 1 to {LONGEST_NAME} printable characters")
    if manifest.lineage.parent and not is_digest(manifest.lineage.parent):
        raise InvalidInput(f"parent {manifest.lineage.parent[:LONGEST_NAME]!r} is not a digest")
    if not 0 <= manifest.lineage.epoch <= MAX_NUMBER:
        raise InvalidInput("epoch is not a number from 0 to 2**63 - 1")


def check_manifest(manifest: Manifest, parent: Manifest | None, policy: AdmissionPolicy) -> None:
    """Passes a manifest, or says why not.

    The parent's manifest is None if there is no parent, or if the catalog does not know it: then it cannot be the head,
    and compare-and-swap answers.

    Raises:
        InvalidInput: the manifest contradicts itself or its parent, or answers would move too far.
    """
    _check_spec(manifest.feature_spec)
    if not is_signature_of(manifest.feature_spec, manifest.signature):
        raise InvalidInput("the signature is not that of the feature spec")
    _check_tables(manifest)
    _check_metrics(manifest.metrics, policy)
    if manifest.kind is VersionKind.SNAPSHOT:
        _check_snapshot(manifest)
    elif not manifest.lineage.parent:
        raise InvalidInput("a delta needs a parent")
    elif parent is not None:
        _check_delta(manifest, parent)


def goes_on(manifest: Manifest, parent: Manifest | None) -> bool:
    """Whether a version goes on where its parent stood: same lineage, feature spec, model and settings.

    A lineage goes on from its own branches, whose names begin with its own and a slash; a branch is another lineage.
    A table may have grown, and the graph with it. A version without a known parent begins a lineage, or waits for
    compare-and-swap to say why not.
    """
    if parent is None:
        return True
    own, before = manifest.provenance, parent.provenance
    same = (own.model_ref, own.config_digest) == (before.model_ref, before.config_digest)
    lineage, came_from = manifest.lineage.lineage, parent.lineage.lineage
    related = lineage == came_from or came_from.startswith(f"{lineage}/")
    return same and related and manifest.feature_spec == parent.feature_spec


def specials_of(spec: FeatureSpec, width: int) -> int:
    """How many special rows a table of this width has: the zero row, and a default row for each of its features."""
    return 1 + sum(feature.is_id and feature.width == width for feature in spec.features)


def _check_spec(spec: FeatureSpec) -> None:
    check_features(spec)
    for text, value in spec.golden:
        if text_id(text) != value:
            raise InvalidInput(f"the feature spec hashes {text!r} to {value}, not to {text_id(text)}")


def _check_tables(manifest: Manifest) -> None:
    names, widths = [t.name for t in manifest.tables], [t.width for t in manifest.tables]
    if len(set(names)) < len(names) or len(set(widths)) < len(widths):
        raise InvalidInput("each table has a name and a width of its own")
    for table in manifest.tables:
        if table.dtype not in TABLE_DTYPES:
            raise InvalidInput(f"table {table.name!r}: rows of dtype {table.dtype!r} are not known here")
        if specials_of(manifest.feature_spec, table.width) == 1:
            raise InvalidInput(f"table {table.name!r}: the feature spec has no id feature of width {table.width}")


def _check_metrics(metrics: dict[str, float], policy: AdmissionPolicy) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise InvalidInput(f"metric {name!r} is not finite")
    shift, limit = metrics.get(MEAN_SHIFT, 0.0), policy.max_mean_logit_shift
    if not 0.0 <= shift <= limit:
        raise InvalidInput(f"answers would move by {shift:g} logits on average; the limit is {limit:g}")


def _check_snapshot(manifest: Manifest) -> None:
    for table in manifest.tables:
        if table.deltas:
            raise InvalidInput(f"table {table.name!r}: a snapshot has a new base, not a chain of deltas")


def _check_delta(manifest: Manifest, parent: Manifest) -> None:
    if (manifest.graph, manifest.feature_spec) != (parent.graph, parent.feature_spec):
        raise InvalidInput("a delta has its parent's graph and feature spec")
    if [table.name for table in manifest.tables] != [table.name for table in parent.tables]:
        raise InvalidInput("a delta has its parent's tables")
    for table, before in zip(manifest.tables, parent.tables, strict=True):
        _check_chain(table, before)


def _check_chain(table: TableManifest, before: TableManifest) -> None:
    if (table.base, table.buckets, table.width, table.dtype) != (
        before.base,
        before.buckets,
        before.width,
        before.dtype,
    ):
        raise InvalidInput(f"table {table.name!r}: a delta has its parent's base")
    known = len(before.deltas)
    if table.deltas[:known] != before.deltas or len(table.deltas) > known + 1:
        raise InvalidInput(f"table {table.name!r}: a delta extends its parent's chain by at most one")
