"""Framing: bytes to lines, one Arrow string per line, without a Python object per line.

A line keeps its newline, so that Arrow refers to the bytes in place; formats and JSON ignore trailing white space.
Blank lines are dropped. Every other line comes out, whatever its bytes: as text, or as unreadable with a reason. A line
with bytes that are not UTF-8 is both: a character stands for each such byte, and the line is refused only if something
that is read holds one (ingest/decode/sql/normalise.sql).
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import documents, json_scan, statements
from ingest.decode.documents import BOM, LINE_BYTES_MAX
from kernels import compiled

Text = bytes | memoryview  # must not change after the split: lines refer to it
_SHOWN_BYTES = 4096
_NEWLINE, _SPACE = 10, 32
_SLICE_BYTES = 1 << 18
_DOCKER = '{"log":"'  # how a line of Docker's json-file driver begins
# What stands for a byte that is not UTF-8, plus the byte: private-use characters, which mean nothing to anybody. By the
# surrogate that Python has for it.
BAD_BYTES = 0x10FF00
_CHARACTERS = {0xDC00 + byte: BAD_BYTES + byte for byte in range(0x80, 0x100)}
# The byte order marks of UTF-16 and UTF-32. UTF-8 text never begins with them.
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

LINES = pa.schema([("position", pa.int64()), ("line", pa.string())])
UNREADABLE = pa.schema(
    [("position", pa.int64()), ("reason", pa.string()), ("detail", pa.string()), ("raw_sha256", pa.string())]
)


class Lines(NamedTuple):
    """`lines` as LINES, in order; `unreadable` as UNREADABLE, a subset of their positions.

    `lines` has a line that is not UTF-8 whole, with characters from BAD_BYTES in it, and the beginning of any other that
    is unreadable.
    """

    lines: pa.Table
    unreadable: pa.Table


def split_lines(text: Text, start: int, *, is_cut: bool = False, apart: bool = True) -> Lines:
    """The non-blank lines of `text`, whose first byte is at offset `start`. Byte order marks before lines are dropped.

    The last line may lack its newline. With `is_cut` such a line is unreadable: its rest will never come. With `apart`,
    JSON objects that touch on one line are a line each, and a line that Docker has wrapped is unwrapped.
    """
    lines = _split_lines(text, start, is_cut=is_cut, apart=apart)
    return _unwrapped(lines) if apart else lines


def _unwrapped(framed: Lines) -> Lines:
    """Lines without the record that Docker's json-file driver puts around each."""
    column = framed.lines["line"]
    is_wrapped = pc.starts_with(column, _DOCKER)
    if not pc.any(is_wrapped).as_py():
        return framed
    with statements.connect() as con:
        con.register("wrapped", pa.table({"line": column.filter(is_wrapped)}))
        inner = con.sql(statements.text("unwrapped")).to_arrow_table()["line"]
    whole = pc.replace_with_mask(column.combine_chunks(), is_wrapped.combine_chunks(), inner.combine_chunks())
    return Lines(framed.lines.set_column(1, "line", whole), framed.unreadable)


def _split_lines(text: Text, start: int, *, is_cut: bool, apart: bool) -> Lines:
    newlines, is_ascii = _newlines(text)
    ends = newlines + 1
    if len(text) and (not len(ends) or ends[-1] != len(text)):
        ends = np.append(ends, len(text))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    if not is_ascii and (marked := _marked(text, offsets[:-1])):
        return _split_lines(_without_marks(text, marked), start, is_cut=is_cut, apart=apart)
    if apart and len(begins := documents.touching(text)):
        offsets = np.union1d(offsets, _objects(text, offsets, begins))
    if (np.diff(offsets) > LINE_BYTES_MAX).any():
        return _readable(*_with_split_documents(text, offsets, start), is_cut=is_cut)
    return _readable(text, offsets, offsets[:-1] + start, is_cut=is_cut, is_ascii=is_ascii)


def _objects(text: Text, offsets: npt.NDArray[np.int64], begins: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The offsets of objects that begin within a line. `begins`: where that is possible."""
    found: list[int] = []
    for i in np.unique(np.searchsorted(offsets, begins, side="right") - 1).tolist():
        line = text[offsets[i] : offsets[i + 1]]
        found += [int(offsets[i]) + begin for begin in documents.objects(line)]
    return np.array(found, np.int64)


def _with_split_documents(
    text: Text, offsets: npt.NDArray[np.int64], start: int
) -> tuple[Text, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`text` with documents that exceed a line replaced by their records, one per line; its offsets and positions."""
    pieces, positions, done = [], [], 0
    for i in np.flatnonzero(np.diff(offsets) > LINE_BYTES_MAX):
        begin, end = int(offsets[i]), int(offsets[i + 1])
        if found := documents.records(bytes(text[begin:end])):
            pieces += [text[offsets[done] : begin], *(record.text + b"\n" for record in found)]
            positions += [offsets[done:i] + start, np.array([record.start for record in found]) + begin + start]
            done = int(i) + 1
    pieces.append(text[offsets[done] :])
    positions.append(offsets[done:-1] + start)
    unfolded = b"".join(pieces)
    ends = _newlines(unfolded)[0] + 1
    if not len(ends) or ends[-1] != len(unfolded):
        ends = np.append(ends, len(unfolded))
    return unfolded, np.concatenate([np.zeros(1, np.int64), ends]), np.concatenate(positions)


def too_long(head: bytes, size: int, sha256: str, position: int) -> Lines:
    """A line of which only the beginning is known."""
    shown = head.decode(errors="backslashreplace") + "\n"
    detail = f"{size} bytes, at most {LINE_BYTES_MAX}"
    row = {"position": position, "reason": "TOO_LARGE", "detail": detail, "raw_sha256": sha256}
    return Lines(
        pa.table([pa.array([position]), pa.array([shown])], schema=LINES), pa.Table.from_pylist([row], UNREADABLE)
    )


def _marked(text: Text, starts: npt.NDArray[np.int64]) -> list[int]:
    """The offsets of lines that begin with a byte order mark."""
    first = np.frombuffer(text, np.uint8)[starts]
    return [int(i) for i in starts[first == BOM[0]] if text[i : i + len(BOM)] == BOM]


def _without_marks(text: Text, marked: Sequence[int]) -> bytes:
    """`text` with byte order marks overwritten by newlines, so that no offset changes."""
    changed = bytearray(text)
    for i in marked:
        changed[i : i + len(BOM)] = b"\n" * len(BOM)
    return bytes(changed)


def whole_documents(text: Text, start: int, begins: Sequence[int]) -> Lines:
    """JSON documents that span lines, each as one line; `begins`: their offsets in `text`."""
    offsets = np.array([*begins, len(text)], np.int64) - begins[0]
    if len(begins) > 1 and (np.diff(offsets) <= LINE_BYTES_MAX).all():  # line breaks between tokens are spaces
        flat = bytes(text[begins[0] :]).replace(b"\r", b" ").replace(b"\n", b" ")
        return _readable(flat, offsets, offsets[:-1] + begins[0] + start)
    ends = [*begins[1:], len(text)]
    framed = [whole_document(text[a:b], start + a) for a, b in zip(begins, ends, strict=True)]
    lines, unreadable = zip(*framed, strict=True)
    return Lines(pa.concat_tables(lines), pa.concat_tables(unreadable))


def whole_document(text: Text, start: int) -> Lines:
    """A JSON document that spans several lines, as one line; as its records if it is too long for a line."""
    lead = len(text) - len(bytes(text).removeprefix(BOM).lstrip())
    offsets = np.array([0, len(text) - lead], np.int64)
    if offsets[1] > LINE_BYTES_MAX:
        return _readable(*_with_split_documents(text[lead:], offsets, start + lead))
    return _readable(text[lead:], offsets, offsets[:-1] + start + lead)


def _newlines(text: Text) -> tuple[npt.NDArray[np.int64], bool]:
    """Offsets of all newlines, and whether all bytes are known to be ASCII. Works in slices that fit the cache."""
    whole = np.frombuffer(text, np.uint8)
    whole.flags.writeable = False  # the kernel is compiled for read-only arrays
    find = json_scan.newlines if compiled.is_loaded() else _equal_newline
    found, are_ascii = [np.zeros(0, np.int64)], True
    for i in range(0, len(whole), _SLICE_BYTES):
        offsets, is_ascii = find(whole[i : i + _SLICE_BYTES])
        found.append(offsets + i)
        are_ascii &= is_ascii
    return np.concatenate(found), are_ascii


def _equal_newline(text: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], bool]:
    return np.flatnonzero(text == _NEWLINE), False


def _readable(
    text: Text,
    offsets: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    *,
    is_cut: bool = False,
    is_ascii: bool = False,
) -> Lines:
    array = pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets.astype(np.int32).tobytes()), pa.py_buffer(text)
    )
    lengths = np.diff(offsets)
    bad = np.flatnonzero(lengths > LINE_BYTES_MAX)
    if not (is_ascii or _is_utf8(array)):
        bad = np.union1d(bad, _not_utf8(text, offsets))
    half = len(offsets) - 2 if is_cut and bytes(text[offsets[-2] :]).strip() else None
    if half is not None:
        bad = np.union1d(bad, [half])
    table = pa.table({"position": pa.array(positions), "line": array}, schema=LINES)
    unreadable = UNREADABLE.empty_table()
    if len(bad):
        table, unreadable = _with_shortened(table, text, offsets, bad, half)
    blank = _blank(text, offsets, lengths)
    if blank.any():
        table = table.filter(pa.array(~blank))
    return Lines(table, unreadable)


def _blank(text: Text, offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which lines are white space only. Only lines that begin with white space are tested in Python."""
    blank: npt.NDArray[np.bool_] = lengths == 0
    if len(text):
        first = np.frombuffer(text, np.uint8)[np.minimum(offsets[:-1], len(text) - 1)]
        blank |= (lengths == 1) & (first == _NEWLINE)
        for i in np.flatnonzero((first <= _SPACE) & ~blank):
            blank[i] = not bytes(text[offsets[i] : offsets[i + 1]]).strip()
    return blank


def _is_utf8(array: pa.StringArray) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _not_utf8(text: Text, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which lines are not UTF-8. Only lines with a byte beyond ASCII are tested."""
    high = np.flatnonzero(np.frombuffer(text, np.uint8) >= 0x80)  # noqa: PLR2004
    candidates = np.unique(np.searchsorted(offsets, high, side="right") - 1)
    return np.array([i for i in candidates if not _decodes(bytes(text[offsets[i] : offsets[i + 1]]))], np.int64)


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unreadable_reason(raw: bytes, *, is_half: bool) -> tuple[str, str]:
    """Reason and detail of a line that never reaches a format."""
    if len(raw) > LINE_BYTES_MAX:
        return "TOO_LARGE", f"{len(raw)} bytes, at most {LINE_BYTES_MAX}"
    if is_half:
        return "PARTIAL_LINE", f"the log is at rest and ends inside a line, after {len(raw)} bytes of it"
    if raw.startswith(WIDE_BOMS):
        return "BAD_ENCODING", "the line is UTF-16 or UTF-32"
    return "BAD_UTF8", "the line is not UTF-8"


def _shown(raw: bytes, reason: str) -> str:
    """The text of an unreadable line, in `Lines.lines`."""
    if reason == "BAD_UTF8":
        return raw.decode(errors="surrogateescape").translate(_CHARACTERS)
    return raw[:_SHOWN_BYTES].decode(errors="backslashreplace")


def _with_shortened(
    table: pa.Table, text: Text, offsets: npt.NDArray[np.int64], bad: npt.NDArray[np.int64], half: int | None
) -> tuple[pa.Table, pa.Table]:
    """Replace each of the `bad` lines by readable text, and list them with reason and hash."""
    shown: list[str] = []
    rows = []
    for i in bad:
        raw = bytes(text[offsets[i] : offsets[i + 1]]).rstrip(b"\r\n")
        reason, detail = _unreadable_reason(raw, is_half=bool(i == half))
        shown.append(_shown(raw, reason) + "\n")
        rows.append(
            {
                "position": table["position"][int(i)].as_py(),
                "reason": reason,
                "detail": detail,
                "raw_sha256": hashlib.sha256(raw).hexdigest(),
            }
        )
    pieces, done = [], 0
    column = table["line"].combine_chunks()
    for i, line in zip(bad, shown, strict=True):
        pieces += [column.slice(done, int(i) - done), pa.array([line], pa.string())]
        done = int(i) + 1
    pieces.append(column.slice(done))
    lines = pa.concat_arrays(pieces)
    return pa.table([table["position"], lines], schema=LINES), pa.Table.from_pylist(rows, UNREADABLE)
