"""Versions to swap: a base, deltas that follow it, and the ways in which a version can be broken."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.serving.stage import Versions
from martlet.artifacts import FolderStore
from martlet.feature_spec import FeatureBlock
from martlet.learn import Model
from martlet.manifest import BlobRef, Manifest, encode_manifest
from martlet.table_blobs import decode_dense, encode_dense
from trainer_svc.made_up import made_up_batch, made_up_block

NOW_US: Final = 1_700_000_000_000_000
CHAIN: Final = 20  # a version is the base with up to so many deltas, as between two bases of a trainer
BATCHES_BETWEEN: Final = 3  # so that versions answer with plainly different scores


class Breakage(Enum):
    """How a version can be broken."""

    CORRUPT_BLOB = "corrupt blob"
    NAN_WEIGHTS = "NaN weights"
    WRONG_SIGNATURE = "wrong signature"
    BAD_GRAPH = "bad graph"


@dataclass(frozen=True, slots=True)
class Made:
    """A version ready to be aspired.

    Attributes:
        expected: the logit that the learner gives the probe's first row; None: it is broken.
    """

    number: int
    digest: str
    expected: float | None


class Swappable:
    """Makes versions with ascending numbers. `distinct` learned states are reused, each time as another version."""

    def __init__(self, versions: Versions, folder: Path, distinct: int) -> None:
        self._versions = versions
        self._store = FolderStore(folder / "artifacts")
        self._random = np.random.default_rng(11)
        self.probe = made_up_probe(versions.model)
        versions.learn()
        self._base = versions.snapshot()
        self._number = 0
        self._sound = list(self._learned(distinct))
        self._broken = [self._break(self._sound[0][0], breakage) for breakage in Breakage]

    def base(self) -> Made:
        """The version that the others follow."""
        return self._made(self._base, None)

    def sound(self) -> Made:
        """The next version."""
        manifest, expected = self._sound[self._number % len(self._sound)]
        return self._made(manifest, expected)

    def broken(self) -> Made:
        """A version that cannot be served."""
        return self._made(self._broken[self._number % len(self._broken)], None)

    def _made(self, manifest: Manifest, expected: float | None) -> Made:
        self._number += 1
        lineage = replace(manifest.lineage, sequence=self._number)
        digest = self._store.put_manifest(encode_manifest(replace(manifest, lineage=lineage)))
        return Made(self._number, digest, expected)

    def _learned(self, distinct: int) -> Iterator[tuple[Manifest, float]]:
        """Each learned state as a manifest, with its logit of the probe."""
        head, generation = self._base, self._versions.learner.generation
        for number in range(distinct):
            for _ in range(BATCHES_BETWEEN):
                batch = made_up_batch(self._versions.model.spec, self._random, 256)
                self._versions.learner.learn(batch, NOW_US)
            grown = self._versions.learner.generation != generation
            generation = self._versions.learner.generation
            head = self._versions.snapshot() if grown or number % CHAIN == CHAIN - 1 else self._versions.delta(head)
            yield head, float(self._versions.learner.predict(self.probe)[0])

    def _break(self, sound: Manifest, breakage: Breakage) -> Manifest:
        if breakage is Breakage.BAD_GRAPH:
            return replace(sound, graph=self._store.put(b"\x08\x0a this is no graph" * 9))
        if breakage is Breakage.WRONG_SIGNATURE:
            inputs = (replace(sound.signature.inputs[0], name="someone_else"), *sound.signature.inputs[1:])
            return replace(sound, signature=replace(sound.signature, inputs=inputs))
        weights = decode_dense(self._store.get(sound.dense))
        if breakage is Breakage.NAN_WEIGHTS:
            return replace(sound, dense=self._store.put(encode_dense({k: v * np.nan for k, v in weights.items()})))  # type: ignore[operator]
        return replace(sound, dense=self._damaged(encode_dense({k: v + 1 for k, v in weights.items()})))

    def _damaged(self, data: bytes) -> BlobRef:
        """A blob whose file does not hold what its digest says."""
        blob = self._store.put(data)
        path = self._store.blob_path(blob.digest)
        held = bytearray(path.read_bytes())
        held[-3] ^= 0x40
        path.write_bytes(held)
        return blob


def made_up_probe(model: Model) -> FeatureBlock:
    """One row that is asked for again and again."""
    return made_up_block(model.spec, np.random.default_rng(11), 1, 1)
