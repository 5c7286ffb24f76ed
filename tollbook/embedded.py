"""The embedded run: log files → lake, in one process. The files are the log; a repeat reads only what is new."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aggregate.land import COMMIT_ENTRIES, Counts, Land
from aggregate.quota import Alert
from billing.warehouse import Warehouse
from ingest import formats
from ingest.decode import Decoder
from ingest.file_log import FileLog
from ingest.generation import Known
from ingest.text import BLOCK_BYTES
from schemas import lake
from schemas.catalog import Catalog
from tollbook import alerting
from tollbook.attribution import attribution, source_rules


class Busy(Exception):
    """Another run is at work on this lake. Repeat the command when it has ended."""


class NoFiles(Exception):
    """A path or pattern names no file."""


class Progress(NamedTuple):
    """How far a run is."""

    bytes_done: int
    bytes_total: int
    counts: Counts


class Report(NamedTuple):
    """What a run did: counts of what was new, alerts that fired, files that could not be read, unfinished last lines."""

    counts: Counts
    alerts: list[Alert]
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
    with _alone(root):
        rules, owners = source_rules(catalog, source, received_at), attribution(catalog)
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
            land = Land(root, log, catalog_sha256=catalog.sha256, commit_entries=commit_entries)
            progress(Progress(log.bytes_read, log.bytes_total, counts))
            for landed in land.run():
                counts = counts.plus(landed.counts)
                progress(Progress(log.bytes_read, log.bytes_total, counts))
        finally:
            log.close()
        return Report(counts, alerting.alert(root, catalog), log.problems, log.waiting)


def found_files(names: Sequence[str]) -> list[Path]:
    """Files, folders (all files below, by name) and globs, in the given order, each file once. Raises NoFiles."""
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(
                p for p in Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))) if p.is_file()
            )
        if not matches:
            raise NoFiles(f"{name}: no such file, folder or pattern; check the path")
        found |= dict.fromkeys(matches)
    return list(found)


def known_files(root: Path, source: str) -> list[Known]:
    """The generations of a source that the lake has read, with the offset each was read to."""
    rows = Warehouse(root).query("generations", {"source": source}).to_pylist()
    return [Known(**row) for row in rows]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
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
