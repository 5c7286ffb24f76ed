"""Fingerprints: what is kept about a log, whatever its name, to find it again by the text of a file.

A log's `generation` is the hash of its first bytes. Renaming, rotation, compression and growth keep it. Digests of longer
beginnings (ingest.files.text_digest) decide whether a file holds a log that was read (ingest.files.known_logs).
"""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ingest.decode.framing import Text
from ingest.files.block_reader import is_packed, open_log, read, seek
from ingest.files.text_digest import HEAD_BYTES, Marks, TextDigest
from schemas.log import Fetched

TAIL_BYTES = 4096
_SKIP_BYTES = 8 << 20


class KnownFile(NamedTuple):
    """A file of which something was read, as recorded in the lake.

    Earlier versions did not record the fields from `text_digest` on.
    """

    generation: str
    head_bytes: int
    head_sha256: str
    offset: int  # the next byte to read
    tail_sha256: str  # of the last TAIL_BYTES before `offset`
    text_digest: str = ""  # of everything before `offset`
    marks: str = ""  # digests of shorter beginnings, encoded
    file_key: str = ""  # of the file when it was read last
    source: str = ""
    file: str = ""  # its name when it was read last, for people


class Shared(NamedTuple):
    """The beginning of a file that is also the beginning of another log: what to say if counting it would count twice.

    own: the other log is of the same source, so that entries with ids of their own are recognized as duplicates.
    """

    until: int  # offset in the text
    why: str
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedFile:
    """A file and the log that it holds.

    known: what was read of this log before. is_read: the file ends there. is_copy: it holds less than that.
    digest: of the text before the known offset, to be continued. marks: those in its head.
    """

    path: Path
    generation: str
    head_bytes: int
    head_sha256: str
    marks: Marks
    known: KnownFile | None = None
    digest: TextDigest | None = None
    is_read: bool = False
    is_copy: bool = False
    shared: Shared | None = None


class FileChanged(Exception):
    """The file cannot be read as a log of its own. The message names the difference and the remedy."""


def known_after(fetched: Fetched, before: KnownFile | None) -> KnownFile:
    """What is known of a log after these entries were taken."""
    marks = f"{before.marks if before else ''} {fetched.marks}".strip()
    return KnownFile(
        fetched.partition.generation,
        fetched.head_bytes,
        fetched.head_sha256,
        fetched.to_offset,
        fetched.tail_sha256,
        fetched.text_digest,
        marks,
        fetched.file_key,
        fetched.partition.source,
        fetched.partition.file,
    )


def file_key(path: Path, *, at_end: bool = True) -> str:
    """The inode of a file; `at_end`, when its text was read to its end, with the size and time that it had then.

    A file with the same key as one that was read to its end was not written to since. "" for a file that is not there.
    """
    try:
        now = path.stat()
    except OSError:
        return ""
    inode = f"{now.st_dev}:{now.st_ino}"
    return f"{inode}:{now.st_size}:{now.st_mtime_ns}" if at_end else inode


def is_whole_key(key: str) -> bool:
    """Whether a key is of a file that was read to its end."""
    return key.count(":") > 1


def is_same_inode(key: str, path: Path) -> bool:
    """Whether a key names the inode that is now at a path."""
    return bool(key) and key.split(":")[:2] == file_key(path, at_end=False).split(":")


def named_by(path: Path, taken: Collection[str], marks: Marks) -> IdentifiedFile:
    """A file with a generation of its own: the hash of its first HEAD_BYTES, or of as many as make it differ from `taken`.

    Of a shorter file, of its whole lines, if it has any.
    """
    size = HEAD_BYTES
    while len(head := head_of(path, size)) == size and sha256(head)[:24] in taken:
        size *= 2
    if len(head) < size:
        head = head[: head.rfind(b"\n") + 1] or head
    name = sha256(head)[:24]
    if name in taken:
        name = sha256(head + b"\0")[:24]
    return IdentifiedFile(path=path, generation=name, head_bytes=len(head), head_sha256=sha256(head), marks=marks)


def tail_sha256(text_before_offset: Text) -> str:
    """The `KnownFile.tail_sha256` of a text that ends at the offset."""
    return sha256(text_before_offset[-TAIL_BYTES:])


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


def tail(path: Path, offset: int) -> tuple[int, bytes]:
    """The length of the text up to `offset`, and the TAIL_BYTES before that."""
    found, size = b"", 0
    with open_log(path) as text:
        if path.stat().st_size >= offset and not is_packed(path):  # plain: no need to read the text before
            return offset, skip(text, offset, str(path))
        while size < offset and (piece := read(text, min(_SKIP_BYTES, offset - size), str(path))):
            size += len(piece)
            found = (found + piece)[-TAIL_BYTES:]
    return size, found


def head_of(path: Path, size: int) -> bytes:
    """The first `size` bytes of the text, or all of a shorter one."""
    with open_log(path) as text:
        return read(text, size, str(path))


def sha256(data: Text) -> str:
    """A hash as the lake stores it."""
    return hashlib.sha256(data).hexdigest()
