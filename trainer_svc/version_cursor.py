"""Where publishing stands: the lineage's head as acknowledged, and the one version that may be under way."""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import structs

from martlet.errors import Corrupt
from martlet.manifest import Manifest, canonical_json, encode_manifest, manifest_digest
from trainer_svc.journal import Acknowledged, Grafted, Offered, Overtaken, Readmitted, Refused, Rewound
from trainer_svc.publish_policy import Chain


class CursorState(msgspec.Struct):
    """See `VersionCursor`.

    Attributes:
        parent: digest that the next version names as its parent.
        sequence, published, version: of the last version that was acknowledged.
        number: publish attempts so far.
        head: the last acknowledged version, if it is the parent.
        flight: the version under way.
        flying: whether one is under way.
        recalled: a version was refused, so learning has to go back to the head.
        offered: {digest: the epoch whose suspect range it has learned again}, of versions on the structural road.
        untold: the registry may not know yet that learning has gone back, in this epoch.
        rebased: the next version must be a snapshot.
    """

    epoch: int = 0
    parent: str = ""
    sequence: int = 0
    number: int = 0
    published: str = ""
    version: int = 0
    refusals: int = 0
    examples: int = 0
    generation: int = -1
    rebased: bool = False
    flying: bool = False
    recalled: bool = False
    untold: bool = False
    offered: dict[str, int] = {}
    head: Manifest | None = None
    flight: Manifest | None = None


class VersionCursor:
    """Changes only by journalled entries. Not thread-safe."""

    def __init__(self) -> None:
        self.at = CursorState()

    @property
    def chain(self) -> Chain:
        """What stands behind the head's bases."""
        tables = self.at.head.tables if self.at.head else ()
        return Chain(
            length=max((len(table.deltas) for table in tables), default=0),
            chain_bytes=sum(delta.size for table in tables for delta in table.deltas),
            base_bytes=sum(table.base.size for table in tables),
        )

    def take_off(self, number: int, examples: int, generation: int) -> None:
        """A version is being made."""
        at = self.at
        if at.flying or number != at.number + 1:
            raise Corrupt(f"version {number} cannot follow {at.number}")
        at.number, at.examples, at.generation, at.flying = number, examples, generation, True

    def built(self, manifest: Manifest) -> None:
        """Its blobs are durable. A function of what was there at take-off, so it need not be journalled."""
        self.at.flight = manifest

    def acknowledged(self, entry: Acknowledged) -> None:
        """The registry has it."""
        at = self.at
        manifest = self._land(entry.number, entry.digest)
        at.head, at.parent, at.published, at.version = manifest, entry.digest, entry.digest, entry.version
        at.sequence, at.refusals, at.rebased = manifest.lineage.sequence, 0, False
        at.untold = False

    def refused(self, entry: Refused) -> None:
        """The registry did not admit it: learning goes back to the head, if there is one; the next one waits longer."""
        self._land(entry.number, entry.digest)
        at = self.at
        at.refusals += 1
        at.recalled = at.head is not None
        at.rebased = at.rebased or at.head is None

    def rebase(self) -> None:
        """The next version must be a snapshot."""
        self.at.rebased = True

    def offer(self, entry: Offered) -> None:
        """A version with a suspect range was taken on the structural road."""
        self.at.offered = {**self.at.offered, entry.digest: entry.epoch}

    @property
    def readmission(self) -> Readmitted | None:
        """What is due once such a version has become the head."""
        epoch = self.at.offered.get(self.at.parent)
        return None if epoch is None else Readmitted(epoch, self.at.parent)

    def readmitted(self, entry: Readmitted) -> None:
        """Its range is learned again."""
        self.at.offered = {digest: epoch for digest, epoch in self.at.offered.items() if epoch != entry.epoch}

    def overtaken(self, entry: Overtaken) -> None:
        """Another head, or another epoch: the next one is a snapshot on top of it."""
        self._land(entry.number, entry.digest)
        at = self.at
        at.epoch, at.parent, at.head, at.rebased = entry.epoch, entry.head_digest, None, True
        at.recalled = at.untold = False

    def grafted(self, entry: Grafted) -> None:
        """Another epoch; upon another's head the next one is a snapshot. Nothing may be under way.

        Raises:
            Corrupt: a version is.
        """
        at = self.at
        if at.flying:
            raise Corrupt(f"version {at.number} is under way, so the lineage cannot go on upon another head")
        at.epoch = entry.epoch
        if at.head is None or entry.head_digest != at.published:
            at.parent, at.head, at.rebased = entry.head_digest, None, True

    def begin_anew(self) -> None:
        """The state was another lineage's: nothing of this one is published yet."""
        self.at = CursorState()

    def rewound(self, entry: Rewound, restored: CursorState, examples: int) -> None:
        """Learning went back to a version; what is under way is given up. Attempts are counted on."""
        at = self.at
        self.at = structs.replace(
            restored,
            epoch=entry.epoch,
            number=at.number,
            refusals=at.refusals,
            examples=examples,
            untold=at.untold or not entry.refused,
            offered=at.offered,
        )

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """For a checkpoint; what is under way must have been built."""
        if self.at.flying and self.at.flight is None:
            raise AssertionError("a checkpoint waits until the version under way is built")
        return {"cursor": np.frombuffer(canonical_json(self.at), np.uint8)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self.at = msgspec.json.decode(state["cursor"].tobytes(), type=CursorState)

    def _land(self, number: int, digest: str) -> Manifest:
        manifest = self.at.flight
        if not self.at.flying or manifest is None or number != self.at.number:
            raise Corrupt(f"the journal ends version {number}, which is not under way")
        own = manifest_digest(encode_manifest(manifest))
        if own != digest:
            raise Corrupt(
                f"version {number} was {digest} and is {own} when made again: "
                "the code, the settings or the machine learn differently than before"
            )
        self.at.flying, self.at.flight = False, None
        return manifest
