"""What a version's blobs must hold: present, whole, finite, of the right shape, in the right place of their chain."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.artifacts import ArtifactStore
from martlet.errors import Corrupt, Unavailable
from martlet.manifest import BlobRef, Manifest, TableManifest
from martlet.table_blobs import decode_base, decode_delta, decode_dense
from registry_svc.admission import specials_of


@dataclass(frozen=True, slots=True)
class Claim:
    """That a blob is fit for one place. The same blob in another place is another claim.

    Attributes:
        kind: graph, dense, base or delta.
        table, width, buckets, specials: where it belongs to, for a base or a delta.
        sequence, previous: a delta's place in its chain, from 1, and the digest before it.
    """

    kind: str
    blob: BlobRef
    table: str = ""
    width: int = 0
    buckets: int = 0
    specials: int = 0
    sequence: int = 0
    previous: str = ""


class BlobChecks:
    """Checks blobs against the artifact store. Thread-safe; blocks: a base of 1 GB takes seconds.

    What a model's last fit version claimed is not read again: a chain grows by a delta at a time.
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._fit: dict[str, frozenset[Claim]] = {}

    def check(self, manifest: Manifest) -> None:
        """Passes a version's blobs, or says what is wrong with which.

        Raises:
            Corrupt: a blob is damaged, not finite, or does not fit its place.
            NotFound: a blob is absent.
            InvalidInput: a blob's name is no digest.
            Unavailable: the store cannot be read; this says nothing about the version.
        """
        claims = claims_of(manifest)
        known = self._fit.get(manifest.model, frozenset())
        for claim in claims:
            if claim not in known:
                self._check(claim)
        self._fit[manifest.model] = frozenset(claims)

    def _check(self, claim: Claim) -> None:
        try:
            data = self._artifacts.get(claim.blob)
        except OSError as error:
            raise Unavailable(f"the artifact store cannot be read: {error.strerror or error}") from error
        if claim.kind == "dense":
            _check_dense(data)
        elif claim.kind == "base":
            _check_base(data, claim)
        elif claim.kind == "delta":
            _check_delta(data, claim)


def claims_of(manifest: Manifest) -> tuple[Claim, ...]:
    """All that a version claims of its blobs; the small and new ones first, so that a fault is found early."""
    tables = [(table, specials_of(manifest.feature_spec, table.width)) for table in manifest.tables]
    deltas = [claim for table, specials in tables for claim in reversed(_chain(table, specials))]
    bases = [Claim("base", t.base, t.name, t.width, t.buckets, specials) for t, specials in tables]
    return (Claim("dense", manifest.dense), *deltas, Claim("graph", manifest.graph), *bases)


def _chain(table: TableManifest, specials: int) -> list[Claim]:
    before = (table.base, *table.deltas)
    return [
        Claim("delta", blob, table.name, table.width, table.buckets, specials, sequence, before[sequence - 1].digest)
        for sequence, blob in enumerate(table.deltas, start=1)
    ]


def _check_dense(data: bytes) -> None:
    for name, array in decode_dense(data).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Corrupt(f"dense weight {name!r} is not finite")


def _check_base(data: bytes, claim: Claim) -> None:
    base = decode_base(data, claim.width, claim.buckets)
    _check_rows(f"the base of table {claim.table!r}", base.rows, base.special, claim.specials)


def _check_delta(data: bytes, claim: Claim) -> None:
    what = f"table {claim.table!r}: delta {claim.sequence}"
    delta = decode_delta(data, claim.width, claim.buckets)
    if (delta.sequence, delta.previous) != (claim.sequence, claim.previous):
        raise Corrupt(f"{what} says that it is delta {delta.sequence} after {delta.previous}")
    _check_rows(what, delta.rows, delta.special, claim.specials)


def _check_rows(what: str, rows: npt.NDArray[np.float32], special: npt.NDArray[np.float32], specials: int) -> None:
    if special.shape[0] != specials:
        raise Corrupt(f"{what} has {special.shape[0]} special rows; the feature spec asks for {specials}")
    if not (np.isfinite(rows).all() and np.isfinite(special).all()):
        raise Corrupt(f"{what} is not finite")
