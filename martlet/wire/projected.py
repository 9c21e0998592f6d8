"""Prediction records whose features another spec laid out, read as this spec lays them out."""

from collections.abc import Mapping, Sequence

import numpy as np
from typing_extensions import override

from martlet.feature_projection import Projection, SideProjection
from martlet.feature_spec import FeatureSpec
from martlet.manifest import spec_digest
from martlet.wire.recorded import RecordedPrediction


class ProjectedPrediction(RecordedPrediction):
    """A record of another spec. Immutable; each part is laid out anew when it is read."""

    __slots__ = ("_projection", "_wanted")

    def __init__(self, payload: bytes, projections: Mapping[str, Projection], wanted: str) -> None:
        super().__init__(payload)
        self._projection = projections[super().spec_digest]
        self._wanted = wanted

    @property
    @override
    def spec_digest(self) -> str:
        """Digest of the spec that it is read by."""
        return self._wanted

    @property
    @override
    def user_ids(self) -> bytes:
        """Little-endian int64, one row."""
        return _ids(self._projection.user, super().user_ids, 1)

    @property
    @override
    def user_numbers(self) -> bytes:
        """Little-endian float32, one row."""
        return _numbers(self._projection.user, super().user_numbers, 1)

    @property
    @override
    def item_ids(self) -> bytes:
        """Little-endian int64, a row for each item."""
        return _ids(self._projection.item, super().item_ids, self.rows)

    @property
    @override
    def item_numbers(self) -> bytes:
        """Little-endian float32, a row for each item."""
        return _numbers(self._projection.item, super().item_numbers, self.rows)


class RecordReader:
    """Reads prediction records as one spec lays features out, whichever of some specs laid them out. Thread-safe.

    Args:
        spec: the one to read by.
        earlier: specs whose records can be read, too.
    """

    def __init__(self, spec: FeatureSpec, earlier: Sequence[FeatureSpec] = ()) -> None:
        self.digest = spec_digest(spec)
        known = {spec_digest(one): one for one in earlier}
        self._projections = {
            digest: Projection.between(one, spec) for digest, one in known.items() if digest != self.digest
        }

    def __call__(self, payload: bytes) -> RecordedPrediction:
        """A record; as it is if its spec is not known.

        Raises:
            Corrupt, InvalidInput: see `RecordedPrediction`.
        """
        read = RecordedPrediction(payload)
        if read.spec_digest not in self._projections:
            return read
        return ProjectedPrediction(payload, self._projections, self.digest)


def _ids(side: SideProjection, data: bytes, rows: int) -> bytes:
    given = np.frombuffer(data, "<i8")
    if given.shape[0] != rows * side.id_columns:
        return data  # it does not fit its own spec; the check of the record says so
    return side.of_ids(given.reshape(rows, side.id_columns)).astype("<i8").tobytes()


def _numbers(side: SideProjection, data: bytes, rows: int) -> bytes:
    given = np.frombuffer(data, "<f4")
    if given.shape[0] != rows * side.number_columns:
        return data
    return side.of_numbers(given.reshape(rows, side.number_columns)).astype("<f4").tobytes()
