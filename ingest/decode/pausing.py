"""When a source is paused: more of its entries than agreed are refused for their form, since the format is wrong or the log has changed.

What was refused for another reason never counts (schemas.reasons.FORM says why). A log that pauses hands nothing on of what it judged: it is
in no commit, so that whoever reads it with the right format finds it new.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import detection
from ingest.decode.framing import LINES, UNREADABLE, Lines
from schemas.log import Fetched, Log, Partition, Reader
from schemas.reasons import FORM, FORM_IF_ANOTHER_FITS

WINDOW_ENTRIES = 100  # fewer say nothing where more will come
_ASK_AGAIN_ENTRIES = 1_000_000  # to let every format read a sample takes a second
_FORM, _DOUBTED = pa.array(sorted(FORM), pa.string()), pa.array(sorted(FORM_IF_ANOTHER_FITS), pa.string())


class Paused(NamedTuple):
    """Why a source is paused: where the entries begin that were not taken, how many there are, and for what they were refused."""

    partition: Partition
    from_offset: int
    entries: int
    refused: int
    reasons: Mapping[str, int]  # the commonest first
    format: str | None  # that reads them instead, if one does


class FormCheck:
    """The shares of one source's latest entries that were refused for their form. It judges windows of at least WINDOW_ENTRIES.

    Tables of refusals have the columns of schemas.tables.DEAD.
    """

    def __init__(self, format_name: str, max_percent: int) -> None:
        """`max_percent` as `max_refused_percent` of the catalog."""
        self._format = format_name
        self._max_percent = max_percent
        self._entries = self._refused = self._doubted = 0
        self._not_asked = _ASK_AGAIN_ENTRIES
        self.fits: str | None = None  # the other format, where it was looked for

    def add(self, entries: int, refused: pa.Table) -> None:
        """Take in what became of some more entries. A window that was full, and good, is forgotten first."""
        if self.is_full and not self.is_bad:
            self._entries = self._refused = self._doubted = 0
        self._entries += entries
        self._not_asked += entries
        self._refused += _count(refused, _FORM)
        self._doubted += _count(refused, _DOUBTED)
        if not self.is_bad and self._exceeds(self._refused + self._doubted) and self._not_asked >= _ASK_AGAIN_ENTRIES:
            self._not_asked = 0
            self.fits = another(refused, self._format)

    @property
    def is_full(self) -> bool:
        """Whether there are enough entries to judge by."""
        return self._entries >= WINDOW_ENTRIES or self.fits is not None

    @property
    def is_bad(self) -> bool:
        """Whether more than the agreed share of the window was refused for its form, or another format reads it instead."""
        return self._exceeds(self._refused) or self.fits is not None

    def _exceeds(self, refused: int) -> bool:
        return refused * 100 > self._entries * self._max_percent


_FORMS_MAX = 1_000


class FormChecks:
    """The sources of a topic: which of them are paused, for good. To go on is to make a new one that accepts more."""

    def __init__(self, max_percent: Callable[[str], int]) -> None:
        """`max_percent` says `max_refused_percent` of a source."""
        self._max_percent = max_percent
        self._forms: dict[tuple[str, str], FormCheck] = {}
        self._paused: set[tuple[str, str]] = set()

    def judge(self, format_name: str, source: str, entries: int, refused: pa.Table) -> bool:
        """Take in what became of some more entries of a source; whether they must not be taken."""
        key = (format_name, source)
        if key in self._paused:
            return True
        if key not in self._forms:
            if len(self._forms) >= _FORMS_MAX:
                self._forms.pop(next(iter(self._forms)))
            self._forms[key] = FormCheck(format_name, self._max_percent(source))
        form = self._forms[key]
        form.add(entries, refused)
        if form.is_bad and form.is_full:
            self._paused.add(key)
            return True
        return False


def another(refused: pa.Table, format_name: str) -> str | None:
    """The format that entries are in which `format_name` refused for their form; None: nobody can say."""
    mine = refused.filter(pc.is_in(refused["reason"].cast(pa.string()), value_set=pa.concat_arrays([_FORM, _DOUBTED])))
    raw = mine["raw"].slice(0, detection.SAMPLE_LINES).cast(pa.string())
    text = pc.binary_join_element_wise(pc.replace_substring_regex(raw, "[\r\n]+", " "), "\n", "")
    lines = pa.table([pa.array(np.arange(len(raw))), text], schema=LINES)
    return detection.proposed(Lines(lines, UNREADABLE.empty_table()), format_name)


def by_reason(refused: pa.Table) -> dict[str, int]:
    """How many were refused for their form, by reason, the commonest first."""
    reasons = refused["reason"].cast(pa.string())
    counts = pc.value_counts(
        reasons.filter(pc.is_in(reasons, value_set=pa.concat_arrays([_FORM, _DOUBTED])))
    ).to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counts, key=lambda r: (-r["counts"], r["values"]))}


def _count(refused: pa.Table, reasons: pa.Array) -> int:
    return int(pc.sum(pc.is_in(refused["reason"].cast(pa.string()), value_set=reasons), min_count=0).as_py())


class PausingLog:
    """A log of one source that ends, for now, where too much is refused for its form. `paused` says why; None: it goes on.

    Fewer entries than a window, of which too many are refused, are held back until more come or, where the log `ends`, are judged as they are.
    Not for use by several threads.
    """

    def __init__(self, log: Log, format_name: str, max_percent: int, *, ends: bool) -> None:
        self.paused: Paused | None = None
        self._log = log
        self._format = format_name
        self._form = FormCheck(format_name, max_percent)
        self._ends = ends
        self._held: list[Fetched] = []
        self._good: deque[Fetched] = deque()

    def start(self, reader: Reader) -> None:
        """As the log does."""
        self._reader = reader
        self._log.start(self)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """As the reader of the log."""
        return self._reader.assigned(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """What is held of them is read again by whoever gets them."""
        self._held = [fetched for fetched in self._held if fetched.partition not in partitions]
        self._good = deque(fetched for fetched in self._good if fetched.partition not in partitions)
        self._reader.revoked(partitions)

    def poll(self) -> Fetched | None:
        """The next batch that may be taken; None when there is none now, or the source is paused."""
        while not self._good and self.paused is None:
            fetched = self._log.poll()
            if fetched is not None:
                self._judge(fetched)
            elif self._ends and self._held:
                self._pause()
            else:
                return None
        return self._good.popleft() if self._good else None

    def _judge(self, fetched: Fetched) -> None:
        self._held.append(fetched)
        self._form.add(fetched.entries, fetched.refused)
        if not self._form.is_bad:
            self._good.extend(self._held)
            self._held.clear()
        elif self._form.is_full:
            self._pause()

    def _pause(self) -> None:
        """Drop what is held: nobody has taken it."""
        bad = [fetched for fetched in self._held if by_reason(fetched.refused)]
        refused = pa.concat_tables(fetched.refused for fetched in bad)
        reasons = by_reason(refused)
        self.paused = Paused(
            bad[0].partition,
            bad[0].from_offset,
            sum(fetched.entries for fetched in self._held),
            sum(reasons.values()),
            reasons,
            self._form.fits or another(refused, self._format),
        )
        self._held.clear()
