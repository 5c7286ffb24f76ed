"""The embedded run: log files → lake, in one process. The files are the log; a repeat reads only what is new."""

import glob
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from aggregate.landing import derived_commits
from aggregate.landing.land import COMMIT_ENTRIES, Counts, Land
from billing.usage.warehouse import Warehouse
from ingest.attribution.catalog_rules import attribution, max_refused_percent, source_rules
from ingest.decode import formats
from ingest.decode.pausing import Paused, PausingLog
from ingest.decode.pipeline import Decoder, prepare
from ingest.files.block_reader import BLOCK_BYTES
from ingest.files.file_log import FileLog
from ingest.files.fingerprint import KnownFile
from ingest.files.follow_log import FollowLog
from ingest.files.watcher import WatchedFiles
from lake import duck, lock
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.log import Fetched, LogReader
from tollbook.local_run import alerting
from tollbook.local_run.alerting import Raised

_MANY_BYTES = 16 << 20  # files of more have enough lines to be worth what prepares for them
LOOK_S = 5.0  # between two looks at files that are followed; each that finds something is a commit


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
    """What a run did: counts of what was new, alerts that fired, files that could not be read, unfinished last lines.

    outside: how many of the counted lie outside of what was agreed for their credential, by how.
    paused: why the run ended before its files did: too much was refused for its form, and of that nothing was taken.
    """

    counts: Counts
    alerts: list[Raised]
    problems: list[str]
    waiting: dict[str, int]
    outside: dict[str, int]
    paused: Paused | None = None


def run(
    lake: Lake,
    catalog: Catalog,
    files: Sequence[Path],
    *,
    format_name: str,
    source: str,
    now: Callable[[], datetime],
    received_at: datetime | None = None,
    final: bool = False,
    accept_form_errors: bool = False,
    commit_entries: int = COMMIT_ENTRIES,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Land everything new in `files`. Safe to kill and to repeat. Raises Busy, UnknownFormat, LakeError, Fenced.

    `accept_form_errors`: take what is refused for its form, however much it is, instead of pausing.
    """
    formats.statement(format_name)
    if sum(path.stat().st_size for path in files if path.is_file()) >= _MANY_BYTES:
        threading.Thread(target=prepare, args=(format_name,), daemon=True).start()
    lake.create()
    with alone(lake):
        rules, owners = source_rules(catalog, source, received_at), attribution(catalog)
        # What a run that died has read is known only when its commits have been followed; else a file it began, that has
        # grown since, would be taken for another.
        derived_commits.catch_up(lake, duck.connect())
        log = FileLog(
            files,
            source,
            known_files(lake, source),
            lambda: Decoder(format_name, rules, owners),
            final=final,
            block_bytes=block_bytes,
        )
        judged = PausingLog(
            _Watched(log, progress),
            format_name,
            100 if accept_form_errors else max_refused_percent(catalog, source),
            ends=True,
        )
        counts, outside = Counts(), Counter[str]()
        try:
            land = Land(lake, judged, catalog_sha256=catalog.sha256, now=now, commit_entries=commit_entries)
            for landed in land.run():
                counts = counts.plus(landed.counts)
                outside.update(landed.outside)
        finally:
            log.close()
        return Report(
            counts, alerting.alert(lake, catalog, now=now()), log.problems, log.waiting, dict(outside), judged.paused
        )


class Stop(Protocol):
    """Says when to end, and waits: `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether to end now."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until it is set; whether it is set."""
        ...


def follow(
    lake: Lake,
    catalog: Catalog,
    names: Sequence[str],
    *,
    format_name: str,
    source: str,
    stop: Stop,
    now: Callable[[], datetime],
    received_at: datetime | None = None,
    accept_form_errors: bool = False,
    look_s: float = LOOK_S,
    commit_entries: int = COMMIT_ENTRIES,
    block_bytes: int = BLOCK_BYTES,
    tell: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Land what is new in files that grow, look after look, until `stop`; the sum of all. `tell` is told of each look that found something.

    Files, folders and globs are looked for anew each time. It ends, too, where too much is refused for its form, unless that is accepted.
    Safe to kill. Raises NoFiles, Busy, UnknownFormat, LakeError, Fenced.
    """
    formats.statement(format_name)
    found_files(names)
    lake.create()
    with alone(lake):
        rules, owners = source_rules(catalog, source, received_at), attribution(catalog)
        derived_commits.catch_up(lake, duck.connect())
        log = FollowLog(
            lambda: followed_files(names),
            source,
            known_files(lake, source),
            lambda: Decoder(format_name, rules, owners),
            block_bytes=block_bytes,
        )
        judged = PausingLog(
            log, format_name, 100 if accept_form_errors else max_refused_percent(catalog, source), ends=False
        )
        total = Report(Counts(), [], [], {}, {})
        try:
            land = Land(lake, judged, catalog_sha256=catalog.sha256, now=now, commit_entries=commit_entries)
            while not stop.is_set() and judged.paused is None:
                counts, outside = Counts(), Counter[str]()
                log.wake()
                while not stop.is_set() and (landed := land.step()):
                    counts = counts.plus(landed.counts)
                    outside.update(landed.outside)
                while land.unsettled and not land.settle():
                    pass  # a settlement is at it; each turn one of the two is done
                look = Report(
                    counts,
                    alerting.alert(lake, catalog, now=now()) if counts.entries else [],
                    log.problems,
                    log.waiting,
                    dict(outside),
                    judged.paused,
                )
                log.problems = []
                total = Report(
                    total.counts.plus(counts),
                    total.alerts + look.alerts,
                    total.problems + look.problems,
                    look.waiting,
                    dict(Counter(total.outside) + outside),
                    judged.paused,
                )
                if counts.entries or look.problems:
                    tell(look)
                if judged.paused is None:
                    stop.wait(look_s)
        finally:
            log.close()
        return total


class _Watched:
    """A log of files that tells how far it is at every step."""

    def __init__(self, log: FileLog, tell: Callable[[Progress], None]) -> None:
        self._log = log
        self._tell = tell
        self._entries = 0

    def start(self, reader: LogReader) -> None:
        self._tell(Progress(self._log.bytes_read, self._log.bytes_total, 0))
        self._log.start(reader)

    def poll(self) -> Fetched | None:
        fetched = self._log.poll()
        if fetched is not None:
            self._entries += fetched.entries
            self._tell(Progress(self._log.bytes_read, self._log.bytes_total, self._entries))
        return fetched


def found_files(names: Sequence[str]) -> list[Path]:
    """Files, folders (all files below) and globs, in the given order, each file once. Raises NoFiles.

    Those of a folder or glob come by their time of change, oldest first, so that rotated logs come in the order of their lines.
    """
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
        return _by_time(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    if path.exists():
        return [path]
    try:
        pattern = str(path.relative_to(path.anchor))
        return _by_time(p for p in Path(path.anchor or ".").glob(pattern) if p.is_file())
    except ValueError:  # no pattern that glob knows
        return []


def _by_time(paths: Iterable[Path]) -> list[Path]:
    """Oldest change first, then by name. One that is gone meanwhile is left out."""
    timed = []
    for path in paths:
        try:
            timed.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    return [path for _, path in sorted(timed)]


def followed_files(names: Sequence[str]) -> WatchedFiles:
    """What there is to read now, which may be nothing; and beside each file that was named itself, those that are called alike."""
    named: dict[Path, None] = {}
    rotated: dict[Path, None] = {}
    own: dict[Path, None] = {}
    for name in names:
        named |= dict.fromkeys(_matches(name))
        path = Path(name)
        if path.is_file() or not (path.exists() or glob.has_magic(name)):
            own[path] = None
            rotated |= dict.fromkeys(_by_time(p for p in path.parent.glob(f"{glob.escape(path.stem)}*") if p.is_file()))
    return WatchedFiles(list(named), [path for path in rotated if path not in named], list(own))


def _why_none(name: str) -> str:
    if name and Path(name).is_dir():
        return "there is no file in this folder; check the path"
    if Path(name).is_symlink():
        return f"this link leads nowhere ({Path(name).readlink()}); check where it should lead"
    return "no such file, folder or pattern; check the path"


def known_files(lake: Lake, source: str) -> list[KnownFile]:
    """The generations of a source that the lake has read, with the offset each was read to."""
    rows = Warehouse(lake, only=["reads"]).query("generations", {"source": source}).to_pylist()
    return [KnownFile(**row) for row in rows]


@contextmanager
def alone(lake: Lake, name: str = ".run.lock", who: str = "another run") -> Iterator[None]:
    """One run at a time, for a clear message; what protects the books is the fence in the lake's commits."""
    try:
        with lake.lock(name):
            yield
    except lock.Taken:
        raise Busy(f"{who} is at work on {lake}; repeat the command when it has ended") from None
