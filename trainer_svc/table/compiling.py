"""The one place where numba's untyped decorators are given types."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic, overload

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compiles a function of arrays and scalars; it runs without the GIL.

    x / 0 is infinite or NaN, as numpy has it: a check before each division would keep loops out of vector registers.
    """
    return cast("F", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function in terms of LLVM's instructions, for kernels only: they call it without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


def compiled_form(target: Callable[..., Any]) -> Callable[[F], F]:
    """Says what a plain function is in kernels: the decorated one picks it by the arguments' types."""

    def bind(choose: F) -> F:
        # Not strict: that would compare annotations, too.
        overload(target, jit_options={"nogil": True}, strict=False)(choose)
        return choose

    return bind
