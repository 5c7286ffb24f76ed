"""Fingerprints: which log a file is, whatever its name, by the first bytes of its decompressed text.

A fingerprint is stored as the log's `generation`. Renaming, rotation, compression and growth keep it. The bytes before
the committed offset are compared, too, so that another file with the same beginning is never taken for it.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ingest.decode.framing import Text
from ingest.files.block_reader import is_packed, open_log, read, seek

HEAD_BYTES = 4096
TAIL_BYTES = 4096
_SKIP_BYTES = 8 << 20


class KnownFile(NamedTuple):
    """A file of which something was read, as recorded in the lake."""

    generation: str
    head_bytes: int
    head_sha256: str
    offset: int  # the next byte to read
    tail_sha256: str  # of the last TAIL_BYTES before `offset`


class IdentifiedFile(NamedTuple):
    """A file and its fingerprint."""

    path: Path
    generation: str
    head_bytes: int
    head_sha256: str


class FileChanged(Exception):
    """The file no longer has the content that was read from it. The message names the difference and the remedy."""


def identify(path: Path, known: Sequence[KnownFile]) -> IdentifiedFile:
    """The fingerprint of `path`: a known one, or a new one. Raises FileChanged, UnreadableFile.

    Longer beginnings are compared first, so that a log with a longer fingerprint than usual is found again.
    """
    for candidate in sorted(known, key=lambda k: -k.head_bytes):
        head = _head(path, candidate.head_bytes)
        if len(head) < candidate.head_bytes or _sha256(head) != candidate.head_sha256:
            continue
        size, tail = _tail(path, candidate.offset)
        if size < candidate.offset:
            raise FileChanged(
                f"{path} begins like a log that was read up to byte {candidate.offset}, but ends at byte {size}; "
                f"if it was truncated, restore the whole file; if it is another log, give it a --source of its own"
            )
        if _sha256(tail) == candidate.tail_sha256:
            return IdentifiedFile(path, candidate.generation, candidate.head_bytes, candidate.head_sha256)
        return _named_by(path, candidate.offset)
    return _named_by(path, HEAD_BYTES)


def distinguished(first: IdentifiedFile, second: IdentifiedFile) -> IdentifiedFile | None:
    """`second` with another fingerprint if only its beginning equals `first`; None if one is a prefix of the other."""
    size = min(text_bytes(first.path), text_bytes(second.path))
    if _tail(first.path, size)[1] == _tail(second.path, size)[1]:
        return None
    return _named_by(second.path, size)


def text_bytes(path: Path) -> int:
    """The length of the decompressed text."""
    return _tail(path, 1 << 62)[0]


def tail_sha256(text_before_offset: Text) -> str:
    """The `KnownFile.tail_sha256` of a text that ends at the offset."""
    return _sha256(text_before_offset[-TAIL_BYTES:])


def skip(text: BinaryIO, offset: int, name: str) -> bytes:
    """Move `text` to `offset`. Returns the TAIL_BYTES before it."""
    if not text.seekable():
        raise ValueError(f"{name} cannot be read from an offset")
    start = max(0, offset - TAIL_BYTES)
    seek(text, start, name)
    return read(text, offset - start, name)


def check_unmoved(path: Path, text: BinaryIO, start: int, before: bytes, after: Text) -> None:
    """Raise FileChanged if a plain file was truncated or rewritten since it was read.

    `before` ends at offset `start`; `after` begins there. Packed files are at rest and are not checked.
    """
    if is_packed(path):
        return
    expected = before or after[:TAIL_BYTES]
    if os.pread(text.fileno(), len(expected), start - len(before)) != expected:
        raise FileChanged(changed(path))


def changed(path: Path) -> str:
    """The message for a file that changed during a read."""
    return f"{path} was truncated or rewritten while it was read; its former content is read from its copy, if that is among the files"


def _named_by(path: Path, head_bytes: int) -> IdentifiedFile:
    """The fingerprint of the first `head_bytes`; of a shorter file, of its complete lines, if it has any."""
    head = _head(path, head_bytes)
    if len(head) < head_bytes:
        head = head[: head.rfind(b"\n") + 1] or head
    return IdentifiedFile(path, _sha256(head)[:24], len(head), _sha256(head))


def _head(path: Path, size: int) -> bytes:
    with open_log(path) as text:
        return read(text, size, str(path))


def _tail(path: Path, offset: int) -> tuple[int, bytes]:
    """The length of the text up to `offset`, and the TAIL_BYTES before that."""
    tail, size = b"", 0
    with open_log(path) as text:
        if path.stat().st_size >= offset and not is_packed(path):  # plain: no need to read the text before
            return offset, skip(text, offset, str(path))
        while size < offset and (piece := read(text, min(_SKIP_BYTES, offset - size), str(path))):
            size += len(piece)
            tail = (tail + piece)[-TAIL_BYTES:]
    return size, tail


def _sha256(data: Text) -> str:
    return hashlib.sha256(data).hexdigest()
