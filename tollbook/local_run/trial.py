"""The trial of a run: what the first entries of each file would become. It writes nothing.

Files are read as by the run, but each on its own: duplicates, conflicts and copies among the files are not recognised.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ingest.attribution.catalog_rules import attribution, max_refused_percent, source_rules
from ingest.decode import formats
from ingest.decode.framing import Lines
from ingest.decode.pausing import FormCheck, matching_format
from ingest.decode.pipeline import NO_LIMITS, Attribution, Decoded, Decoder, SourceRules
from ingest.files.block_reader import packing_of
from ingest.files.file_log import FileLog
from ingest.files.fingerprint import KnownFile
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.columns import CARRIED
from schemas.log import Partition
from schemas.reasons import Reason
from schemas.tables import DEAD, FRESH_EVENTS, READS
from tollbook.local_run.run import known_files

LINES = 1_000
_FIELDS_SHOWN = 3  # counted entries per file
_BLOCK_BYTES = 1 << 20


class PartnerShare(NamedTuple):
    """The entries of a partner. An internal partner is not invoiced."""

    partner_id: str
    entries: int
    invoiced: bool


class Refusals(NamedTuple):
    """The entries that one reason refuses, and the redacted line of the first."""

    reason: Reason
    entries: int
    detail: str | None
    example: str


class FileTrial(NamedTuple):
    """The trial of one file.

    from_offset: where the run would begin. is_whole: all that is new was read. read: the fields of the first counted
    entries, columns of ingest/decode/sql/fields.sql. paused: the run would stop, since too many entries are refused for
    their form. fits: the format that reads them instead, if any.
    """

    file: str
    packing: str | None
    from_offset: int
    is_whole: bool
    counted: int
    refused: int
    partners: list[PartnerShare]
    reasons: list[Refusals]
    read: list[dict[str, Any]]
    waiting: int
    paused: bool
    fits: str | None
    problems: list[str]

    @property
    def entries(self) -> int:
        """The number of entries read."""
        return self.counted + self.refused


class Trial(NamedTuple):
    """How each file would be read."""

    format_name: str
    source: str
    lines: int
    files: list[FileTrial]


class _TrialRules(NamedTuple):
    """What is the same for all files."""

    catalog: Catalog
    format_name: str
    rules: SourceRules
    owners: Attribution
    known: Sequence[KnownFile]
    lines: int
    final: bool
    max_percent: int


def trial(
    lake: Lake,
    catalog: Catalog,
    files: Sequence[Path],
    *,
    format_name: str,
    source: str,
    received_at: datetime | None = None,
    final: bool = False,
    accept_form_errors: bool = False,
    lines: int = LINES,
) -> Trial:
    """Decode the first `lines` new entries of each file. The lake need not exist. Raises UnknownFormat, LakeError."""
    formats.statement(format_name)
    how = _TrialRules(
        catalog,
        format_name,
        source_rules(catalog, source, received_at),
        attribution(catalog),
        _known(lake),
        lines,
        final,
        100 if accept_form_errors else max_refused_percent(catalog, source),
    )
    return Trial(format_name, source, lines, [_of_file(path, how) for path in files])


def _known(lake: Lake) -> Sequence[KnownFile]:
    """What the lake has read; nothing if it does not exist yet. A folder that holds anything else is refused."""
    if not lake.root.exists() or (lake.root.is_dir() and not any(lake.root.iterdir())):
        return []
    lake.check()
    return (
        known_files(lake) if lake.has_folder(READS) else []
    )  # a run that died while it made the lake has read nothing


class _ShowingDecoder(Decoder):
    """A decoder that also keeps the fields of the first accepted entries of each block."""

    def __init__(self, how: _TrialRules, shown: list[pa.Table]) -> None:
        super().__init__(how.format_name, how.rules, how.owners)
        self._shown = shown

    def decode(
        self, framed: Lines, generation: str, limits: pa.Table = NO_LIMITS, *, layout: str | None = None
    ) -> Decoded:
        """As Decoder."""
        decoded = super().decode(framed, generation, limits, layout=layout)
        first = decoded.events.slice(0, _FIELDS_SHOWN)
        if first.num_rows:
            # The lines before them are read, too: one of them may define the columns.
            until = pc.less_equal(framed.lines["position"], first["position"][-1])
            fields = self.fields(Lines(framed.lines.filter(until), framed.unreadable), layout=layout)
            keys = set(_keys(first))
            self._shown.append(fields.filter(pa.array([key in keys for key in _keys(fields)], pa.bool_())))
        return decoded


class _LakeOffsets:
    """The reader of the log: it continues where the lake ends."""

    def __init__(self, known: Mapping[Partition, int]) -> None:
        self._known = known

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """Where the lake ends."""
        return {partition: self._known.get(partition) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing is kept for a partition."""


class _Read(NamedTuple):
    """The first new entries of a file, and whether there are no others."""

    events: pa.Table
    refused: pa.Table
    is_whole: bool


def _of_file(path: Path, how: _TrialRules) -> FileTrial:
    shown: list[pa.Table] = []
    log = FileLog(
        [path],
        how.rules.source,
        how.known,
        lambda: _ShowingDecoder(how, shown),
        final=how.final,
        block_bytes=_BLOCK_BYTES,
    )
    offsets = {p: found.known.offset for p, found in log.partitions.items() if found.known is not None}
    before = list(log.problems)
    try:
        log.start(_LakeOffsets(offsets))
        read = _first(log, how.lines)
    finally:
        log.close()
    # What was read ahead of the limit is no part of the trial.
    problems, waiting = (log.problems, sum(log.waiting.values())) if read.is_whole else (before, 0)
    events, refused = read.events, read.refused
    check = FormCheck(how.format_name, how.max_percent)
    check.add(events.num_rows + refused.num_rows, refused)
    paused = refused.num_rows > 0 and check.is_bad
    return FileTrial(
        str(path),
        _packing(path),
        sum(offsets.values()),
        read.is_whole,
        events.num_rows,
        refused.num_rows,
        _partners(events, how.catalog),
        _reasons(refused),
        _fields(shown, events),
        waiting,
        paused,
        (check.fits or matching_format(refused, how.format_name)) if paused else None,
        problems,
    )


def _packing(path: Path) -> str | None:
    try:
        return packing_of(path)
    except OSError:  # the problem is already among those of the log
        return None


def _first(log: FileLog, lines: int) -> _Read:
    events, refused = [FRESH_EVENTS.empty_table()], [DEAD.schema.empty_table()]
    is_whole = False
    entries = 0
    while not is_whole and entries <= lines:
        fetched = log.poll()
        if fetched is None:
            is_whole = True
        else:
            events.append(fetched.events)
            refused.append(fetched.refused)
            entries += fetched.entries
    both = [pa.concat_tables(events), pa.concat_tables(refused)]
    if entries > lines:
        last = sorted(key for rows in both for key in _keys(rows))[lines - 1]
        both = [rows.filter(pa.array([key <= last for key in _keys(rows)], pa.bool_())) for rows in both]
    return _Read(both[0], both[1], is_whole)


def _keys(rows: pa.Table) -> list[tuple[int, int]]:
    """The places of entries: the offset of the line, and the number in it."""
    return list(zip(rows["position"].to_pylist(), rows["item"].to_pylist(), strict=True))


def _partners(events: pa.Table, catalog: Catalog) -> list[PartnerShare]:
    """The counted entries by partner, the most first."""
    invoiced = {partner.id for partner in catalog.payers()}
    counts = Counter(events["partner_id"].to_pylist())
    return [PartnerShare(who, count, who in invoiced) for who, count in sorted(counts.items(), key=_most_first)]


def _reasons(refused: pa.Table) -> list[Refusals]:
    """The refused entries by reason, the most first, each with its first entry."""
    rows = refused.select(["reason", "detail", "raw"]).to_pylist()
    first = {row["reason"]: row for row in reversed(rows)}
    counts = Counter(row["reason"] for row in rows)
    return [
        Refusals(Reason(reason), count, first[reason]["detail"], _text(first[reason]["raw"]))
        for reason, count in sorted(counts.items(), key=_most_first)
    ]


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="backslashreplace").strip()


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _fields(shown: Sequence[pa.Table], events: pa.Table) -> list[dict[str, Any]]:
    """The fields of the first counted entries, with what they carry (docs/quantities.md)."""
    first = events.slice(0, _FIELDS_SHOWN)
    carried = dict(zip(_keys(first), first.select(CARRIED).to_pylist(), strict=True))
    rows = {(row["position"], row["item"]): row for table in shown for row in table.to_pylist()}
    return [rows[key] | carried[key] for key in sorted(carried.keys() & rows.keys())]
