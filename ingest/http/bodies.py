"""Request bodies to lines: unpacked within bounds, one event per line, every byte at its position.

Positions matter: the id of an event without an id is derived from the byte at which its line began. So extra bytes are
overwritten, never removed. Pure.
"""

import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from ingest.decode.documents import BOM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EXPANDED_BYTES_MAX = 10 << 20
WINDOW_LOG_MAX = 23  # 8 MiB, the limit of RFC 9659 for zstd over HTTP
_STEP_BYTES = 1 << 20
_GZIP_BITS = 31  # gzip only, with its checksum
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")
_QUOTE, _BACKSLASH, _COMMA, _NEWLINE, _RETURN, _SPACE, _INVALID = b'"\\,\n\r \x1f'
# The structural characters of JSON, by byte.
_STRUCTURE = np.zeros(256, bool)
_STRUCTURE[np.frombuffer(b'"[]{},\n\r', np.uint8)] = True
_STEP = np.zeros(256, np.int64)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


class BodyShape(Enum):
    """What a body contains."""

    LINES = "log lines"
    EVENT = "one event as JSON"
    EVENTS = "a JSON array of events"


class MalformedBody(Exception):
    """The body does not have the claimed shape, or is not JSON where it must be. The message is for the sender."""


class BadEncoding(Exception):
    """The body is not compressed as its Content-Encoding says. The message is for the sender."""


class TooLarge(Exception):
    """The unpacked body exceeds the limit."""


class Unpacker:
    """Unpacks a body as its chunks arrive, up to EXPANDED_BYTES_MAX. One per request."""

    def __init__(self, encoding: str) -> None:
        """Raises BadEncoding for an unknown encoding."""
        known: dict[str, Callable[[], Any] | None] = {
            "identity": None,
            "gzip": lambda: zlib.decompressobj(_GZIP_BITS),
            "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}),
        }
        if encoding not in known:
            raise BadEncoding("Content-Encoding must be gzip, zstd or identity")
        self._make = known[encoding]
        self._stream: Any = None
        self._pieces: list[bytes] = []
        self._packed = 0
        self.size = 0

    def feed(self, data: bytes) -> int:
        """Add a chunk. Returns by how much the text has grown. Do not call it again after BadEncoding or TooLarge."""
        before = self.size
        self._packed += len(data)
        if self._packed > EXPANDED_BYTES_MAX:
            raise TooLarge
        more = bool(data)
        while more:
            room = min(_STEP_BYTES, EXPANDED_BYTES_MAX + 1 - self.size)
            if self._make is None:
                piece, data = data[:room], data[room:]
                more = bool(data)
            else:
                piece, data = self._unpacked(data, room)
                more = bool(data) or (
                    len(piece) == room and not self._stream.eof
                )  # more output may be ready although all input was consumed
            self.size += len(piece)
            if self.size > EXPANDED_BYTES_MAX:
                self._pieces.clear()
                raise TooLarge
            self._pieces.append(piece)
        return self.size - before

    def text(self) -> bytes:
        """The whole text. Raises BadEncoding if the end is missing."""
        if self._stream is not None and not self._stream.eof:
            raise BadEncoding("the compressed body ends too early")
        return b"".join(self._pieces)

    def _unpacked(self, data: bytes, room: int) -> tuple[bytes, bytes]:
        """Some output, and the input after the end of a compressed stream: several streams may follow one another."""
        assert self._make is not None
        if self._stream is None or self._stream.eof:
            self._stream = self._make()
        try:
            piece = self._stream.decompress(data, max_length=room)
        except (zlib.error, zstd.ZstdError) as exc:
            raise BadEncoding("the body is not compressed as its Content-Encoding says") from exc
        if self._stream.eof:
            return piece, self._stream.unused_data
        return piece, getattr(self._stream, "unconsumed_tail", b"")  # zstd keeps its rest internally


def lines_of(body: bytes, shape: BodyShape) -> bytes:
    """The body with each event on a line of its own, and a newline at the end. Raises MalformedBody.

    Of JSON, only the outer array is parsed: an element that is not an event becomes a line that is refused by itself.
    """
    if body.startswith(BOM):
        body = b"  \n" + body[len(BOM) :]
    if shape is BodyShape.LINES:
        return body if body.endswith(b"\n") else body + b"\n"
    return _json_lines(body, is_array=shape is BodyShape.EVENTS)


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The CloudEvents attributes of `ce-` headers. Raises MalformedBody if one is not percent-encoded UTF-8."""
    attributes = {}
    for name, value in headers.items():
        if name.startswith("ce-") and name != "ce-data" and _ATTRIBUTE.fullmatch(name[3:]):
            try:
                attributes[name[3:]] = unquote(value, errors="strict")
            except UnicodeDecodeError as exc:
                raise MalformedBody(f"the header {name} is not percent-encoded UTF-8") from exc
    return attributes


def event_of(attributes: Mapping[str, str], data: bytes) -> bytes:
    """A CloudEvent in binary mode as the same event in structured mode. Raises MalformedBody."""
    text = json.dumps(attributes)
    if not data.strip():
        return text.encode()
    try:
        json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise MalformedBody("the data of the event is not JSON") from exc
    return f'{text[:-1]}, "data": '.encode() + data + b"}"


def _json_lines(body: bytes, *, is_array: bool) -> bytes:
    """A newline before each event, where formats expect its first character, and nowhere else. Raises MalformedBody."""
    raw = np.frombuffer(body, np.uint8).copy()
    at = np.flatnonzero(_STRUCTURE[raw])
    kind = raw[at]
    quotes = kind == _QUOTE
    if b"\\" in body:
        quotes[quotes] = ~_escaped(raw, at[quotes])
    inside = (np.cumsum(quotes) & 1).astype(bool)  # in a string, or at its opening quote
    ends = (kind == _NEWLINE) | (kind == _RETURN)
    if ends.any():
        raw[at[ends & ~inside]] = _SPACE
        raw[at[ends & inside]] = _INVALID  # JSON forbids it in a string, and a space would repair the string
    if is_array:
        outside = ~inside & ~quotes & ~ends
        marks, begins = _elements(raw, at[outside], kind[outside])
        raw[marks] = _SPACE
    else:
        begins = np.array([len(body) - len(body.lstrip())])
    raw[begins[begins > 0] - 1] = _NEWLINE
    return raw.tobytes() + b"\n"


def _elements(
    raw: npt.NDArray[np.uint8], place: npt.NDArray[np.int64], kind: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The positions of the outer array's bracket and commas, and of its elements.

    Raises MalformedBody if there is no array, or an element is missing.
    """
    depth = np.cumsum(_STEP[kind])
    closed = np.flatnonzero(depth == 0)
    text = raw.tobytes()
    if not text.lstrip().startswith(b"[") or not len(closed) or text[place[closed[0]] + 1 :].strip():
        raise MalformedBody("the body is not a JSON array, or its brackets do not match")
    commas = place[(kind == _COMMA) & (depth == 1)]
    marks = np.concatenate([place[:1], commas, place[closed[:1]]])
    opened = np.append(place[_STEP[kind] > 0], len(raw))
    begins = opened[np.searchsorted(opened, marks[:-1], side="right")]  # an event begins with a bracket
    gap = begins - marks[:-1]
    usual = (begins < marks[1:]) & ((gap == 1) | ((gap == 2) & (raw[np.minimum(begins, len(raw)) - 1] == _SPACE)))  # noqa: PLR2004
    for i in np.flatnonzero(~usual):
        element = text[marks[i] + 1 : marks[i + 1]]
        begins[i] = marks[i + 1] - len(element.lstrip())
        if not element.strip() and len(commas):
            raise MalformedBody(f"the array has no element at index {i}")
    return marks, begins


def _escaped(raw: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which quotes follow an odd number of backslashes."""
    slashes = np.flatnonzero(raw == _BACKSLASH)
    if not len(slashes):
        return np.zeros(len(quotes), bool)
    first = np.concatenate([[True], np.diff(slashes) > 1])
    run_start = np.maximum.accumulate(np.where(first, slashes, 0))
    before = np.searchsorted(slashes, quotes) - 1
    follows = (before >= 0) & (slashes[np.maximum(before, 0)] == quotes - 1)
    length = quotes - run_start[np.maximum(before, 0)]
    odd: npt.NDArray[np.bool_] = follows & (length % 2 == 1)
    return odd
