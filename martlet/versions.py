"""Versions as the registry sees them: the catalog's records, what is aspired, and what replicas report."""

from dataclasses import dataclass
from enum import IntEnum


class CatalogState(IntEnum):
    """A version's state in the catalog. The numbers are the wire's."""

    PENDING = 1
    REJECTED = 2
    ADMITTED = 3
    PINNED = 4
    RETIRED = 5
    ROLLED_BACK = 6
    QUARANTINED = 7
    EXPIRED = 8


class Role(IntEnum):
    """What an aspired version is to the rollout. The numbers are the wire's."""

    HEAD = 1
    PIN = 2
    CANDIDATE = 3
    CANARY = 4


class VersionState(IntEnum):
    """The life cycle of a servable version in a replica. The numbers are the wire's.

    LOADING → WARMING → READY → DRAINING → RETIRED; LOADING or WARMING → FAILED.
    """

    LOADING = 1
    WARMING = 2
    READY = 3
    DRAINING = 4
    RETIRED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One row of the catalog. `manifest` is empty where it was not asked for."""

    model: str
    version: int
    digest: str
    parent_digest: str
    epoch: int
    state: CatalogState
    reason: str
    kind: str
    published_time_us: int
    manifest: bytes = b""


@dataclass(frozen=True, slots=True)
class AspiredVersion:
    """One version that should be loaded. `weight` counts buckets of 10,000; a shadow scores but does not answer.

    `trace`: the trace context in which it was published, or "".
    """

    version: int
    digest: str
    role: Role
    weight: int
    shadow: bool = False
    trace: str = ""


@dataclass(frozen=True, slots=True)
class AspiredModel:
    """The full set of one model. Replicas keep the highest (epoch, revision) and ignore older ones."""

    model: str
    epoch: int
    revision: int
    salt: str
    versions: tuple[AspiredVersion, ...]

    def with_role(self, role: Role) -> AspiredVersion | None:
        """The first version in that role."""
        return next((version for version in self.versions if version.role is role), None)


@dataclass(frozen=True, slots=True)
class AspiredSet:
    """What the watched stream carries: every model's full set. The live lane is valid for `lease_ms` after receipt."""

    models: tuple[AspiredModel, ...]
    lease_ms: int


@dataclass(frozen=True, slots=True)
class LineageState:
    """Where a model's live lineage stands. Version 0 and digest "" mean none yet.

    Attributes:
        rewind: training has to go back to the pin and acknowledge it before anything is published.
        frozen: why nothing may be published until an operator says so, or "".
    """

    model: str
    epoch: int
    revision: int
    head_version: int
    head_digest: str
    pin_version: int
    pin_digest: str
    rewind: bool = False
    frozen: str = ""


@dataclass(frozen=True, slots=True)
class Expiry:
    """What expiring versions removed. `bytes`: of the artifacts that nothing needs any more."""

    versions: int = 0
    artifacts: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ServableStatus:
    """One version on one replica."""

    model: str
    version: int
    digest: str
    state: VersionState
    reason: str = ""
    requests: int = 0
    errors: int = 0
