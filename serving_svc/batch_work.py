"""What a batch is made of: requests of one kind, put together for one run and taken apart after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from martlet.clock import Clock
from martlet.feature_encoding import concatenate
from martlet.feature_spec import FeatureBlock
from martlet.signature import ROW_OF_USER, Signature
from serving_svc.servable import Scores, Servable, Tensors

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

Inputs = Mapping[str, npt.NDArray[np.generic]]


class Work(Protocol[P_contra, R_co]):
    """How requests of one kind are run together. Hashable: equal ones may share a run."""

    def run(self, servable: Servable, parts: Sequence[P_contra]) -> Sequence[R_co]:
        """A result for each part, in order. Blocks; thread-safe.

        Raises:
            Exception: whatever the servable raised.
        """
        ...


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores feature blocks."""

    def run(self, servable: Servable, parts: Sequence[FeatureBlock]) -> Sequence[Scores]:
        """One run; whether all is finite is looked at once."""
        scores = servable.predict(concatenate(parts) if len(parts) > 1 else parts[0])
        if scores.finite:
            scores = replace(scores, known_finite=True)
        if len(parts) == 1:
            return (scores,)
        ends = np.cumsum([part.rows for part in parts]).tolist()
        return [scores.rows(start, end) for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True)
class TensorRun:
    """What came out for one request.

    Attributes:
        finite: whether every float is a number.
        begun, ended: when its run began and ended, in monotonic seconds; the run may have been others' too.
    """

    outputs: Tensors
    finite: bool
    begun: float
    ended: float


@dataclass(frozen=True, slots=True)
class TensorRuns:
    """Runs a graph on tensors that were checked against its signature; gives the named outputs."""

    outputs: tuple[str, ...]
    clock: Clock

    def run(self, servable: Servable, parts: Sequence[Inputs]) -> Sequence[TensorRun]:
        """One run where the signature's dimensions say how requests lie side by side, else one for each."""
        if len(parts) == 1 or not _joins(servable.signature, self.outputs):
            return [self._ran(servable, part) for part in parts]
        signature = servable.signature
        together = self._ran(servable, _joined(signature, parts))
        first = next(spec.name for spec in signature.inputs if spec.dims[0] == "n")
        ends = np.cumsum([part[first].shape[0] for part in parts]).tolist()
        return [_rows(together, start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def _ran(self, servable: Servable, inputs: Inputs) -> TensorRun:
        begun = self.clock.monotonic()
        outputs = servable.infer(inputs, self.outputs)
        return TensorRun(outputs, _all_finite(outputs), begun, self.clock.monotonic())


def _joins(signature: Signature, outputs: Sequence[str]) -> bool:
    """Whether requests lie side by side: inputs by user or item rows, outputs by item rows."""
    rows = {spec.name: spec.dims[:1] for spec in signature.outputs}
    return (
        all(spec.dims[:1] in (("r",), ("n",)) for spec in signature.inputs)
        and any(spec.dims[0] == "n" for spec in signature.inputs)
        and all(rows[name] == ("n",) for name in outputs)
    )


def _joined(signature: Signature, parts: Sequence[Inputs]) -> Inputs:
    joined: dict[str, npt.NDArray[np.generic]] = {
        spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in signature.inputs
    }
    of_user = next((spec.name for spec in signature.inputs if spec.dims[0] == "r"), None)
    if of_user is not None and ROW_OF_USER in joined:
        before = np.cumsum([0, *(part[of_user].shape[0] for part in parts[:-1])])
        shift = np.repeat(before, [part[ROW_OF_USER].shape[0] for part in parts])
        joined[ROW_OF_USER] = (joined[ROW_OF_USER] + shift).astype(joined[ROW_OF_USER].dtype)
    return joined


def _all_finite(outputs: Tensors) -> bool:
    """A NaN or an infinity is not lost in a sum."""
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    return all(np.isfinite(array.sum(dtype=np.float64)) for array in floats)


def _rows(together: TensorRun, start: int, end: int) -> TensorRun:
    outputs = {name: array[start:end] for name, array in together.outputs.items()}
    finite = together.finite or _all_finite(outputs)
    return TensorRun(outputs, finite, together.begun, together.ended)
