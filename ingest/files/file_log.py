"""Log files as a log: a partition is a file with its fingerprint, an offset is a byte of the decompressed text.

Files are read in the given order, each to its end, in blocks that end after a line. One thread reads ahead, a few
decode, and batches are handed out in order: while the lake commits one batch, the next is decoded. A file that cannot
be read stops there and becomes a problem; the other files continue.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ingest.decode.framing import Lines, Text, split_lines, too_long, whole_documents
from ingest.decode.pipeline import Decoder
from ingest.files import fingerprint
from ingest.files.block_reader import (
    BLOCK_BYTES,
    LongLine,
    UnreadableFile,
    is_complete_json,
    is_packed,
    last_line,
    last_line_before,
    open_log,
    packed_position,
    read_blocks,
)
from ingest.files.buffers import Buffers
from ingest.files.fingerprint import FileChanged, IdentifiedFile, KnownFile
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import INGESTED

THREADS = 2
_AHEAD_BLOCKS = 5  # a decoded block takes a third of its text


class _FileBlock(NamedTuple):
    partition: Partition
    start: int
    text: Text
    tail_sha256: str
    long: LongLine | None = None  # if set, `text` is empty
    begins: Sequence[int] = ()  # of documents that span lines
    cut: bool = False  # ends inside a line that will not be completed
    layout: bytes | None = None  # the last line before the block that defines columns, if the format has such lines

    @property
    def end(self) -> int:
        """The offset after the block."""
        return self.start + (self.long.length if self.long else len(self.text))


class _Decoding(NamedTuple):
    """A block in decoding, and the position in the files after reading it."""

    fetched: Future[Fetched]
    position: int


class FileLog:
    """The log of one source in files. Not thread-safe.

    problems: one line for people per file that could not be read. waiting: file → bytes of an unfinished last line.
    """

    def __init__(
        self,
        files: Sequence[Path],
        source: str,
        known: Sequence[KnownFile],
        decoder: Callable[[], Decoder],
        *,
        final: bool = False,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.problems: list[str] = []
        self.unreadable: set[Path] = set()  # the files with problems
        self.waiting: dict[str, int] = {}
        self.bytes_read = 0  # of the files on disk, up to the last polled batch
        self.bytes_total = 0
        self._final = final
        self._buffers = Buffers(block_bytes)
        self._files: dict[Partition, IdentifiedFile] = {}
        for found in self._identified(files, known):
            # The lake keeps the name for people. Bytes that are not UTF-8 become escapes.
            name = os.fsencode(found.path).decode(errors="backslashreplace")
            self._files[Partition(source, found.generation, name)] = found
        self.bytes_total = sum(file.path.stat().st_size for file in self._files.values())
        self._offsets: dict[Partition, int] = {}
        self._tails = {(k.generation, k.offset): k.tail_sha256 for k in known}
        self._blocks = self._read_all()
        self._position = 0  # of the reading thread
        self._pending: deque[Future[_Decoding | None]] = deque()
        self._decoder = decoder
        self._idle_decoders = [decoder()]  # one per thread, created on demand
        prefix = self._idle_decoders[0].layout_prefix
        self._layout_prefix = None if prefix is None else prefix.encode()
        self._decoders = ThreadPoolExecutor(THREADS, "decode")
        self._reader = ThreadPoolExecutor(1, "read")
        self._undecoded = threading.Semaphore(THREADS)  # texts are large: no more than are being decoded

    def start(self, reader: LogReader) -> None:
        """Assign one partition per file, in reading order; each is read from the reader's offset."""
        for partition, offset in reader.assigned(list(self._files)).items():
            self._offsets[partition] = offset or 0

    def poll(self) -> Fetched | None:
        """The next block's entries; None when all files are read."""
        while len(self._pending) < _AHEAD_BLOCKS:
            self._pending.append(self._reader.submit(self._read_ahead))
        decoding = self._pending.popleft().result()
        if decoding is None:
            return None
        self.bytes_read = decoding.position
        return decoding.fetched.result()

    @property
    def partitions(self) -> dict[Partition, IdentifiedFile]:
        """The files by partition, as identified."""
        return dict(self._files)

    def close(self) -> None:
        """Stop the threads. Blocks decoded ahead are dropped."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._decoders.shutdown(wait=True, cancel_futures=True)

    def _read_ahead(self) -> _Decoding | None:
        """Read the next block and submit it for decoding; None if there is none."""
        self._undecoded.acquire()
        block = next(self._blocks, None)
        if block is None:
            self._undecoded.release()
            return None
        fetched = self._decoders.submit(self._decode, block)
        fetched.add_done_callback(lambda _: self._undecoded.release())
        return _Decoding(fetched, self._position)

    def _identified(self, files: Sequence[Path], known: Sequence[KnownFile]) -> Iterator[IdentifiedFile]:
        """Each file with its fingerprint. Of several copies of one log, the longest takes the place of the first."""
        found: dict[str, IdentifiedFile] = {}
        for path in files:
            try:
                new: IdentifiedFile | None = fingerprint.identify(path, known)
                if new and new.generation in found:
                    new = self._distinguished(found, new)
            except (UnreadableFile, FileChanged) as exc:
                self._problem(path, exc)
                continue
            if new and new.head_bytes:  # an empty file has no fingerprint yet
                found[new.generation] = new
        yield from found.values()

    def _distinguished(self, found: dict[str, IdentifiedFile], new: IdentifiedFile) -> IdentifiedFile | None:
        """`new` with a fingerprint of its own; None if it is a copy of a log in `found`, which keeps the longer copy."""
        other = found[new.generation]
        size = fingerprint.text_bytes(new.path)
        try:
            other_size = fingerprint.text_bytes(other.path)
        except UnreadableFile as exc:  # a damaged copy must not block an intact one
            self._problem(other.path, exc)
            found[new.generation] = new
            return None
        renamed = fingerprint.distinguished(other, new)
        if renamed is None and size > other_size:
            found[new.generation] = new
        return renamed

    def _read_all(self) -> Iterator[_FileBlock]:
        for partition, file in self._files.items():
            try:
                blocks = self._read_one(partition, file.path, self._offsets[partition])
                yield from blocks if self._layout_prefix is None else self._with_layouts(blocks, self._layout_prefix)
            except (UnreadableFile, FileChanged) as exc:
                self._problem(file.path, exc)

    def _problem(self, path: Path, exc: Exception) -> None:
        self.problems.append(str(exc))
        self.unreadable.add(path)

    def _with_layouts(self, blocks: Iterator[_FileBlock], prefix: bytes) -> Iterator[_FileBlock]:
        """The blocks of one file, each with the last line before it that defines columns."""
        layout: bytes | None = None
        for place, block in enumerate(blocks):
            if not place and block.start:
                layout = last_line_before(self._files[block.partition].path, block.start, prefix)
            yield block._replace(layout=layout)
            layout = last_line(block.text, prefix) or layout

    def _read_one(self, partition: Partition, path: Path, start: int) -> Iterator[_FileBlock]:
        name = str(path)
        already = self._position
        with open_log(path) as text:
            before = fingerprint.skip(text, start, name)
            if (tail := self._tails.get((partition.generation, start))) and fingerprint.tail_sha256(before) != tail:
                raise FileChanged(fingerprint.changed(path))
            for piece in read_blocks(text, start, self._buffers, name):
                self._position = already + packed_position(text)
                begins, block, cut = piece.start, piece.block, piece.cut
                fingerprint.check_unmoved(path, text, begins, before, block[: fingerprint.TAIL_BYTES])
                if long := piece.long:
                    if not long.ended and not self._is_at_rest(path):
                        self.waiting[name] = long.length
                        break
                    before = long.tail
                    yield _FileBlock(partition, begins, b"", fingerprint.tail_sha256(before), long)
                    continue
                if (span := piece.spanning) and cut:
                    before = (before + block[:cut][-fingerprint.TAIL_BYTES :])[-fingerprint.TAIL_BYTES :]
                    yield _FileBlock(
                        partition, begins, block[:cut], fingerprint.tail_sha256(before), begins=span.begins
                    )
                    begins, block, cut = begins + cut, block[cut:], 0
                half = bytes(block[cut:]) if piece.at_end else b""
                if half and self._is_whole(path, half):
                    cut = len(block)
                if cut:
                    before = (before + block[:cut][-fingerprint.TAIL_BYTES :])[-fingerprint.TAIL_BYTES :]
                    is_cut = bool(half) and cut == len(block) and not (self._final or is_complete_json(half))
                    yield _FileBlock(partition, begins, block[:cut], fingerprint.tail_sha256(before), cut=is_cut)
            self._position = already + path.stat().st_size

    def _is_whole(self, path: Path, line: bytes) -> bool:
        """Whether to read a last line without newline. Else it waits; in a log at rest an incomplete line is refused."""
        if self._is_at_rest(path) or is_complete_json(line):
            return True
        self.waiting[str(path)] = len(line)
        return False

    def _is_at_rest(self, path: Path) -> bool:
        return self._final or is_packed(path)

    def _decode(self, block: _FileBlock) -> Fetched:
        framed: Lines
        if block.long:
            framed = too_long(block.long.head, block.long.size, block.long.sha256, block.start)
        elif block.begins:
            framed = whole_documents(block.text, block.start, block.begins)
        else:
            framed = split_lines(block.text, block.start, is_cut=block.cut)
        try:
            decoder = self._idle_decoders.pop()
        except IndexError:
            decoder = self._decoder()
        try:
            layout = None if block.layout is None else block.layout.decode(errors="replace")
            decoded = decoder.decode(framed, block.partition.generation, layout=layout)
        finally:
            self._idle_decoders.append(decoder)
        file = self._files[block.partition]
        partition, end = block.partition, block.end
        row = {"source": partition.source, "generation": partition.generation, "from_offset": block.start}
        row |= {"to_offset": end, "records": 1, "entries": decoded.events.num_rows + decoded.refused.num_rows}
        return Fetched(
            partition, block.start, end, decoded.events, decoded.refused,
            [Origin(partition.generation, block.start, end)], pa.Table.from_pylist([row], INGESTED.schema),
            block.tail_sha256, file.head_bytes, file.head_sha256,
        )  # fmt: skip
