"""Pausing a source: too many of its entries are refused for their form, because the format is wrong or the log changed.

Refusals for other reasons never count (see schemas.reasons.FORM). A paused log drops the batches that it has judged.
They are in no commit, so that the right format reads them as new.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import detection
from ingest.decode.framing import LINES, UNREADABLE, Lines
from schemas.log import Fetched, Log, LogReader, Partition
from schemas.reasons import FORM, FORM_IF_ANOTHER_FITS

WINDOW_ENTRIES = 100  # fewer are not judged while more may come
_DETECT_AGAIN_ENTRIES = 1_000_000  # detection takes a second
_FORM, _DOUBTED = pa.array(sorted(FORM), pa.string()), pa.array(sorted(FORM_IF_ANOTHER_FITS), pa.string())


class Paused(NamedTuple):
    """Why a source is paused: the first entry that was not taken, the number of entries, and the refusals by reason."""

    partition: Partition
    from_offset: int
    entries: int
    refused: int
    reasons: Mapping[str, int]  # the most common first
    format: str | None  # the format that reads them instead, if any


class FormCheck:
    """The share of one source's latest entries that were refused for their form, in windows of at least WINDOW_ENTRIES.

    Tables of refusals have the columns of schemas.tables.DEAD.
    """

    def __init__(self, format_name: str, max_percent: int) -> None:
        """`max_percent`: `max_refused_percent` of the catalog."""
        self._format = format_name
        self._max_percent = max_percent
        self._entries = self._refused = self._doubted = 0
        self._entries_since_detection = _DETECT_AGAIN_ENTRIES
        self.fits: str | None = None  # the format that fits instead, if detection found one

    def add(self, entries: int, refused: pa.Table) -> None:
        """Count the results of more entries. A full window with few refusals is dropped first."""
        if self.is_full and not self.is_bad:
            self._entries = self._refused = self._doubted = 0
        self._entries += entries
        self._entries_since_detection += entries
        self._refused += _count(refused, _FORM)
        self._doubted += _count(refused, _DOUBTED)
        if (
            not self.is_bad
            and self._exceeds(self._refused + self._doubted)
            and self._entries_since_detection >= _DETECT_AGAIN_ENTRIES
        ):
            self._entries_since_detection = 0
            self.fits = matching_format(refused, self._format)

    @property
    def is_full(self) -> bool:
        """Whether the window has enough entries to be judged."""
        return self._entries >= WINDOW_ENTRIES or self.fits is not None

    @property
    def is_bad(self) -> bool:
        """Whether the window exceeds the agreed share of refusals, or another format fits."""
        return self._exceeds(self._refused) or self.fits is not None

    def _exceeds(self, refused: int) -> bool:
        return refused * 100 > self._entries * self._max_percent


_CHECKS_MAX = 1_000


class FormChecks:
    """The sources of a topic, and which of them are paused. A pause lasts until a new instance accepts more."""

    def __init__(self, max_percent: Callable[[str], int]) -> None:
        """`max_percent` gives `max_refused_percent` of a source."""
        self._max_percent = max_percent
        self._checks: dict[tuple[str, str], FormCheck] = {}
        self._paused: set[tuple[str, str]] = set()

    def judge(self, format_name: str, source: str, entries: int, refused: pa.Table) -> bool:
        """Count the results of more entries of a source. Returns whether they must not be taken."""
        key = (format_name, source)
        if key in self._paused:
            return True
        if key not in self._checks:
            if len(self._checks) >= _CHECKS_MAX:
                self._checks.pop(next(iter(self._checks)))
            self._checks[key] = FormCheck(format_name, self._max_percent(source))
        check = self._checks[key]
        check.add(entries, refused)
        if check.is_bad and check.is_full:
            self._paused.add(key)
            return True
        return False


def matching_format(refused: pa.Table, format_name: str) -> str | None:
    """The format of entries that `format_name` refused for their form; None if no format fits."""
    candidates = refused.filter(
        pc.is_in(refused["reason"].cast(pa.string()), value_set=pa.concat_arrays([_FORM, _DOUBTED]))
    )
    raw = candidates["raw"].slice(0, detection.SAMPLE_LINES).cast(pa.string())
    text = pc.binary_join_element_wise(pc.replace_substring_regex(raw, "[\r\n]+", " "), "\n", "")
    lines = pa.table([pa.array(np.arange(len(raw))), text], schema=LINES)
    return detection.proposed_format(Lines(lines, UNREADABLE.empty_table()), format_name)


def by_reason(refused: pa.Table) -> dict[str, int]:
    """The number of refusals for form by reason, the most common first."""
    reasons = refused["reason"].cast(pa.string())
    counts = pc.value_counts(
        reasons.filter(pc.is_in(reasons, value_set=pa.concat_arrays([_FORM, _DOUBTED])))
    ).to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counts, key=lambda r: (-r["counts"], r["values"]))}


def _count(refused: pa.Table, reasons: pa.Array) -> int:
    return int(pc.sum(pc.is_in(refused["reason"].cast(pa.string()), value_set=reasons), min_count=0).as_py())


class PausingLog:
    """A log of one source that ends where too many entries are refused for their form.

    `paused` says why; None: the log continues. Entries of a window that is bad but not full wait until more come; if
    the log `ends`, they are judged as they are. Not thread-safe.
    """

    def __init__(self, log: Log, format_name: str, max_percent: int, *, ends: bool) -> None:
        self.paused: Paused | None = None
        self._log = log
        self._format = format_name
        self._check = FormCheck(format_name, max_percent)
        self._ends = ends
        self._pending: list[Fetched] = []
        self._accepted: deque[Fetched] = deque()

    def start(self, reader: LogReader) -> None:
        """Start the log with this object as its reader."""
        self._reader = reader
        self._log.start(self)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """Forwarded to the reader."""
        return self._reader.assigned(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Drops pending batches of the partitions: their next owner reads them again."""
        self._pending = [fetched for fetched in self._pending if fetched.partition not in partitions]
        self._accepted = deque(fetched for fetched in self._accepted if fetched.partition not in partitions)
        self._reader.revoked(partitions)

    def poll(self) -> Fetched | None:
        """The next batch that may be taken; None if there is none now, or the source is paused."""
        while not self._accepted and self.paused is None:
            fetched = self._log.poll()
            if fetched is not None:
                self._judge(fetched)
            elif self._ends and self._pending:
                self._pause()
            else:
                return None
        return self._accepted.popleft() if self._accepted else None

    def _judge(self, fetched: Fetched) -> None:
        self._pending.append(fetched)
        self._check.add(fetched.entries, fetched.refused)
        if not self._check.is_bad:
            self._accepted.extend(self._pending)
            self._pending.clear()
        elif self._check.is_full:
            self._pause()

    def _pause(self) -> None:
        """Drop the pending batches: nobody has taken them."""
        bad = [fetched for fetched in self._pending if by_reason(fetched.refused)]
        refused = pa.concat_tables(fetched.refused for fetched in bad)
        reasons = by_reason(refused)
        self.paused = Paused(
            bad[0].partition,
            bad[0].from_offset,
            sum(fetched.entries for fetched in self._pending),
            sum(reasons.values()),
            reasons,
            self._check.fits or matching_format(refused, self._format),
        )
        self._pending.clear()
