"""Log files that grow and rotate, as a log without end. Each `wake` reads what is new, like ingest.files.file_log.

The reader keeps the positions, in the lake, by fingerprint. Renames, truncating copies (copytruncate), compression and
crashes lose nothing and repeat nothing, as long as the rest of a rotated log is in a watched file.
"""

from collections.abc import Callable, Mapping, Sequence

from ingest.decode.pipeline import Decoder
from ingest.files.block_reader import BLOCK_BYTES
from ingest.files.file_log import THREADS, FileLog
from ingest.files.fingerprint import KnownFile, known_after
from ingest.files.known_logs import DigestCache
from ingest.files.watcher import FileWatcher, WatchedFiles
from schemas.log import Fetched, LogReader, Partition


class FollowLog:
    """The log of one source in files that are followed. Not thread-safe.

    problems: files that could not be read at two checks in a row, each reported once. The caller takes them from the
    list.
    """

    def __init__(
        self,
        find: Callable[[], WatchedFiles],
        source: str,
        known: Sequence[KnownFile],
        decoder: Callable[[], Decoder],
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.problems: list[str] = []
        self._watcher = FileWatcher(find)
        self._source = source
        self._known = {k.generation: k for k in known if k.source in ("", source)}
        self._others = [k for k in known if k.source not in ("", source)]
        self._cache = DigestCache()
        self._decoders = [decoder() for _ in range(THREADS)]
        self._block_bytes = block_bytes
        self._log: FileLog | None = None
        self._due = False
        self._partitions: dict[str, Partition] = {}  # generation → the reader's partition
        self._waiting: dict[str, int] = {}
        self._suspected: set[str] = set()
        self._reported: set[str] = set()

    @property
    def waiting(self) -> dict[str, int]:
        """Files that end inside a line, and the bytes of that line."""
        return dict(self._waiting)

    def start(self, reader: LogReader) -> None:
        """Nothing is read before `wake`."""
        self._reader = reader

    def wake(self) -> None:
        """Let the next poll check the files. Call between two steps of the reader."""
        self._due = True

    def poll(self) -> Fetched | None:
        """The next block's entries; None when everything found by the check is read."""
        if self._log is None:
            if not self._due:
                return None
            self._due = False
            self._begin_pass()
        if self._log is None:
            return None
        fetched = self._log.poll()
        if fetched is None:
            self._end_pass()
            return None
        name = fetched.partition.generation
        self._known[name] = known_after(fetched, self._known.get(name))
        return fetched

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """Forwarded to the reader for new and renamed files; the offsets of the others are known."""
        renamed = [p for p in partitions if p.generation in self._partitions and p != self._partitions[p.generation]]
        new = [p for p in partitions if p.generation not in self._partitions]
        if renamed:
            self._reader.revoked([self._partitions[p.generation] for p in renamed])
        offsets: dict[Partition, int | None] = {}
        if renamed or new:
            offsets |= self._reader.assigned([*renamed, *new])
            self._partitions |= {p.generation: p for p in [*renamed, *new]}
        for p in partitions:
            if p not in offsets:
                known = self._known.get(p.generation)  # None: only an unfinished line so far
                offsets[p] = known.offset if known else 0
        return offsets

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Files are never revoked."""
        raise AssertionError(partitions)

    def close(self) -> None:
        """Stop the threads. Blocks decoded ahead are dropped."""
        if self._log is not None:
            self._log.close()

    def _begin_pass(self) -> None:
        known = list(self._known.values())
        changed = self._watcher.changed(known)
        for path in changed:
            self._waiting.pop(str(path), None)
        if changed:
            decoders = iter(self._decoders)
            self._log = FileLog(
                changed,
                self._source,
                [*known, *self._others],
                lambda: next(decoders),
                block_bytes=self._block_bytes,
                cache=self._cache,
            )
            self._log.start(self)

    def _end_pass(self) -> None:
        """Everything found is read. A problem that may pass (a copy still being written) is reported the second time."""
        assert self._log is not None, "something was read"
        self._log.close()
        self._waiting |= self._log.waiting
        for path in self._log.unreadable:
            self._watcher.recheck(path)
        met = set(self._log.problems)
        self.problems += [problem for problem in self._log.problems if problem in self._suspected - self._reported]
        self._reported = (self._reported | (met & self._suspected)) & met
        self._suspected = met
        self._log = None
