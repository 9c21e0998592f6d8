"""Asking for memory before it is read, so that the misses of many lookups overlap."""

from typing import Any, Final

from llvmlite import ir
from numba import types

from trainer_svc.table.compiling import instruction

# Keys asked for before the first of them is read. More would not be under way at once; fewer leave gaps.
AHEAD: Final = 64

_BYTE: Final = ir.IntType(8)
_INT32: Final = ir.IntType(32)
_FOR_READING: Final = 0
_KEEP_NEAR: Final = 3
_DATA: Final = 1


@instruction
def prefetch(_context: Any, array: Any, _index: Any) -> Any:
    """Asks for the first cache line of `array[index]`; never faults."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(struct.strides, 0)
        start = builder.bitcast(struct.data, _BYTE.as_pointer())
        address = builder.gep(start, [builder.mul(arguments[1], stride)])
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT32, _INT32, _INT32])
        call = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(call, [address, *(ir.Constant(_INT32, hint) for hint in (_FOR_READING, _KEEP_NEAR, _DATA))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
