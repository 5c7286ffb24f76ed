"""The local run: from log files to the lake in one process.

The files are the log; a repeated run reads only new lines.
"""

import glob
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from aggregate.landing import derived_commits
from aggregate.landing.land import COMMIT_ENTRIES, Counts, Land
from aggregate.quota import grants
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
from lake import duck
from lake.lake import Lake
from schemas.alerts import Statement
from schemas.catalog.records import Catalog
from schemas.log import Fetched, LogReader
from tollbook.alerting import evaluation
from tollbook.local_run.active import alone
from tollbook.local_run.progress import Progress

_MANY_BYTES = 16 << 20  # from this size on, compiling the kernels in advance pays off
LOOK_S = 5.0  # between two checks of followed files; each that finds new lines makes a commit
_EVALUATE_IDLE = timedelta(minutes=1)  # between evaluations of alerts while nothing comes: sources may be behind


class NoFiles(Exception):
    """A path or pattern matches no file."""


class RunReport(NamedTuple):
    """The result of a run: counts of new entries, alerts that fired, unreadable files, unfinished last lines.

    outside: the number of counted events that their credential's policy does not allow, by mark.
    paused: why the run stopped early: too many entries were refused for their form, and none of these was landed.
    """

    counts: Counts
    alerts: list[Statement]
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
) -> RunReport:
    """Land all new lines of `files`. Safe to kill and to repeat. Raises Busy, UnknownFormat, LakeError, Fenced.

    With `accept_form_errors`, the source is not paused, however many entries are refused for their form.
    """
    formats.statement(format_name)
    if sum(path.stat().st_size for path in files if path.is_file()) >= _MANY_BYTES:
        threading.Thread(target=prepare, args=(format_name,), daemon=True).start()
    lake.create()
    with alone(lake):
        rules, owners = source_rules(catalog, source, received_at), attribution(catalog)
        # The files that a killed run has read are known only after the derived tables are up to date. Otherwise a file
        # that it had begun and that has grown since would get another fingerprint.
        derived_commits.catch_up(lake, duck.connect())
        log = FileLog(
            files,
            source,
            known_files(lake),
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
        return RunReport(
            counts, evaluation.alert(lake, catalog, now=now()), log.problems, log.waiting, dict(outside), judged.paused
        )


class Stop(Protocol):
    """A stop signal that can be waited for, such as `threading.Event`."""

    def is_set(self) -> bool:
        """Whether to stop now."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait until it is set, at most `timeout` seconds. Returns whether it is set."""
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
    on_report: Callable[[RunReport], None] = lambda _: None,
) -> RunReport:
    """Land new lines of growing files, check after check, until `stop`. Returns the sum of all checks.

    `on_report` receives the report of each check that found something. Files, folders and globs are resolved again at
    each check. It also ends when too many entries are refused for their form, unless that is accepted. Safe to kill.
    Raises NoFiles, Busy, UnknownFormat, LakeError, Fenced.
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
            known_files(lake),
            lambda: Decoder(format_name, rules, owners),
            block_bytes=block_bytes,
        )
        judged = PausingLog(
            log, format_name, 100 if accept_form_errors else max_refused_percent(catalog, source), ends=False
        )
        total = RunReport(Counts(), [], [], {}, {})
        evaluated = now()
        try:
            land = Land(lake, judged, catalog_sha256=catalog.sha256, now=now, commit_entries=commit_entries)
            granted = grants.Watch(lake)
            while not stop.is_set() and judged.paused is None:
                counts, outside = Counts(), Counter[str]()
                log.wake()
                while not stop.is_set() and (landed := land.step()):
                    counts = counts.plus(landed.counts)
                    outside.update(landed.outside)
                while land.unsettled and not land.settle():
                    pass  # a settlement updates them, too; each attempt completes one of the two
                is_due = granted.moved(now()) or bool(counts.entries) or now() >= evaluated + _EVALUATE_IDLE
                if is_due:
                    evaluated = now()
                look = RunReport(
                    counts,
                    evaluation.alert(lake, catalog, now=evaluated, follows=True) if is_due else [],
                    log.problems,
                    log.waiting,
                    dict(outside),
                    judged.paused,
                )
                log.problems = []
                total = RunReport(
                    total.counts.plus(counts),
                    total.alerts + look.alerts,
                    total.problems + look.problems,
                    look.waiting,
                    dict(Counter(total.outside) + outside),
                    judged.paused,
                )
                if counts.entries or look.alerts or look.problems:
                    on_report(look)
                if judged.paused is None:
                    stop.wait(look_s)
        finally:
            log.close()
        return total


class _Watched:
    """A log of files that reports its progress at every step."""

    def __init__(self, log: FileLog, on_progress: Callable[[Progress], None]) -> None:
        self._log = log
        self._on_progress = on_progress
        self._entries = 0

    def start(self, reader: LogReader) -> None:
        self._on_progress(Progress(self._log.bytes_read, self._log.bytes_total, 0))
        self._log.start(reader)

    def poll(self) -> Fetched | None:
        fetched = self._log.poll()
        if fetched is not None:
            self._entries += fetched.entries
            self._on_progress(Progress(self._log.bytes_read, self._log.bytes_total, self._entries))
        return fetched


def found_files(names: Sequence[str]) -> list[Path]:
    """The files of paths, folders (recursively) and globs, in the given order, each file once. Raises NoFiles.

    Files of a folder or glob are sorted by modification time, oldest first, so rotated logs are in the order of their
    lines.
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
    """The paths by modification time, oldest first, then by name. Files that were deleted meanwhile are omitted."""
    timed = []
    for path in paths:
        try:
            timed.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    return [path for _, path in sorted(timed)]


def followed_files(names: Sequence[str]) -> WatchedFiles:
    """The files to read now, possibly none, and the rotated files next to each file that was given by its path."""
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
        return "this folder has no files; check the path"
    if Path(name).is_symlink():
        return f"this link is broken ({Path(name).readlink()}); check its target"
    return "no such file, folder or pattern; check the path"


def known_files(lake: Lake) -> list[KnownFile]:
    """The files of all sources that the lake has read, with the offset up to which each was read."""
    rows = Warehouse(lake, only=["reads"]).query("generations").to_pylist()
    return [KnownFile(**row) for row in rows]
