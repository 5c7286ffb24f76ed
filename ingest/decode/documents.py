"""JSON documents that exceed a line, split into records: arrays, CloudTrail and Azure files, OTLP, CloudWatch.

Also objects that touch on one line, as Firehose writes them to S3, and documents of several lines that are being written.

NumPy scans the bytes; only envelopes, whose keys come in any order, are parsed in addition. Each record becomes a line
at the byte where it begins in the document, so that derived ids are the same each time the document is read. A document
that is incomplete or of an unknown kind stays one line.
"""

import json
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BOM = b"\xef\xbb\xbf"
LINE_BYTES_MAX = 1 << 20
DOCUMENT_BYTES_MAX = 64 << 20  # a longer line is never held in memory as a whole
_OPEN = (ord("{"), ord("["))
_CLOSE = (ord("}"), ord("]"))
_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
# How documents begin, and the depth of brackets around a record.
_ARRAY = re.compile(rb"\s*\[")
_RECORDS = re.compile(rb'\s*\{\s*"[Rr]ecords"\s*:\s*\[')
_OTLP = re.compile(rb'\s*\{\s*"resourceLogs"\s*:\s*\[')
_ENVELOPE = re.compile(rb'\{"(?:messageType|owner)"')  # as in ingest/decode/formats/aws_apigw.sql
_RESOURCE = re.compile(rb'"resource"\s*:\s*$')
_OTLP_SENDER, _OTLP_RECORDS = 2, 5
# An object that begins where another ends. In a string, the quote would end it, and only punctuation could follow.
_TOUCHING = re.compile(rb'\}\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})')
_SLICE_BYTES = 1 << 18
_DEPTH_MAX = 100  # of an envelope, which needs 3; Python can always parse this depth
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # perhaps unpaired

I64 = npt.NDArray[np.int64]


class DocumentRecord(NamedTuple):
    """A record as a line without its newline, and the byte at which it begins in the document."""

    start: int
    text: bytes


class Spanning(NamedTuple):
    """Documents that each span lines, at the beginning of a text.

    `begins`: where each complete one begins. `end`: after the last of them and the space behind it. `is_open`: whether the text ends
    inside another.
    """

    begins: list[int]
    end: int
    is_open: bool


class _Brackets(NamedTuple):
    """Brackets outside strings, in order: position, whether it opens, depth before it; and positions of commas."""

    at: I64
    opens: npt.NDArray[np.bool_]
    depth: I64
    commas: I64


class _UnknownDocument(Exception):
    """The document differs from what its beginning announces. It is not split, so that nothing gets lost."""


def records(document: bytes) -> list[DocumentRecord]:
    """The records of a document; none if it is unknown, too long or incomplete. Line breaks become spaces."""
    if len(document) > DOCUMENT_BYTES_MAX:
        return []
    kind = next((k for k in (_ARRAY, _RECORDS, _OTLP, _ENVELOPE) if k.match(document)), None)
    if kind is None or (brackets := _brackets(document)) is None:
        return []
    try:
        if kind is _OTLP:
            return _otlp(document, brackets)
        if kind is _ENVELOPE:
            return _log_events(document, brackets)
        around = 0 if kind is _ARRAY else 1
        first = _inside(brackets, around, 0, len(document))[0]
        return [DocumentRecord(a, _flat(document[a:b])) for a, b in _items(document, brackets, around, *first)]
    except _UnknownDocument:
        return []


def spanning(text: bytes | memoryview) -> Spanning | None:
    """The documents of several lines at the beginning of `text`; None if it consists of lines.

    A text is never guessed to be a document: it is one, or the beginning of one, by every byte up to its last newline.
    """
    head = bytes(text[:LINE_BYTES_MAX])
    bare = head.removeprefix(BOM).lstrip()
    start = len(head) - len(bare)
    first, newline, _ = bare.partition(b"\n")
    if not newline or first[:1] not in {b"{", b"["} or _value_end(first.decode("latin-1"), 0) is not None:
        return None
    # In Latin-1 a character is a byte. Bytes that are not UTF-8 are left to whoever reads the document.
    whole = str(text, "latin-1")
    lines = whole[: whole.rindex("\n")].rstrip()
    begins: list[int] = []
    end = at = start
    while at < len(whole):
        if whole[at] not in "{[":
            return None
        following = _value_end(whole, at)
        if following is None:
            is_open = at >= len(lines) or _is_beginning(lines, at)
            return Spanning(begins, end, is_open=True) if is_open else None
        begins.append(at)
        end = at = _SPACE.match(whole, following).end()  # type: ignore[union-attr]  # it always matches
    return Spanning(begins, len(whole), is_open=False)


def _value_end(text: str, start: int) -> int | None:
    """The character after the JSON value at `start`; None if there is no complete value."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (json.JSONDecodeError, RecursionError):
        return None


def _is_beginning(text: str, start: int) -> bool:
    """Whether the text from `start` may become a JSON value: what is missing is missing at its end, not in a string."""
    try:
        _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as exc:
        return exc.pos >= len(text)
    except RecursionError:
        return False
    return False


def touching(text: bytes | memoryview) -> I64:
    """The offsets of objects that follow another without a byte between them, as far as their next bytes tell."""
    whole = np.frombuffer(text, np.uint8)
    found = [np.zeros(0, np.int64)]
    for i in range(0, len(whole), _SLICE_BYTES):  # slices that fit the cache
        piece = whole[i : i + _SLICE_BYTES + 1]
        found.append(np.flatnonzero((piece[:-1] == _CLOSE[0]) & (piece[1:] == _OPEN[0])) + i)
    at = np.concatenate(found)
    return np.array([i + 1 for i in at.tolist() if _TOUCHING.match(text, i)], np.int64)


def objects(line: bytes | memoryview) -> list[int]:
    """Where the second and later of several objects begin, if a line consists of objects that touch or have space between.

    The last may be incomplete.
    """
    whole = np.frombuffer(line, np.uint8)
    if not len(whole) or whole[0] != _OPEN[0]:
        return []
    opens, at = _outside_strings(whole)
    after = np.cumsum(np.where(opens, 1, -1))
    ends = np.flatnonzero((after[:-1] == 0) & ~opens[:-1] & opens[1:])  # brackets that close an object before another
    if not len(ends) or (after[: ends[-1] + 1] < 0).any():
        return []
    if (whole[at[ends]] != _CLOSE[0]).any() or (whole[at[ends + 1]] != _OPEN[0]).any():
        return []  # not objects alone
    return [int(at[i + 1]) for i in ends if not bytes(line[at[i] + 1 : at[i + 1]]).strip()]


def whole_objects(line: bytes | memoryview) -> int:
    """Where the last of several objects on one line begins; 0 if there is one."""
    begins = objects(line) if len(line) and line[0] == _OPEN[0] and len(touching(line)) else []
    return begins[-1] if begins else 0


def _inside(brackets: _Brackets, depth: int, start: int, end: int) -> list[tuple[int, int]]:
    """What opens at a depth between two bytes: start and end of each."""
    here = slice(*np.searchsorted(brackets.at, [start, end]))
    at, opens, open_before = brackets.at[here], brackets.opens[here], brackets.depth[here]
    begins = at[opens & (open_before == depth)]
    ends = at[~opens & (open_before == depth + 1)] + 1
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _items(document: bytes, brackets: _Brackets, depth: int, start: int, end: int) -> list[tuple[int, int]]:
    """The objects of the array between two bytes. Raises _UnknownDocument if the array has anything else."""
    items = _inside(brackets, depth + 1, start, end)
    commas = brackets.commas[slice(*np.searchsorted(brackets.commas, [start, end]))]
    next_bracket = np.searchsorted(brackets.at, commas)
    between = np.count_nonzero(brackets.depth[next_bracket] == depth + 1)
    if any(document[a] != _OPEN[0] for a, _ in items) or (items and between != len(items) - 1):
        raise _UnknownDocument
    if not items and document[start + 1 : end - 1].strip():
        raise _UnknownDocument
    return items


def _otlp(document: bytes, brackets: _Brackets) -> list[DocumentRecord]:
    """Each record together with its resource: the format reads both."""
    found = []
    for start, end in _inside(brackets, _OTLP_SENDER, 0, len(document)):
        parts = _inside(brackets, _OTLP_SENDER + 1, start, end)
        resource = next((document[a:b] for a, b in parts if _RESOURCE.search(document, max(start, a - 64), a)), b"{}")
        for a, b in _inside(brackets, _OTLP_RECORDS, start, end):
            if document[a] == _OPEN[1]:  # in a scope, only the list of records is an array
                for first, last in _items(document, brackets, _OTLP_RECORDS, a, b):
                    line = b'{"resourceLogs":[{"resource":%b,"scopeLogs":[{"logRecords":[%b]}]}]}'
                    found.append(DocumentRecord(first, _flat(line % (resource, document[first:last]))))
    return found


def _log_events(document: bytes, brackets: _Brackets) -> list[DocumentRecord]:
    """Each log event in an envelope of its own, which the format reads like an envelope with many."""
    if brackets.depth.max() > _DEPTH_MAX:
        raise _UnknownDocument
    fields = _fields(document)
    nested = [name for name, value in fields if isinstance(value, tuple | list)]
    if [name for name, _ in fields].count("logEvents") != 1 or "logEvents" not in nested:
        raise _UnknownDocument
    start, end = _inside(brackets, 1, 0, len(document))[nested.index("logEvents")]
    if document[start] != _OPEN[1]:
        raise _UnknownDocument
    kind = json.dumps(next((value for name, value in fields if name == "messageType"), None)).encode()
    line = b'{"messageType":%b,"logEvents":[%b]}'
    return [
        DocumentRecord(a, _flat(line % (kind, document[a:b]))) for a, b in _items(document, brackets, 1, start, end)
    ]


def _fields(document: bytes) -> tuple[tuple[str, Any], ...]:
    """The fields of an object in order; nested objects are tuples.

    Raises _UnknownDocument if DuckDB could not read the document.
    """
    try:
        fields: tuple[tuple[str, Any], ...] = json.loads(document.decode(), object_pairs_hook=tuple)
        if _SURROGATE.search(document):
            json.dumps(fields, ensure_ascii=False).encode()  # an unpaired surrogate cannot be encoded
    except ValueError as exc:
        raise _UnknownDocument from exc
    return fields


def _flat(text: bytes) -> bytes:
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def _brackets(document: bytes) -> _Brackets | None:
    """The brackets of a document; None unless it closes exactly at its end."""
    whole = np.frombuffer(document, np.uint8)
    quotes = _quotes(whole)
    if len(quotes) % 2:
        return None
    opens, at = _outside_strings(whole, quotes)
    steps = np.where(opens, 1, -1)
    after = np.cumsum(steps)
    if not len(at) or after[-1] != 0 or (after[:-1] <= 0).any() or document[at[-1] + 1 :].strip():
        return None
    commas = np.flatnonzero(whole == _COMMA)
    return _Brackets(at, opens, after - steps, commas[np.searchsorted(quotes, commas) % 2 == 0])


def _outside_strings(whole: npt.NDArray[np.uint8], quotes: I64 | None = None) -> tuple[npt.NDArray[np.bool_], I64]:
    """The brackets outside strings: whether each opens, and its offset."""
    opens = (whole == _OPEN[0]) | (whole == _OPEN[1])
    at = np.flatnonzero(opens | (whole == _CLOSE[0]) | (whole == _CLOSE[1]))
    # After an odd number of quotes: inside a string.
    at = at[np.searchsorted(_quotes(whole) if quotes is None else quotes, at) % 2 == 0]
    return opens[at], at


def _quotes(whole: npt.NDArray[np.uint8]) -> I64:
    """Quotes that begin or end a string: those without an odd number of backslashes before them."""
    quotes = np.flatnonzero(whole == _QUOTE)
    pending = quotes[(quotes > 0) & (whole[quotes - 1] == _BACKSLASH)]
    if not len(pending):
        return quotes
    length = np.zeros(len(pending), np.int64)
    running = np.arange(len(pending))
    while len(running):
        length[running] += 1
        before = pending[running] - length[running] - 1
        running = running[(before >= 0) & (whole[np.maximum(before, 0)] == _BACKSLASH)]
    return np.setdiff1d(quotes, pending[length % 2 == 1], assume_unique=True)
