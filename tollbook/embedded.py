"""The embedded run: log files → lake, in one process. The files are the log; a repeat reads only what is new."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aggregate import engine, followers
from aggregate.land import COMMIT_ENTRIES, Counts, Land
from billing.warehouse import Warehouse
from ingest import formats
from ingest.decode import Decoder
from ingest.file_log import FileLog
from ingest.generation import Known
from ingest.text import BLOCK_BYTES
from schemas import lake
from schemas.catalog import Catalog
from schemas.log import Fetched, Reader
from tollbook import alerting
from tollbook.alerting import Raised
from tollbook.attribution import attribution, source_rules


class Busy(Exception):
    """Another run is at work on this lake. Repeat the command when it has ended."""


class NoFiles(Exception):
    """A path or pattern names no file."""


class Progress(NamedTuple):
    """How far a run is: bytes of the files as they lie on disk, and entries read, of which the last are not committed yet."""

    bytes_done: int
    bytes_total: int
    entries: int


class Report(NamedTuple):
    """What a run did: counts of what was new, alerts that fired, files that could not be read, unfinished last lines."""

    counts: Counts
    alerts: list[Raised]
    problems: list[str]
    waiting: dict[str, int]


def run(
    root: Path,
    catalog: Catalog,
    files: Sequence[Path],
    *,
    format_name: str,
    source: str,
    received_at: datetime | None = None,
    final: bool = False,
    commit_entries: int = COMMIT_ENTRIES,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Land everything new in `files`. Safe to kill and to repeat. Raises Busy, UnknownFormat, LakeError, Fenced."""
    formats.statement(format_name)
    lake.create(root)
    with alone(root):
        rules, owners = source_rules(catalog, source, received_at), attribution(catalog)
        # What a run that died has read is known only when its commits have been followed; else a file it began, that has
        # grown since, would be taken for another.
        followers.catch_up(root, engine.connect())
        log = FileLog(
            files,
            source,
            known_files(root, source),
            lambda: Decoder(format_name, rules, owners),
            final=final,
            block_bytes=block_bytes,
        )
        counts = Counts()
        try:
            land = Land(root, _Watched(log, progress), catalog_sha256=catalog.sha256, commit_entries=commit_entries)
            for landed in land.run():
                counts = counts.plus(landed.counts)
        finally:
            log.close()
        return Report(counts, alerting.alert(root, catalog), log.problems, log.waiting)


class _Watched:
    """A log of files that tells how far it is at every step."""

    def __init__(self, log: FileLog, tell: Callable[[Progress], None]) -> None:
        self._log = log
        self._tell = tell
        self._entries = 0

    def start(self, reader: Reader) -> None:
        self._tell(Progress(self._log.bytes_read, self._log.bytes_total, 0))
        self._log.start(reader)

    def poll(self) -> Fetched | None:
        fetched = self._log.poll()
        if fetched is not None:
            self._entries += fetched.entries
            self._tell(Progress(self._log.bytes_read, self._log.bytes_total, self._entries))
        return fetched


def found_files(names: Sequence[str]) -> list[Path]:
    """Files, folders (all files below, by name) and globs, in the given order, each file once. Raises NoFiles."""
    found: dict[Path, None] = {}
    for name in names:
        matches = _matches(name)
        if not matches:
            raise NoFiles(f"{name or '(an empty name)'}: {_why_none(name)}")
        found |= dict.fromkeys(matches)
    return list(found)


def _matches(name: str) -> list[Path]:
    path = Path(name)
    if not name:  # an unset variable in a script: never the current folder
        return []
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    if path.exists():
        return [path]
    try:
        pattern = str(path.relative_to(path.anchor))
        return sorted(p for p in Path(path.anchor or ".").glob(pattern) if p.is_file())
    except ValueError:  # no pattern that glob knows
        return []


def _why_none(name: str) -> str:
    if name and Path(name).is_dir():
        return "there is no file in this folder; check the path"
    if Path(name).is_symlink():
        return f"this link leads nowhere ({Path(name).readlink()}); check where it should lead"
    return "no such file, folder or pattern; check the path"


def known_files(root: Path, source: str) -> list[Known]:
    """The generations of a source that the lake has read, with the offset each was read to."""
    rows = Warehouse(root).query("generations", {"source": source}).to_pylist()
    return [Known(**row) for row in rows]


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One run at a time, for a clear message; what protects the books is the fence in the lake's commits."""
    handle = os.open(root / ".run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another run is at work on {root}; repeat the command when it has ended") from None
        yield
    finally:
        os.close(handle)
