"""Named tensors against a signature: pure. onnxruntime itself accepts more than it should."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.signature import ROW_OF_USER, Signature, TensorSpec
from serving_svc.tensor_types import BY_DTYPE, BY_NAME

Arrays = Mapping[str, npt.NDArray[np.generic]]


def check_inputs(signature: Signature, inputs: Arrays) -> int:
    """Checks names, dtypes and shapes, and that `row_of_user` points at user rows. A dimension's name has one size.

    Gives the request's rows: the largest first dimension of those that may be of any size, or 1.

    Raises:
        InvalidInput: names the tensor and the rule.
    """
    sizes: dict[str, int] = {}
    rows = 1
    for spec in signature.inputs:
        array = inputs.get(spec.name)
        if array is None:
            raise InvalidInput(f"input {spec.name!r} is missing")
        _check(spec, array, sizes)
        if spec.dims and isinstance(spec.dims[0], str) and array.shape[0] > rows:
            rows = array.shape[0]
    if len(inputs) > len(signature.inputs):
        known = [spec.name for spec in signature.inputs]
        unknown = next(name for name in inputs if name not in known)
        raise InvalidInput(f"input {unknown!r} is not known (known: {', '.join(known)})")
    _check_rows(inputs.get(ROW_OF_USER), sizes.get("r", 0))
    return rows


def check_outputs(signature: Signature, wanted: Sequence[str]) -> tuple[str, ...]:
    """The outputs to give: those wanted, in that order, or all.

    Raises:
        InvalidInput: names an output that there is not, or that is asked for twice.
    """
    known = tuple(spec.name for spec in signature.outputs)
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"output {name!r} is not known (known: {', '.join(known)})")
    if len(set(wanted)) < len(wanted):
        twice = next(name for i, name in enumerate(wanted) if name in wanted[:i])
        raise InvalidInput(f"output {twice!r} is asked for twice")
    return tuple(wanted) or known


def all_finite(outputs: Arrays) -> bool:
    """Whether every number is one."""
    return all(bool(np.isfinite(array).all()) for array in outputs.values() if array.dtype.kind == "f")


def first_not_finite(inputs: Arrays) -> str | None:
    """The first float input that holds an infinity; NaN means missing and is allowed."""
    for name, array in inputs.items():
        if array.dtype.kind == "f" and np.isinf(array).any():
            return name
    return None


def _check(spec: TensorSpec, array: npt.NDArray[np.generic], sizes: dict[str, int]) -> None:
    kind = BY_NAME[spec.dtype]
    if array.dtype != kind.dtype:
        given = BY_DTYPE[array.dtype].datatype if array.dtype in BY_DTYPE else array.dtype
        raise InvalidInput(f"input {spec.name!r} is {given}, expected {kind.datatype}")
    shape = array.shape
    if len(shape) != len(spec.dims):
        raise InvalidInput(f"input {spec.name!r} has {len(shape)} dimensions, expected {list(spec.dims)}")
    for dim, size in zip(spec.dims, shape, strict=True):
        expected = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
        if size != expected or size == 0:
            rule = f"{list(spec.dims)} with {dim} = {expected or '1…'}"
            raise InvalidInput(f"input {spec.name!r} has shape {list(shape)}, expected {rule}")


def _check_rows(row_of_user: npt.NDArray[np.generic] | None, users: int) -> None:
    if row_of_user is None or not users:
        return
    # Seen as unsigned, a negative number is larger than any: one pass looks for both.
    if int(row_of_user.astype(np.int64, copy=False).view(np.uint64).max()) >= users:
        raise InvalidInput(f"input {ROW_OF_USER!r} must hold numbers from 0 to {users - 1}")
