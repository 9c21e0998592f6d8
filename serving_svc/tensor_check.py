"""Named tensors against a signature: pure. onnxruntime itself accepts more than it should."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.signature import ROW_OF_USER, Signature, TensorSpec


def check_inputs(signature: Signature, inputs: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Checks names, dtypes and shapes, and that `row_of_user` points at user rows. Gives n, the item rows.

    Raises:
        InvalidInput: names the tensor and the rule.
    """
    known = {spec.name: spec for spec in signature.inputs}
    for name in inputs:
        if name not in known:
            raise InvalidInput(f"input {name!r} is not known (known: {', '.join(known)})")
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        array = inputs.get(spec.name)
        if array is None:
            raise InvalidInput(f"input {spec.name!r} is missing")
        _check(spec, array, sizes)
    _check_rows(inputs.get(ROW_OF_USER), sizes.get("r", 0))
    return sizes.get("n", 0)


def check_outputs(signature: Signature, wanted: Sequence[str]) -> tuple[str, ...]:
    """The outputs to give: those wanted, or all.

    Raises:
        InvalidInput: names an output that there is not.
    """
    known = tuple(spec.name for spec in signature.outputs)
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"output {name!r} is not known (known: {', '.join(known)})")
    return tuple(wanted) or known


def first_not_finite(inputs: Mapping[str, npt.NDArray[np.generic]]) -> str | None:
    """The first float input that holds an infinity; NaN means missing and is allowed."""
    for name, array in inputs.items():
        if array.dtype.kind == "f" and np.isinf(array).any():
            return name
    return None


def _check(spec: TensorSpec, array: npt.NDArray[np.generic], sizes: dict[str, int]) -> None:
    if array.dtype != np.dtype(spec.dtype):
        raise InvalidInput(f"input {spec.name!r} is {array.dtype}, expected {spec.dtype}")
    if array.ndim != len(spec.dims):
        raise InvalidInput(f"input {spec.name!r} has {array.ndim} dimensions, expected {list(spec.dims)}")
    for dim, size in zip(spec.dims, array.shape, strict=True):
        expected = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
        if size != expected or size == 0:
            shape, dims = list(array.shape), list(spec.dims)
            raise InvalidInput(
                f"input {spec.name!r} has shape {shape}, expected {dims} with {dim} = {expected or '1…'}"
            )


def _check_rows(row_of_user: npt.NDArray[np.generic] | None, users: int) -> None:
    if row_of_user is None or not users:
        return
    rows = row_of_user.astype(np.int64, copy=False)
    if int(rows.min()) < 0 or int(rows.max()) >= users:
        raise InvalidInput(f"input {ROW_OF_USER!r} must hold numbers from 0 to {users - 1}")
