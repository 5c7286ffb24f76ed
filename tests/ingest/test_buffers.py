"""Memory for texts is used again, and never while something refers to the text in it."""

import numpy as np
import pyarrow as pa

from ingest.files.buffers import Buffers


def address(buffer: memoryview) -> int:
    return np.frombuffer(buffer, np.uint8).ctypes.data


def test_one_that_is_left_is_lent_again() -> None:
    """With what was in it: it is not cleared."""
    buffers = Buffers(1 << 16)
    first = buffers.acquire()
    place = address(first)
    first[:3] = b"one"
    del first
    again = buffers.acquire()
    assert address(again) == place
    assert bytes(again[:3]) == b"one"
    assert len(again) == 1 << 16


def test_none_is_lent_twice() -> None:
    """Two that are in use at once are two."""
    buffers = Buffers(8)
    a, b = buffers.acquire(), buffers.acquire()
    a[:], b[:] = b"aaaaaaaa", b"bbbbbbbb"
    assert bytes(a) == b"aaaaaaaa"


def test_a_part_keeps_it() -> None:
    """The rest of a block, which the next one begins with."""
    buffers = Buffers(8)
    block = buffers.acquire()
    block[:] = b"one\ntwo\n"
    rest = block[4:]
    del block
    buffers.acquire()[:] = b"--------"
    assert bytes(rest) == b"two\n"


def test_an_array_over_it_keeps_it() -> None:
    """Lines lie in the text, in Arrow's memory as in NumPy's; also a slice of a table that was made of them."""
    buffers = Buffers(8)
    block = buffers.acquire()
    block[:] = b"one\ntwo\n"
    offsets = np.array([0, 4, 8], np.int32)
    lines = pa.StringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(block))
    table = pa.table({"line": lines}).slice(1)
    bare = np.frombuffer(block, np.uint8)[:3]
    del block, lines
    buffers.acquire()[:] = b"--------"
    assert table["line"].to_pylist() == ["two\n"]
    assert bare.tobytes() == b"one"
    del table
    buffers.acquire()[:] = b"--------"
    assert bare.tobytes() == b"one", "each of them keeps it"
