"""Which versions expire, decided purely, and the hand that removes their artifacts.

An expired version keeps its record and its manifest in the catalog; its artifacts go, unless a version that stands
still needs them (a chain's base lives as long as the last delta that follows it).
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from martlet.artifacts import ClearableStore
from martlet.errors import Conflict, Corrupt, NotFound
from martlet.manifest import BlobRef, Manifest, decode_manifest
from martlet.versions import CatalogState, Expiry, VersionRecord
from registry_svc.catalog import PAGE, Catalog, above
from registry_svc.controller import Controller
from registry_svc.journal import LEGAL, Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane

logger = logging.getLogger(__name__)

EXPIRABLE: Final = frozenset(state for state, after in LEGAL.items() if CatalogState.EXPIRED in after)


@dataclass(frozen=True, slots=True)
class Order:
    """Versions of `model` below this number are to expire; who says so, and why; and the caller as verified."""

    model: str
    below: int
    who: str
    why: str
    caller: str = ""


def expirable(records: Iterable[VersionRecord], lane: Lane, below: int) -> tuple[int, ...]:
    """The versions below a number that can expire.

    Raises:
        Conflict: one below it is aspired, and so cannot.
    """
    aspired = sorted(version for version in lane.states() if version < below)
    if aspired:
        raise Conflict(f"version {aspired[0]} is {_role(lane, aspired[0])}: nothing below {below} can expire yet")
    return tuple(record.version for record in records if record.version < below and record.state in EXPIRABLE)


def kept_from(records: Sequence[VersionRecord], lane: Lane, kept: int) -> int:
    """The lowest version that stays when `kept` versions before the oldest aspired one do; `records` ascend.

    0 while fewer than a quarter more are there: versions expire in bundles, for each time all manifests are read.
    """
    oldest = min(lane.states(), default=0)
    before = [record.version for record in records if record.version < oldest and record.state in EXPIRABLE]
    return before[-kept] if len(before) > kept + kept // 4 else 0


def expired(lane: Lane, versions: Sequence[int], why: str, now_us: int) -> Decision:
    """The decision that these versions have expired. The lane stays as it is."""
    moves = tuple(Move(version, CatalogState.EXPIRED, why) for version in versions)
    detail = f"{len(versions)} versions up to {versions[-1]}: {why}"
    return Decision(DecisionKind.EXPIRED, detail, now_us, lane, moves=moves)


def unneeded(gone: Iterable[Manifest], standing: Iterable[Manifest]) -> list[BlobRef]:
    """The blobs of manifests that go which no manifest that stands names, each once."""
    needed = {blob for manifest in standing for blob in manifest.blobs()}
    return list(dict.fromkeys(blob for manifest in gone for blob in manifest.blobs() if blob not in needed))


class Retention:
    """Expires versions. Blocking; called from the catalog's thread."""

    def __init__(self, catalog: Catalog, artifacts: ClearableStore, controller: Controller) -> None:
        self._catalog = catalog
        self._artifacts = artifacts
        self._controller = controller

    def expire(self, order: Order) -> Expiry:
        """Writes the decision, then removes what nothing needs. Said again after a crash, it removes what was left.

        Raises:
            NotFound: no such model.
            Conflict: a version below the number is aspired.
        """
        lane = self._catalog.standing(order.model).lane
        if lane.pin == NOBODY:
            raise NotFound(f"no model {order.model!r}")
        records = self._records(order.model)
        versions = expirable(records, lane, order.below)
        if versions:
            self._controller.obey(
                order.model, order.who, lambda lane, now_us: _decided(records, lane, order, now_us), order.caller
            )
        removed = self._remove(order, frozenset(versions))
        logger.info("%s: %d versions expired, %d artifacts removed", order.model, len(versions), removed.artifacts)
        return removed

    def sweep(self, kept: int) -> None:
        """Expires what is older than `kept` versions before the oldest aspired one, of every model; 0 keeps all."""
        for lane in self._catalog.lanes() if kept else ():
            below = kept_from(self._summaries(lane.model), lane, kept)
            if below:
                self.expire(Order(lane.model, below, "registry", f"more than {kept} versions before the aspired ones"))

    def _remove(self, order: Order, now: frozenset[int]) -> Expiry:
        """Removes the artifacts of every expired version below the number, also of those that expired before."""
        records = self._records(order.model)
        gone = [one for one in records if one.state is CatalogState.EXPIRED and one.version < order.below]
        blobs = unneeded(_manifests(gone), _manifests(self._standing()))
        removed = [blob for blob in blobs if self._artifacts.delete(blob)]
        for record in gone:
            self._artifacts.delete_manifest(record.digest)
        return Expiry(len(now), len(removed), sum(blob.size for blob in removed))

    def _standing(self) -> list[VersionRecord]:
        """All versions of all models that have not expired: models may share a blob."""
        models = [lane.model for lane in self._catalog.lanes()]
        return [one for model in models for one in self._records(model) if one.state is not CatalogState.EXPIRED]

    def _summaries(self, model: str) -> list[VersionRecord]:
        return above(self._catalog, model, 0)

    def _records(self, model: str) -> list[VersionRecord]:
        """All versions with their manifests."""
        found: list[VersionRecord] = []
        while page := self._catalog.versions(model, found[-1].version if found else 0, PAGE, with_manifests=True):
            found += page
        return found


def _decided(records: Sequence[VersionRecord], lane: Lane, order: Order, now_us: int) -> Decision:
    return expired(lane, expirable(records, lane, order.below), order.why, now_us)


def _manifests(records: Iterable[VersionRecord]) -> list[Manifest]:
    """Their manifests; one that cannot be read was never served, and names nothing that could be needed."""
    found = []
    for record in records:
        try:
            found.append(decode_manifest(record.manifest))
        except Corrupt as error:
            logger.warning("%s version %d: %s", record.model, record.version, error)
    return found


def _role(lane: Lane, version: int) -> str:
    members = {"the pin": lane.pin, "the head": lane.head, "the candidate": lane.candidate}
    return next((name for name, member in members.items() if member.version == version), "on the structural road")
