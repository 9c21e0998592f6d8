"""What a version's blobs must hold: present, whole, finite, of the right shape, in the right place of their chain."""

from dataclasses import dataclass, replace

import numpy as np

from martlet.allowed_operators import GraphRules, check_operators
from martlet.artifacts import ArtifactStore
from martlet.errors import Corrupt, NotFound, Unavailable
from martlet.manifest import BlobRef, Manifest, TableManifest
from martlet.table_blobs import Rows, decode_base, decode_delta, decode_dense
from martlet.table_chain import check_link, predecessor
from registry_svc.admission import specials_of


@dataclass(frozen=True, slots=True)
class Claim:
    """That a blob is fit for one place. The same blob in another place is another claim.

    Attributes:
        kind: graph, dense, base or delta.
        table, width, buckets, specials, dtype: where it belongs to, for a base or a delta.
        sequence, previous: a delta's place in its chain, from 1, and the digest before it.
    """

    kind: str
    blob: BlobRef
    table: str = ""
    width: int = 0
    buckets: int = 0
    specials: int = 0
    dtype: str = "float32"
    sequence: int = 0
    previous: str = ""


class BlobChecks:
    """Checks blobs against the artifact store. Thread-safe; blocks: a base of 1 GB takes seconds.

    What a model's last fit version claimed is not read again: a chain grows by a delta at a time.
    """

    def __init__(self, artifacts: ArtifactStore, graphs: GraphRules = GraphRules()) -> None:  # noqa: B008  frozen
        self._artifacts = artifacts
        self._graphs = graphs
        self._fit: dict[str, frozenset[Claim]] = {}

    def check(self, manifest: Manifest, parent: Manifest | None = None) -> None:
        """Passes a version's blobs, or says what is wrong with which.

        Raises:
            Corrupt: a blob is damaged, not finite, or does not fit its place.
            NotFound: a blob is absent.
            InvalidInput: a blob's name is no digest, or the graph holds what is not allowed.
            Unavailable: the store cannot be read, or has lost what the parent rests on too; this says nothing about the
                version.
        """
        inherited = frozenset(parent.blobs()) if parent is not None else frozenset[BlobRef]()
        claims = claims_of(manifest)
        known = self._fit.get(manifest.model, frozenset())
        for claim in claims:
            if claim not in known:
                self._check(claim, inherited)
        self._fit[manifest.model] = frozenset(claims)

    def _check(self, claim: Claim, inherited: frozenset[BlobRef]) -> None:
        try:
            data = self._artifacts.get(claim.blob)
        except NotFound as error:
            if claim.blob not in inherited:
                raise
            lost = f"the artifact store has lost blob {claim.blob.digest} of a version that is served"
            raise Unavailable(f"{lost}: put it back (martlet restore --artifacts BACKUP)") from error
        except OSError as error:
            raise Unavailable(f"the artifact store cannot be read: {error.strerror or error}") from error
        if claim.kind == "graph":
            check_operators(data, self._graphs)
        elif claim.kind == "dense":
            _check_dense(data)
        elif claim.kind == "base":
            _check_base(data, claim)
        elif claim.kind == "delta":
            _check_delta(data, claim)


def claims_of(manifest: Manifest) -> tuple[Claim, ...]:
    """All that a version claims of its blobs; the small and new ones first, so that a fault is found early."""
    tables = [(table, specials_of(manifest.feature_spec, table.width)) for table in manifest.tables]
    deltas = [claim for table, specials in tables for claim in reversed(_chain(table, specials))]
    bases = [Claim("base", t.base, t.name, t.width, t.buckets, specials, t.dtype) for t, specials in tables]
    return (Claim("dense", manifest.dense), *deltas, Claim("graph", manifest.graph), *bases)


def _chain(table: TableManifest, specials: int) -> list[Claim]:
    of_table = Claim("delta", table.base, table.name, table.width, table.buckets, specials, table.dtype)
    return [
        replace(of_table, blob=blob, sequence=position + 1, previous=predecessor(table, position).digest)
        for position, blob in enumerate(table.deltas)
    ]


def _check_dense(data: bytes) -> None:
    for name, array in decode_dense(data).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Corrupt(f"dense weight {name!r} is not finite")


def _check_base(data: bytes, claim: Claim) -> None:
    base = decode_base(data, claim.width, claim.buckets, claim.dtype)
    _check_rows(f"the base of table {claim.table!r}", base.rows, base.special, claim.specials)


def _check_delta(data: bytes, claim: Claim) -> None:
    delta = decode_delta(data, claim.width, claim.buckets, claim.dtype)
    check_link(delta, claim.table, claim.sequence, claim.previous)
    _check_rows(f"table {claim.table!r}: delta {claim.sequence}", delta.rows, delta.special, claim.specials)


def _check_rows(what: str, rows: Rows, special: Rows, specials: int) -> None:
    if special.shape[0] != specials:
        raise Corrupt(f"{what} has {special.shape[0]} special rows; the feature spec asks for {specials}")
    if not (np.isfinite(rows).all() and np.isfinite(special).all()):
        raise Corrupt(f"{what} is not finite")
