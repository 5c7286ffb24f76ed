"""Log files that grow and are rotated, as a log without an end. Told to look, it reads what is new, like ingest.files.file_log.

Positions are the reader's: in the lake, by generation. So a rename, a copy that is cut (copytruncate), packing and a death at any
moment lose nothing and repeat nothing, as long as the rest of a rotated log lies in a file that is looked at.
"""

from collections.abc import Callable, Mapping, Sequence

from ingest.decode.pipeline import Decoder
from ingest.files.block_reader import BLOCK_BYTES
from ingest.files.file_log import THREADS, FileLog
from ingest.files.fingerprint import KnownFile
from ingest.files.watcher import FileWatcher, WatchedFiles
from schemas.log import Fetched, Partition, Reader


class FollowLog:
    """The log of one source in files that are followed. Not for use by several threads.

    problems: what could not be read at two looks in a row, each told once; to be taken by whoever shows them.
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
        self._watch = FileWatcher(find)
        self._source = source
        self._known = {k.generation: k for k in known}
        self._decoders = [decoder() for _ in range(THREADS)]
        self._block_bytes = block_bytes
        self._log: FileLog | None = None
        self._due = False
        self._partitions: dict[str, Partition] = {}  # generation → as the reader knows it
        self._waiting: dict[str, int] = {}
        self._suspected: set[str] = set()
        self._told: set[str] = set()

    @property
    def waiting(self) -> dict[str, int]:
        """Files that end inside a line, and the bytes of it."""
        return dict(self._waiting)

    def start(self, reader: Reader) -> None:
        """Nothing is read before `wake`."""
        self._reader = reader

    def wake(self) -> None:
        """Let the next poll look at the files again. Between two steps of the reader."""
        self._due = True

    def poll(self) -> Fetched | None:
        """The next block's entries; None when everything that was there at the look is read."""
        if self._log is None:
            if not self._due:
                return None
            self._due = False
            self._look()
        if self._log is None:
            return None
        fetched = self._log.poll()
        if fetched is None:
            self._looked()
            return None
        name = fetched.partition.generation
        self._known[name] = KnownFile(
            name, fetched.head_bytes, fetched.head_sha256, fetched.to_offset, fetched.tail_sha256
        )
        return fetched

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """As the reader of the files: the offsets of logs that are being read are known, others are asked for."""
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
                held = self._known.get(p.generation)  # None: of it nothing but half a line was there so far
                offsets[p] = held.offset if held else 0
        return offsets

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Files are not taken away."""
        raise AssertionError(partitions)

    def close(self) -> None:
        """End the threads; what was decoded ahead is dropped."""
        if self._log is not None:
            self._log.close()

    def _look(self) -> None:
        known = list(self._known.values())
        changed = self._watch.changed(known)
        for path in changed:
            self._waiting.pop(str(path), None)
        if changed:
            decoders = iter(self._decoders)
            self._log = FileLog(changed, self._source, known, lambda: next(decoders), block_bytes=self._block_bytes)
            self._log.start(self)

    def _looked(self) -> None:
        """All that was there is read. Trouble that may pass (a copy that is being made) is told when it is met again."""
        assert self._log is not None, "something was read"
        self._log.close()
        self._waiting |= self._log.waiting
        for path in self._log.troubled:
            self._watch.again(path)
        met = set(self._log.problems)
        self.problems += [problem for problem in self._log.problems if problem in self._suspected - self._told]
        self._told = (self._told | (met & self._suspected)) & met
        self._suspected = met
        self._log = None
