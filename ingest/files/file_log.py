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
import pyarrow.compute as pc

from ingest.decode.framing import Lines, Text, split_lines, too_long, whole_documents
from ingest.decode.pipeline import Decoded, Decoder
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
from ingest.files.copies import logs_of
from ingest.files.fingerprint import FileChanged, IdentifiedFile, KnownFile, Shared
from ingest.files.known_logs import DigestCache, KnownLogs, recorded_text
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.reasons import FORM
from schemas.tables import INGESTED

THREADS = 2
_FORM = pa.array(sorted(FORM), pa.string())
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
    is_last: bool = False  # the text ends with it
    text_digest: str = ""  # of everything up to the end of the block
    marks: str = ""
    file_key: str = ""

    @property
    def end(self) -> int:
        """The offset after the block."""
        return self.start + (self.long.length if self.long else len(self.text))


class _Decoding(NamedTuple):
    """A block in decoding, and the position in the files after reading it."""

    fetched: Future[Fetched]
    position: int


class CountedBefore(Exception):
    """Lines of a file were read as another log. The message says so; nothing of the file is handed out."""

    def __init__(self, partition: Partition, why: str) -> None:
        super().__init__(why)
        self.partition = partition


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
        cache: DigestCache | None = None,
    ) -> None:
        """`known`: logs of all sources; those without a source are of this one."""
        self.problems: list[str] = []
        self.unreadable: set[Path] = set()  # the files with problems
        self.waiting: dict[str, int] = {}
        self.bytes_read = 0  # of the files on disk, up to the last polled batch
        self.bytes_total = 0
        self._final = final
        self._buffers = Buffers(block_bytes)
        self._cache = cache or DigestCache()
        self._keys: dict[Path, str] = {}  # of the files when they were opened
        self._stopped: set[Partition] = set()  # nothing more of them is handed out
        self._files: dict[Partition, IdentifiedFile] = {}
        for found in self._identified(files, known, source):
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
        while True:
            while len(self._pending) < _AHEAD_BLOCKS:
                self._pending.append(self._reader.submit(self._read_ahead))
            decoding = self._pending.popleft().result()
            if decoding is None:
                return None
            self.bytes_read = decoding.position
            try:
                fetched = decoding.fetched.result()
            except CountedBefore as exc:
                if exc.partition not in self._stopped:
                    self._problem(self._files[exc.partition].path, exc)
                    self._stopped.add(exc.partition)
                continue
            if fetched.partition not in self._stopped:
                return fetched

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

    def _identified(self, files: Sequence[Path], known: Sequence[KnownFile], source: str) -> list[IdentifiedFile]:
        """Each log with the file to read it from. Of several copies, the longest takes the place of the first."""
        own: list[KnownFile] = []
        others: list[KnownFile] = []
        for each in known:
            (own if each.source in ("", source) else others).append(each)
        logs = KnownLogs(own, others, self._cache)
        found, problems = logs_of(files, logs)
        for path, problem in problems:
            self._problem(path, problem)
        return found

    def _read_all(self) -> Iterator[_FileBlock]:
        for partition, file in self._files.items():
            if file.is_read:
                self._position += file.path.stat().st_size if file.path.exists() else 0
                continue
            try:
                blocks = self._read_one(partition, file, self._offsets[partition])
                yield from blocks if self._layout_prefix is None else self._with_layouts(blocks, self._layout_prefix)
            except (UnreadableFile, FileChanged) as exc:
                self._problem(file.path, exc)

    def _problem(self, path: Path, problem: Exception | str) -> None:
        self.problems.append(str(problem))
        self.unreadable.add(path)

    def _with_layouts(self, blocks: Iterator[_FileBlock], prefix: bytes) -> Iterator[_FileBlock]:
        """The blocks of one file, each with the last line before it that defines columns."""
        layout: bytes | None = None
        for place, block in enumerate(blocks):
            if not place and block.start:
                layout = last_line_before(self._files[block.partition].path, block.start, prefix)
            yield block._replace(layout=layout)
            layout = last_line(block.text, prefix) or layout

    def _read_one(self, partition: Partition, file: IdentifiedFile, start: int) -> Iterator[_FileBlock]:
        """The blocks of a file from an offset on, with the digests of its text."""
        recorded = recorded_text(file, start)
        key, inode = fingerprint.file_key(file.path), fingerprint.file_key(file.path, at_end=False)
        self._keys[file.path] = key
        for block in self._read_blocks(partition, file.path, start, recorded.update):
            if not block.long:
                recorded.update(block.text)
            self._cache.keep(partition.generation, inode, recorded.digest)
            is_read = block.is_last and fingerprint.file_key(file.path) == key
            yield block._replace(
                text_digest=recorded.digest.value(), marks=recorded.taken(), file_key=key if is_read else inode
            )

    def _read_blocks(
        self, partition: Partition, path: Path, start: int, passed: Callable[[bytes], None]
    ) -> Iterator[_FileBlock]:
        name = str(path)
        already = self._position
        with open_log(path) as text:
            before = fingerprint.skip(text, start, name)
            if (tail := self._tails.get((partition.generation, start))) and fingerprint.tail_sha256(before) != tail:
                raise FileChanged(fingerprint.changed(path))
            for piece in read_blocks(text, start, self._buffers, name, passed):
                self._position = already + packed_position(text)
                begins, block, cut = piece.start, piece.block, piece.cut
                fingerprint.check_unmoved(path, text, begins, before, block[: fingerprint.TAIL_BYTES])
                if long := piece.long:
                    if not long.ended and not self._is_at_rest(path):
                        self.waiting[name] = long.length
                        break
                    before = long.tail
                    yield _FileBlock(
                        partition, begins, b"", fingerprint.tail_sha256(before), long, is_last=not long.ended
                    )
                    continue
                if (span := piece.spanning) and cut:
                    before = (before + block[:cut][-fingerprint.TAIL_BYTES :])[-fingerprint.TAIL_BYTES :]
                    is_last = piece.at_end and cut == len(block)
                    tail = fingerprint.tail_sha256(before)
                    yield _FileBlock(partition, begins, block[:cut], tail, begins=span.begins, is_last=is_last)
                    begins, block, cut = begins + cut, block[cut:], 0
                half = bytes(block[cut:]) if piece.at_end else b""
                if half and self._is_whole(path, half):
                    cut = len(block)
                if cut:
                    before = (before + block[:cut][-fingerprint.TAIL_BYTES :])[-fingerprint.TAIL_BYTES :]
                    is_cut = bool(half) and cut == len(block) and not (self._final or is_complete_json(half))
                    is_last = piece.at_end and cut == len(block)
                    tail = fingerprint.tail_sha256(before)
                    yield _FileBlock(partition, begins, block[:cut], tail, cut=is_cut, is_last=is_last)
            self._position = already + path.stat().st_size

    def _is_whole(self, path: Path, line: bytes) -> bool:
        """Whether to read a last line without newline. Else it waits; in a log at rest an incomplete line is refused."""
        if self._is_at_rest(path) or is_complete_json(line):
            return True
        self.waiting[str(path)] = len(line)
        return False

    def _is_at_rest(self, path: Path) -> bool:
        """Whether nothing more will follow. A packed file that was written to while it was read is a copy in progress."""
        return self._final or (is_packed(path) and fingerprint.file_key(path) == self._keys[path])

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
        if file.shared is not None and block.start < file.shared.until:
            self._check_uncounted(block.partition, file.shared, decoded)
        partition, end = block.partition, block.end
        row = {"source": partition.source, "generation": partition.generation, "from_offset": block.start}
        row |= {"to_offset": end, "records": 1, "entries": decoded.events.num_rows + decoded.refused.num_rows}
        return Fetched(
            partition, block.start, end, decoded.events, decoded.refused,
            [Origin(partition.generation, block.start, end)], pa.Table.from_pylist([row], INGESTED.schema),
            block.tail_sha256, file.head_bytes, file.head_sha256, block.text_digest, block.marks, block.file_key,
        )  # fmt: skip

    def _check_uncounted(self, partition: Partition, shared: Shared, decoded: Decoded) -> None:
        """Raise CountedBefore if the text that another log also begins with has entries that would count twice."""
        for rows in decoded:
            ids = rows.filter(pc.less(rows["position"], shared.until)).select(["event_id"])
            if "reason" in rows.column_names:  # banners are refused for their form
                formless = pc.is_in(rows["reason"].cast(pa.string()), value_set=_FORM)
                ids = rows.filter(pc.and_(pc.less(rows["position"], shared.until), pc.invert(formless))).select(
                    ["event_id"]
                )
            derived = pc.starts_with(ids["event_id"].cast(pa.string()), "@").fill_null(fill_value=True)
            if ids.num_rows and (not shared.own or pc.any(derived).as_py()):
                raise CountedBefore(partition, shared.why)
