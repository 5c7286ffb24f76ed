"""The block reader: the text of a log file, plain or compressed, read in blocks from any offset of the text."""

import bz2
import gzip
import hashlib
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ingest.decode import documents
from ingest.decode.documents import Spanning
from ingest.decode.framing import Lines, Text, split_lines, too_long, whole_documents
from ingest.files.buffers import Buffers

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A statement takes 20 ms to start, whatever it reads. Blocks are large, so that this is little per line.
BLOCK_BYTES = 64 << 20
_TAIL_BYTES = 4096
_MAGICS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz"} | {b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)}
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte in 0x50-0x5f: a file may begin with a skippable frame
_READ_BYTES = 1 << 20
_NOTHING = memoryview(b"")


class UnreadableFile(Exception):
    """The file `name` cannot be read to its end. The message names the file, the problem and the remedy."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


class CutFile(UnreadableFile):
    """A packed file that ends too early. What it holds is sound: only its rest is missing."""


def open_log(path: Path) -> BinaryIO:
    """The decompressed text of `path`, to be closed by the caller. Raises UnreadableFile.

    Pipes and devices are refused: they cannot be read twice, and opening one may block for ever.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile(
                str(path), "not a regular file but a folder, pipe or device; write its content to a file first"
            )
        packing = packing_of(path)
        return path.open("rb") if packing is None else _OPENERS[packing](path)
    except OSError as exc:
        raise UnreadableFile(str(path), f"{exc.strerror}; check the path and its permissions") from exc


def read(text: BinaryIO, size: int, name: str) -> bytes:
    """Up to `size` bytes; fewer only at the end. Raises UnreadableFile for a damaged file, CutFile at the end of a cut one."""
    found = _read_behind(_NOTHING, text, _new_buffer(size), name)
    if found.cut is not None and not found.block:
        raise found.cut
    return bytes(found.block)


def seek(text: BinaryIO, offset: int, name: str) -> None:
    """Move to an offset of the text, or to its end if that comes first. Raises UnreadableFile."""
    with _damage_explained(text, name):
        text.seek(offset)


def _new_buffer(size: int) -> memoryview:
    return np.empty(size, np.uint8).data


class _Filled(NamedTuple):
    """The filled part of a block, whether the text ends there, and the problem if the file is cut there."""

    block: memoryview
    at_end: bool
    cut: CutFile | None = None


def _read_behind(begun: memoryview, text: BinaryIO, block: memoryview, name: str, *, line: bool = False) -> _Filled:
    """Fill `block` with `begun` and the bytes after it. With `line`, stops soon after the next newline."""
    filled = len(begun)
    block[:filled] = begun
    try:
        with _damage_explained(text, name):
            while filled < len(block):
                # A decompressor buffers twice as much as one read asks for. One read of it: a second may find the cut,
                # and what the first has given would be lost.
                part = block[filled : filled + _READ_BYTES]
                count = text.readinto1(part)  # type: ignore[attr-defined]
                filled += count
                if not count or (line and b"\n" in bytes(part[:count])):
                    return _Filled(block[:filled], not count)
    except CutFile as exc:
        return _Filled(block[:filled], at_end=False, cut=exc)
    return _Filled(block, at_end=False)


def _whole_lines(text: Text) -> int:
    """The offset after the last newline; 0 if there is none."""
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
        packing = next(name for name, kind in _OPENERS.items() if isinstance(text, kind))
        raise CutFile(name, f"the {packing} file ends too early; copy it again, then repeat the command") from exc
    except (zlib.error, gzip.BadGzipFile) as exc:
        raise UnreadableFile(name, f"damaged gzip ({exc}); copy it again, then repeat the command") from exc
    except (zstd.ZstdError, lzma.LZMAError) as exc:
        packing = "xz" if isinstance(exc, lzma.LZMAError) else "zstd"
        raise UnreadableFile(name, f"damaged {packing} ({exc}); copy it again, then repeat the command") from exc
    except OSError as exc:
        if isinstance(text, bz2.BZ2File) and exc.errno is None:
            raise UnreadableFile(name, f"damaged bzip2 ({exc}); copy it again, then repeat the command") from exc
        raise UnreadableFile(name, f"{exc.strerror or exc}; repair it, then repeat the command") from exc


class LongLine(NamedTuple):
    """A line that exceeds a document: its first and last bytes, its length, and whether it ends.

    `size` and `sha256` are those of the line without its line end.
    """

    head: bytes
    size: int
    sha256: str
    tail: bytes
    length: int
    ended: bool


class ReadBlock(NamedTuple):
    """A block of text from offset `start`, where a line begins. Whole lines end at `cut`; the next block begins there.

    With `spanning`, they are documents that span lines. For a line that exceeds a document (`long`), `block` is its beginning, and the next block begins after the line.
    """

    start: int
    block: memoryview
    cut: int
    at_end: bool
    long: LongLine | None = None
    spanning: Spanning | None = None


def read_blocks(
    text: BinaryIO, start: int, buffers: Buffers, name: str, passed: Callable[[bytes], None] = lambda _: None
) -> Generator[ReadBlock]:
    """The text from `start` to its end, in blocks of a buffer's size.

    A longer line gets a block of up to a document's size. A line that exceeds a document is given to `passed` piece by
    piece. Raises UnreadableFile for a damaged file. Of a cut one, the whole lines before the cut are given first.
    """
    rest, at_end = _NOTHING, False
    while not at_end:
        is_long = len(rest) >= buffers.size
        buffer = _new_buffer(documents.DOCUMENT_BYTES_MAX + 1) if is_long else buffers.acquire()
        block, at_end, damage = _read_behind(rest, text, buffer, name, line=is_long)
        span = documents.spanning(block)
        if span and not (span.end or at_end) and len(block) >= documents.DOCUMENT_BYTES_MAX:
            span = None  # it would not fit into memory
        cut = span.end if span else _whole_lines(block)
        if not span and (at_end or not cut):  # objects that touch, in a text without newlines
            cut += documents.whole_objects(block[cut:])
        yield ReadBlock(start, block, cut, at_end, spanning=span)
        if damage:
            raise damage
        start, rest = start + cut, block[cut:]
        if len(rest) > documents.DOCUMENT_BYTES_MAX and not at_end:
            begun = rest
            long, rest = _pass_over(text, begun, name, passed)
            at_end = not long.ended
            yield ReadBlock(start, begun, 0, at_end, long)
            start += long.length


def _pass_over(
    text: BinaryIO, begun: memoryview, name: str, passed: Callable[[bytes], None]
) -> tuple[LongLine, memoryview]:
    """Read to the end of a line that has `begun`, or of the text. Returns the line, and the bytes read after it."""
    digest, length, tail = hashlib.sha256(), 0, b""
    bare, size = digest.copy(), 0  # without the line end
    read_before = (bytes(begun[i : i + _READ_BYTES]) for i in range(0, len(begun), _READ_BYTES))
    for part in chain(read_before, iter(lambda: read(text, _READ_BYTES, name), b"")):
        line = part[: part.find(b"\n") + 1] or part
        if stripped := line.rstrip(b"\r\n"):
            digest.update(stripped)
            bare, size = digest.copy(), length + len(stripped)
        digest.update(line[len(stripped) :])
        passed(line)
        length += len(line)
        tail = (tail + line[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        if line.endswith(b"\n"):
            break
    ended = line.endswith(b"\n")
    found = LongLine(bytes(begun[:_TAIL_BYTES]), size, bare.hexdigest(), tail, length, ended)
    return found, memoryview(part)[len(line) :]


def packed_position(text: BinaryIO) -> int:
    """The position in the file itself, not in its text."""
    return int(getattr(text, "fileobj", text).tell())


def last_line(text: Text, prefix: bytes) -> bytes | None:
    """The last whole line of `text` that begins with `prefix`. `text` begins at the start of a line."""
    text = bytes(text)
    start = text.rfind(b"\n" + prefix) + 1
    if not start and not text.startswith(prefix):
        return None
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else len(text)]


def last_line_before(path: Path, offset: int, prefix: bytes) -> bytes | None:
    """The last line of a file before `offset` that begins with `prefix`. Raises UnreadableFile."""
    found = None
    with open_log(path) as text:
        for part in read_blocks(text, 0, Buffers(BLOCK_BYTES), str(path)):
            found = last_line(part.block[: min(part.cut, offset - part.start)], prefix) or found
            if part.start + part.cut >= offset:
                break
    return found


def frames(source: Path | BinaryIO) -> Generator[Lines]:
    """The lines of a file or stream from start to end, including a last line without newline."""
    if isinstance(source, Path):
        with open_log(source) as text:
            yield from _frames(text, str(source))
    else:
        yield from _frames(source, "standard input")


def _frames(text: BinaryIO, name: str) -> Generator[Lines]:
    for part in read_blocks(text, 0, Buffers(BLOCK_BYTES), name):
        start, block = part.start, part.block
        if long := part.long:
            yield too_long(long.head, long.size, long.sha256, start)
            continue
        if (span := part.spanning) and span.end:
            yield whole_documents(block[: part.cut], start, span.begins)
            start, block = start + part.cut, block[part.cut :]
        if end := len(block) if part.at_end else 0 if span else part.cut:
            yield split_lines(block[:end], start)


def is_packed(path: Path) -> bool:
    """Whether `path` is compressed. Such a file is at rest: nobody is still writing a line of it."""
    return packing_of(path) is not None


def packing_of(path: Path) -> str | None:
    """The compression of a file, by its first bytes; None if it is plain."""
    with path.open("rb") as file:
        magic = file.read(max(map(len, _MAGICS)))
    for begins, packing in _MAGICS.items():
        if magic.startswith(begins):
            return packing
    magic = magic[:4]
    return "zstd" if magic == _ZSTD_MAGIC or (magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5) else None  # noqa: PLR2004


class _OverFile:
    """A decompressor with the underlying file as `fileobj`, like GzipFile. Closes it."""

    def __init__(self, path: Path) -> None:
        self.fileobj = path.open("rb")
        super().__init__(self.fileobj)  # type: ignore[call-arg]  # that of the decompressor beside it

    def close(self) -> None:
        """Close the decompressor and the file."""
        super().close()  # type: ignore[misc]
        self.fileobj.close()


class _ZstdFile(_OverFile, zstd.ZstdFile):
    pass


class _Bzip2File(_OverFile, bz2.BZ2File):
    pass


class _XzFile(_OverFile, lzma.LZMAFile):
    pass


_OPENERS: dict[str, type] = {"gzip": gzip.GzipFile, "zstd": _ZstdFile, "bzip2": _Bzip2File, "xz": _XzFile}


def is_complete_json(line: bytes) -> bool:
    """Whether a line without newline is complete: a JSON object or array that closes, not longer than a document."""
    return len(line) <= documents.DOCUMENT_BYTES_MAX and line.lstrip()[:1] in {b"{", b"["} and _is_json(line)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:  # includes text that is not UTF-8
        return False
    except RecursionError:
        return False
    return True
