"""Eight bytes of a text as one word, for kernels. The lowest byte comes first on every machine that Numba compiles for.

Nothing checks that the bytes lie inside the array: the caller must.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

_INDEX, _WORD, _BYTE = types.int64, types.uint64, types.uint8


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _word_pointer(context: Any, builder: Any, *place: Any) -> Any:
    return builder.bitcast(_pointer(context, builder, *place), context.get_value_type(_WORD).as_pointer())


@intrinsic
def byte(_: Any, array: Any, at: Any) -> Any:
    """The byte at an index. Unlike array indexing, a negative index does not count from the end."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args))

    return _BYTE(array, _INDEX), code


@intrinsic
def load(_: Any, array: Any, at: Any) -> Any:
    """The bytes [at, at + 8)."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_word_pointer(context, builder, signature.args[0], *args), align=1)

    return _WORD(array, _INDEX), code


@intrinsic
def store(_: Any, array: Any, at: Any, word: Any) -> Any:
    """Overwrite the bytes [at, at + 8) with a word."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _word_pointer(context, builder, signature.args[0], *args[:2]), align=1)
        return context.get_dummy_value()

    return types.void(array, _INDEX, _WORD), code


@intrinsic
def zeros_below(_: Any, word: Any) -> Any:
    """The number of zero bits below the lowest set bit of a word that is not 0."""

    def code(context: Any, builder: Any, _: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))  # noqa: FBT003

    return types.int64(_WORD), code
