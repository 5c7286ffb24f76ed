"""The text of a log file, whatever it is packed in: plain, gzip or zstd, read in blocks from any offset of the text."""

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ingest.decode import documents
from ingest.decode.framing import BOM, Lines, Text, split_lines, too_long, whole_document
from ingest.files.buffers import Buffers

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A statement takes 20 ms to begin, whatever it reads: blocks are large, so that this is little for each line.
BLOCK_BYTES = 64 << 20
_TAIL_BYTES = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte of 0x50 to 0x5f: a frame that holds no text may come first
_READ_BYTES = 1 << 20
_NOTHING = memoryview(b"")


class UnreadableFile(Exception):
    """The file cannot be read to its end. The message names file, place and remedy."""


def open_log(path: Path) -> BinaryIO:
    """The decompressed text of `path`, to be closed by the caller. Raises UnreadableFile.

    A pipe or device is refused: it cannot be read twice, and opening one may wait for ever.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile(
                f"{path}: this is no file but a folder, pipe or device; write its text to a file first"
            )
        if (packing := _packing(path)) == "zstd":
            return _ZstdFile(path)  # type: ignore[return-value]
        return gzip.GzipFile(path) if packing == "gzip" else path.open("rb")  # type: ignore[return-value]
    except OSError as exc:
        raise UnreadableFile(f"{path}: {exc.strerror}; check the path and its permissions") from exc


def read(text: BinaryIO, size: int, name: str) -> bytes:
    """Up to `size` bytes; fewer only at the end. Raises UnreadableFile for a file that is cut or damaged."""
    return bytes(_read_behind(_NOTHING, text, _room(size), name)[0])


def seek(text: BinaryIO, offset: int, name: str) -> None:
    """Move to an offset of the text, or to its end if that comes first. Raises UnreadableFile for a file that is cut or damaged."""
    with _damage_explained(text, name):
        text.seek(offset)


def _room(size: int) -> memoryview:
    return np.empty(size, np.uint8).data


def _read_behind(
    begun: memoryview, text: BinaryIO, block: memoryview, name: str, *, line: bool = False
) -> tuple[memoryview, bool]:
    """`begun` and what is read behind it until `block` is full, of a `line` little more than its rest; and whether the text ends there."""
    filled = len(begun)
    block[:filled] = begun
    with _damage_explained(text, name):
        while filled < len(block):
            # As much as is asked for of a packed file at once, its reader holds twice besides.
            part = block[filled : filled + _READ_BYTES]
            count = text.readinto(part)  # type: ignore[attr-defined]
            filled += count
            if not count or (line and b"\n" in bytes(part[:count])):
                return block[:filled], not count
    return block, False


def _whole_lines(text: Text) -> int:
    """The offset behind the last newline; 0 if there is none."""
    for end in range(len(text), 0, -_TAIL_BYTES):
        start = max(0, end - _TAIL_BYTES)
        if (cut := bytes(text[start:end]).rfind(b"\n") + 1) > 0:
            return start + cut
    return 0


@contextmanager
def _damage_explained(text: BinaryIO, name: str) -> Generator[None]:
    try:
        yield
    except EOFError as exc:
        packing = "zstd" if isinstance(text, zstd.ZstdFile) else "gzip"
        raise UnreadableFile(
            f"{name}: the {packing} file ends too early; copy it again, then repeat the command"
        ) from exc
    except (zlib.error, gzip.BadGzipFile) as exc:
        raise UnreadableFile(f"{name}: damaged gzip ({exc}); copy it again, then repeat the command") from exc
    except zstd.ZstdError as exc:
        raise UnreadableFile(f"{name}: damaged zstd ({exc}); copy it again, then repeat the command") from exc
    except OSError as exc:
        raise UnreadableFile(f"{name}: {exc.strerror or exc}; repair it, then repeat the command") from exc


class LongLine(NamedTuple):
    """A line that is too long to be held: how it begins, its length and hash without its end, its last bytes, all its bytes; whether it has an end."""

    head: bytes
    size: int
    sha256: str
    tail: bytes
    length: int
    ended: bool


class ReadBlock(NamedTuple):
    """Of a text from offset `start`, where a line begins: `block`, in which whole lines end at `cut`; what lies behind comes again.

    Of a line that is too long (`long`) `block` is the beginning, and nothing of it comes again.
    """

    start: int
    block: memoryview
    cut: int
    at_end: bool
    long: LongLine | None = None


def read_blocks(text: BinaryIO, start: int, buffers: Buffers, name: str) -> Generator[ReadBlock]:
    """A text, which was read to `start`, to its end, in blocks as large as a buffer; a longer line in one, up to the length of a document.

    Raises UnreadableFile for a file that is cut or damaged.
    """
    rest, at_end = _NOTHING, False
    while not at_end:
        is_long = len(rest) >= buffers.size
        room = _room(documents.DOCUMENT_BYTES_MAX + 1) if is_long else buffers.lend()
        block, at_end = _read_behind(rest, text, room, name, line=is_long)
        cut = _whole_lines(block)
        yield ReadBlock(start, block, cut, at_end)
        start, rest = start + cut, block[cut:]
        if len(rest) > documents.DOCUMENT_BYTES_MAX and not at_end:
            begun = rest
            long, rest = _pass_over(text, begun, name)
            at_end = not long.ended
            yield ReadBlock(start, begun, 0, at_end, long)
            start += long.length


def _pass_over(text: BinaryIO, begun: memoryview, name: str) -> tuple[LongLine, memoryview]:
    """Read on to the end of a line that has `begun`, or of the text; and what was read behind it."""
    digest, length, tail = hashlib.sha256(), 0, b""
    bare, size = digest.copy(), 0  # up to the last byte that is not of the line's end
    held = (bytes(begun[i : i + _READ_BYTES]) for i in range(0, len(begun), _READ_BYTES))
    for part in chain(held, iter(lambda: read(text, _READ_BYTES, name), b"")):
        line = part[: part.find(b"\n") + 1] or part
        if stripped := line.rstrip(b"\r\n"):
            digest.update(stripped)
            bare, size = digest.copy(), length + len(stripped)
        digest.update(line[len(stripped) :])
        length += len(line)
        tail = (tail + line[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        if line.endswith(b"\n"):
            break
    ended = line.endswith(b"\n")
    found = LongLine(bytes(begun[:_TAIL_BYTES]), size, bare.hexdigest(), tail, length, ended)
    return found, memoryview(part)[len(line) :]


def packed_position(text: BinaryIO) -> int:
    """How far the file itself, not its text, has been read."""
    return int(getattr(text, "fileobj", text).tell())


def last_line(text: Text, prefix: bytes) -> bytes | None:
    """The last whole line of `text`, which begins at the start of a line, that begins with `prefix`."""
    text = bytes(text)
    start = text.rfind(b"\n" + prefix) + 1
    if not start and not text.startswith(prefix):
        return None
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else len(text)]


def last_line_before(path: Path, offset: int, prefix: bytes) -> bytes | None:
    """The same of a file, before `offset`, where a line begins. Raises UnreadableFile."""
    found = None
    with open_log(path) as text:
        for piece in read_blocks(text, 0, Buffers(BLOCK_BYTES), str(path)):
            found = last_line(piece.block[: min(piece.cut, offset - piece.start)], prefix) or found
            if piece.start + piece.cut >= offset:
                break
    return found


def is_document(text: Text) -> bool:
    """Whether `text`, a file from its start to its end, is one JSON document written over several lines."""
    bare = bytes(text).removeprefix(BOM).lstrip()
    first, newline, rest = bare.partition(b"\n")
    if not bare.startswith((b"{", b"[")) or not newline or not rest.strip() or _is_json(first):
        return False
    return _is_json(bare)


def frames(source: Path | BinaryIO) -> Generator[Lines]:
    """The lines of a file or stream from its start to its end, the last one with or without a newline."""
    if isinstance(source, Path):
        with open_log(source) as text:
            yield from _frames(text, str(source))
    else:
        yield from _frames(source, "standard input")


def _frames(text: BinaryIO, name: str) -> Generator[Lines]:
    for piece in read_blocks(text, 0, Buffers(BLOCK_BYTES), name):
        start, block = piece.start, piece.block
        if long := piece.long:
            yield too_long(long.head, long.size, long.sha256, start)
        elif piece.at_end and not start and is_document(block):
            yield whole_document(block, 0)
        elif end := len(block) if piece.at_end else piece.cut:
            yield split_lines(block[:end], start)


def is_packed(path: Path) -> bool:
    """Whether `path` is gzip or zstd: such a file is at rest, no line of it is still being written."""
    return _packing(path) is not None


def _packing(path: Path) -> str | None:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if magic == _ZSTD_MAGIC or (magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5) else None  # noqa: PLR2004


class _ZstdFile(zstd.ZstdFile):
    """A zstd file that shows the file below it as `fileobj`, as GzipFile does, and closes it."""

    def __init__(self, path: Path) -> None:
        self.fileobj = path.open("rb")
        super().__init__(self.fileobj)

    def close(self) -> None:
        """Close the file."""
        super().close()
        self.fileobj.close()


def is_complete_json(line: bytes) -> bool:
    """Whether a line without newline is whole all the same: a JSON object or array that closes, and is not too long to be one."""
    return len(line) <= documents.DOCUMENT_BYTES_MAX and line.lstrip()[:1] in {b"{", b"["} and _is_json(line)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:  # includes text that is no UTF-8
        return False
    except RecursionError:
        return False
    return True
