"""float16 in kernels, as bits (uint16): numba has no such type on processors.

Where the processor converts itself (F16C, or any 64-bit ARM) LLVM's instruction does it, several numbers at a time;
elsewhere integers do. Both round to nearest, ties to even, as numpy does; a NaN stays some NaN.
"""

import platform
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types

from trainer_svc.table.compiling import instruction, kernel

IN_HARDWARE: Final = bool(llvm.get_host_cpu_features().get("f16c")) or platform.machine() in {"aarch64", "arm64"}

_SIGN: Final = 0x8000
_INFINITE: Final = 0x7C00
_NO_NUMBER: Final = 0x1F  # the exponent of infinities and NaN
_QUIET: Final = 0x7E00
_FLOAT_INFINITE: Final = 0x7F800000
_LEAST_INFINITE: Final = 0x477FF000  # 65520, halfway from the largest float16 to what would come next
_LEAST_NORMAL: Final = 0x38800000  # 2**-14
_REBIAS: Final = 112  # what the exponents' biases differ by
_BITS_OF_HALF: Final = 0x3F000000  # 0.5, whose neighbours are 2**-24 apart: adding it rounds to a subnormal


@instruction
def widened_by_processor(_context: Any, _bits: Any) -> Any:
    """The float32 of a float16's bits."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@instruction
def narrowed_by_processor(_context: Any, _value: Any) -> Any:
    """The bits of the float16 nearest to a float32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), generate


@instruction
def _float_of(_context: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@instruction
def _bits_of(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@kernel
def widened_by_integers(bits: int) -> float:
    """The float32 of a float16's bits."""
    exponent, fraction = (bits >> 10) & 0x1F, bits & 0x3FF
    if exponent == 0:
        size = _bits_of(np.float32(fraction) * np.float32(2.0**-24))
    elif exponent == _NO_NUMBER:
        size = np.uint32(_FLOAT_INFINITE | fraction << 13)
    else:
        size = np.uint32((exponent + _REBIAS) << 23 | fraction << 13)
    return float(_float_of(np.uint32(size | (bits & _SIGN) << 16)))


@kernel
def narrowed_by_integers(value: float) -> int:
    """The bits of the float16 nearest to a float32."""
    bits = np.int64(_bits_of(np.float32(value)))
    sign, size = (bits >> 16) & _SIGN, bits & 0x7FFFFFFF
    if size > _FLOAT_INFINITE:
        return int(sign | _QUIET)
    if size >= _LEAST_INFINITE:
        return int(sign | _INFINITE)
    if size < _LEAST_NORMAL:
        return int(sign | (np.int64(_bits_of(_float_of(np.uint32(size)) + np.float32(0.5))) - _BITS_OF_HALF))
    odd = (size >> 13) & 1
    return int(sign | ((size - (_REBIAS << 23) + 0xFFF + odd) >> 13))


widened: Final = widened_by_processor if IN_HARDWARE else widened_by_integers
narrowed: Final = narrowed_by_processor if IN_HARDWARE else narrowed_by_integers
