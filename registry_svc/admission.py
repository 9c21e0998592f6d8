"""Admission: what a version must be before it is served. Reads blobs, changes nothing."""

import math
from dataclasses import dataclass

import numpy as np

from martlet.artifacts import ArtifactStore
from martlet.errors import Corrupt, InvalidInput
from martlet.feature_encoding import signature_of
from martlet.manifest import BlobRef, Manifest, TableManifest, VersionKind
from martlet.table_blobs import TableDelta, decode_base, decode_delta, decode_dense

SHIFT_METRIC = "mean_abs_logit_shift"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """Limits of admission. `max_mean_logit_shift`: how far a version may move recent answers, in logits, on average."""

    max_mean_logit_shift: float


class Admission:
    """Checks manifests against the artifact store. Not thread-safe.

    What was verified in a place is not read again for the same place; in another one it must pass anew.
    """

    def __init__(self, artifacts: ArtifactStore, policy: AdmissionPolicy) -> None:
        self._artifacts = artifacts
        self._policy = policy
        self._verified: set[tuple[object, BlobRef]] = set()

    def check(self, manifest: Manifest, parent: Manifest | None) -> None:
        """Passes a version, or says why not.

        Raises:
            Corrupt: a blob is damaged, not finite, or does not fit its place.
            NotFound: a blob is absent.
            InvalidInput: the manifest contradicts itself or its parent, or answers would move too far.
        """
        if manifest.signature != signature_of(manifest.feature_spec):
            raise InvalidInput("the signature is not that of the feature spec")
        if manifest.kind is VersionKind.DELTA:
            _check_lineage(manifest, parent)
        _check_shift(manifest, self._policy)
        self._verify(manifest.graph)
        self._check_dense(manifest.dense)
        for table in manifest.tables:
            self._check_table(table)

    def _verify(self, blob: BlobRef) -> None:
        if ("graph", blob) not in self._verified:
            self._artifacts.get(blob)
            self._verified.add(("graph", blob))

    def _check_dense(self, blob: BlobRef) -> None:
        if ("dense", blob) in self._verified:
            return
        for name, array in decode_dense(self._artifacts.get(blob)).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Corrupt(f"dense weight {name!r} is not finite")
        self._verified.add(("dense", blob))

    def _check_table(self, table: TableManifest) -> None:
        shape = (table.width, table.buckets)
        if (shape, table.base) not in self._verified:
            base = decode_base(self._artifacts.get(table.base), table.width, table.buckets)
            if not (np.isfinite(base.rows).all() and np.isfinite(base.special).all()):
                raise Corrupt(f"the base of table {table.name} is not finite")
            self._verified.add((shape, table.base))
        previous = table.base
        for sequence, blob in enumerate(table.deltas, start=1):
            place = (*shape, sequence, previous)
            if (place, blob) not in self._verified:
                delta = decode_delta(self._artifacts.get(blob), table.width, table.buckets)
                _check_delta(table, delta, sequence, previous)
                self._verified.add((place, blob))
            previous = blob


def _check_delta(table: TableManifest, delta: TableDelta, sequence: int, previous: BlobRef) -> None:
    if delta.sequence != sequence or delta.previous != previous.digest:
        raise Corrupt(f"table {table.name}: delta {delta.sequence} does not stand at place {sequence} of the chain")
    if not (np.isfinite(delta.rows).all() and np.isfinite(delta.special).all()):
        raise Corrupt(f"table {table.name}: delta {sequence} is not finite")


def _check_shift(manifest: Manifest, policy: AdmissionPolicy) -> None:
    shift = manifest.metrics.get(SHIFT_METRIC, 0.0)
    if not math.isfinite(shift) or shift > policy.max_mean_logit_shift:
        limit = policy.max_mean_logit_shift
        raise InvalidInput(f"answers would move by {shift:g} logits on average; the limit is {limit:g}")


def _check_lineage(manifest: Manifest, parent: Manifest | None) -> None:
    if parent is None:
        raise InvalidInput("a delta needs its parent in the catalog")
    if (manifest.graph, manifest.feature_spec) != (parent.graph, parent.feature_spec):
        raise InvalidInput("a delta has its parent's graph and feature spec")
    before = {table.name: table for table in parent.tables}
    if [table.name for table in manifest.tables] != list(before):
        raise InvalidInput("a delta has its parent's tables")
    for table in manifest.tables:
        old = before[table.name]
        same = (table.base, table.buckets, table.width) == (old.base, old.buckets, old.width)
        if not same or table.deltas[: len(old.deltas)] != old.deltas or len(table.deltas) > len(old.deltas) + 1:
            raise InvalidInput(f"table {table.name}: a delta extends its parent's chain by at most one")
