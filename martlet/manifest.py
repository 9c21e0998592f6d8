"""The manifest: what a version is. Immutable, addressed by the digest of its canonical JSON.

Format 1. A manifest names blobs by digest: the ONNX graph, the dense weights (safetensors), and for each embedding
table a base and an ordered chain of deltas. It says what was learned (event offsets), from which parent, by which code
and configuration, and how it did offline. Nothing in it depends on wall time, so the same learning gives the same
digest: a republished version is the same version.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from martlet.decoding import UNREADABLE
from martlet.digest import PREFIX
from martlet.errors import Corrupt
from martlet.feature_spec import FeatureSpec
from martlet.signature import Signature

MANIFEST_FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 4 << 20


class VersionKind(StrEnum):
    """A snapshot is a full export with new bases; a delta extends its parent's chains."""

    SNAPSHOT = "snapshot"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob in the artifact store: its tree digest and its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class TableManifest:
    """One embedding table of a version.

    Attributes:
        name: unique in the version; the graph's initializers bear it (see `martlet.table_blobs`).
        buckets: logical buckets.
        base: the base's blob.
        deltas: the chain's blobs, oldest first.
    """

    name: str
    width: int
    buckets: int
    dtype: str
    base: BlobRef
    deltas: tuple[BlobRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from.

    Attributes:
        lineage: names the chain of learning this version belongs to.
        parent: digest of the parent's manifest, or "" for the first.
        epoch: the registry's epoch in which it was learned.
        sequence: counts the publishes of the lineage, from 1.
    """

    lineage: str
    parent: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What a version has learned: for each partition the offset up to which events were consumed, and how many."""

    positions: dict[str, int]
    step: int
    examples: int
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Code and configuration that made a version."""

    martlet: str
    model_ref: str
    config_digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version. See the module's docstring."""

    model: str
    kind: VersionKind
    lineage: Lineage
    learned: Learned
    graph: BlobRef
    dense: BlobRef
    tables: tuple[TableManifest, ...]
    signature: Signature
    feature_spec: FeatureSpec
    provenance: Provenance
    calibration: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    format: int = MANIFEST_FORMAT

    def blobs(self) -> tuple[BlobRef, ...]:
        """Every blob the version needs, in the order in which a loader reads them."""
        tables = [blob for table in self.tables for blob in (table.base, *table.deltas)]
        return (self.graph, self.dense, *tables)


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's canonical JSON."""
    return canonical_json(manifest)


def manifest_digest(encoded: bytes) -> str:
    """The digest that addresses a manifest, of its canonical JSON."""
    return PREFIX + hashlib.sha256(b"martlet-manifest 1\n" + encoded).hexdigest()


def spec_digest(spec: FeatureSpec) -> str:
    """Names a feature spec in prediction records: the first 16 hex digits of SHA-256 of its canonical JSON."""
    return hashlib.sha256(canonical_json(spec)).hexdigest()[:16]


def decode_manifest(encoded: bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        Corrupt: too large, no JSON, another format, a field missing or of the wrong type, or not canonical.
    """
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise Corrupt(f"a manifest of {len(encoded)} bytes is over the limit of {MAX_MANIFEST_BYTES}")
    try:
        head = msgspec.json.decode(encoded, type=dict[str, object])
        if head.get("format") != MANIFEST_FORMAT:
            raise Corrupt(f"manifest format {head.get('format')!r} is not known here (known: {MANIFEST_FORMAT})")
        manifest = msgspec.json.decode(encoded, type=Manifest)
    except UNREADABLE as error:
        raise Corrupt(f"manifest: {error}") from error
    if encode_manifest(manifest) != encoded:
        raise Corrupt("the manifest's JSON is not canonical, or has unknown fields")
    return manifest
