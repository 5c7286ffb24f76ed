"""Eight bytes of a text at once, for compiled loops: a word, whose lowest byte is the first on every machine that Numba compiles for.

Nobody looks whether the bytes lie in the array: who asks has seen to that.
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
    """The byte at an index, which is not looked at as one from the end, as any array's would be."""

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
    """Makes them a word's."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _word_pointer(context, builder, signature.args[0], *args[:2]), align=1)
        return context.get_dummy_value()

    return types.void(array, _INDEX, _WORD), code


@intrinsic
def zeros_below(_: Any, word: Any) -> Any:
    """How many bits of a word other than 0 lie below its lowest 1."""

    def code(context: Any, builder: Any, _: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))  # noqa: FBT003

    return types.int64(_WORD), code
