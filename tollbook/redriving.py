"""`tollbook dead redrive`: refused entries are read again with the catalog as it is now, and counted, each line once."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.land import COMMIT_ENTRIES, Counts
from aggregate.redrive import Redrive, Wanted, counts_of
from ingest import formats, generation
from ingest.decode import Decoded, Decoder
from ingest.framing import Lines
from ingest.generation import FileChanged
from ingest.reread import Reread, reread
from ingest.text import UnreadableFile
from schemas import lake
from schemas.catalog import Catalog
from schemas.reasons import Reason
from tollbook import alerting
from tollbook.alerting import Raised
from tollbook.attribution import attribution, source_rules
from tollbook.edge import WrongUse
from tollbook.embedded import alone, known_files

DECODE_LINES = 100_000
_ITEM_BITS = 22  # a line holds at most 1 MiB, and so fewer entries than that
I64 = npt.NDArray[np.int64]


class Became(NamedTuple):
    """What became of entries that were refused for one reason: counted, duplicate, conflict, a reason, or `left`."""

    reason: str
    became: str
    entries: int


class Redriven(NamedTuple):
    """What a redrive did, or of a dry run would do. `problems`: what was left, and why."""

    outcomes: list[Became]
    counts: Counts
    problems: list[str]
    alerts: list[Raised]


class How(NamedTuple):
    """How lines are read again. Without `received_at` limits of lateness cannot be judged; `final`: half lines as they stand."""

    format_name: str
    received_at: datetime | None = None
    final: bool = False


def redrive(
    root: Path,
    catalog: Catalog,
    wanted: Wanted,
    how: How,
    *,
    now: Callable[[], datetime],
    files: Sequence[Path] = (),
    dry_run: bool = False,
    commit_entries: int = COMMIT_ENTRIES,
) -> Redriven:
    """Read letters again and count what is refused no more. Safe to kill and to repeat.

    `files`: the logs, where they are now; without any those are tried that the lake names. Raises Busy, UnknownFormat, WrongUse,
    LakeError, Fenced.
    """
    formats.statement(how.format_name)
    lake.check(root)
    with alone(root):
        worker = Redrive(root, catalog_sha256=catalog.sha256, now=now, dry_run=dry_run)
        if topics := worker.topics:
            raise WrongUse(
                f"{root} is landed from Kafka ({', '.join(topics)}): send the refused lines again instead (docs/operations.md, dead letters)"
            )
        rules = source_rules(catalog, wanted.source, how.received_at)
        turn = _Turn(worker, Decoder(how.format_name, rules, attribution(catalog)), wanted, how, commit_entries)
        logs = worker.generations(wanted)
        paths = _given(root, wanted.source, files, turn.problems) if files else _named(root, wanted.source, logs)
        for found, file in logs.items():
            turn.read(found, file or found, paths.get(found))
        turn.settle()
        worker.end()
        alerts = [] if dry_run else alerting.alert(root, catalog)
        outcomes = [Became(*key, entries) for key, entries in sorted(turn.became.items())]
        return Redriven(outcomes, turn.counts, turn.problems, alerts)


class _Turn:
    """One redrive at work: what was read and is not committed yet, and what has become of the rest."""

    def __init__(self, worker: Redrive, decoder: Decoder, wanted: Wanted, how: How, commit_entries: int) -> None:
        self.problems: list[str] = []
        self.became: Counter[tuple[str, str]] = Counter()
        self.counts = Counts()
        self._worker = worker
        self._decoder = decoder
        self._wanted = wanted
        self._how = how
        self._commit_entries = commit_entries
        self._events: list[pa.Table] = []
        self._reasons: list[pa.Array] = []

    def read(self, name: str, file: str, path: Path | None) -> None:
        """Read the letters of one log again."""
        letters = self._apart(self._worker.letters(self._wanted, name), file)
        try:
            again = reread(letters, path)
        except UnreadableFile as exc:
            self.problems.append(str(exc))
            again = reread(letters, None)
        for erased_by, mine in _by_erasure(letters):
            text = f"their text was erased ({erased_by}) and " if erased_by else ""
            self._leave(mine, again.away, f"{file}: {text}the log is not at hand; name it at the end of the command")
        self._leave(
            letters,
            again.changed,
            f"{file}: the lines that stand there now are others; bring back the log as it was read",
        )
        for part in _parts(again):
            self._take(letters, self._decoder.decode(part, name), part.lines["position"].combine_chunks(), name, file)

    def settle(self) -> None:
        """Commit what was read."""
        if not self._events:
            return
        reasons = pa.concat_arrays(self._reasons)
        became = self._worker.settle(pa.concat_tables(self._events), reasons)
        self.became.update(zip(reasons.to_pylist(), became.to_pylist(), strict=True))
        self.counts = self.counts.plus(counts_of(became))
        self._events, self._reasons = [], []

    def _apart(self, letters: pa.Table, file: str) -> pa.Table:
        """Letters without those that cannot be judged as things are."""
        untold = [Reason.TOO_LATE, Reason.IN_FUTURE] if self._how.received_at is None else []
        half = [] if self._how.final else [Reason.PARTIAL_LINE]
        for reasons, why in (
            (untold, "whether they are in time is measured against the time of receipt; give it with --received"),
            (half, "half a line is read as it stands only with --final"),
        ):
            mine = pc.is_in(letters["reason"], value_set=pa.array(reasons, pa.string()))
            self._left(letters.filter(mine), f"{file}: {why}")
            letters = letters.filter(pc.invert(mine))
        return letters

    def _leave(self, letters: pa.Table, positions: pa.Array, why: str) -> None:
        self._left(letters.filter(pc.is_in(letters["position"], value_set=positions)), why)

    def _left(self, letters: pa.Table, why: str) -> None:
        if letters.num_rows:
            self.became.update((reason, "left") for reason in letters["reason"].to_pylist())
            self.problems.append(f"{letters.num_rows:,} refused entries were left: {why}")

    def _take(self, letters: pa.Table, decoded: Decoded, positions: pa.Array, name: str, file: str) -> None:
        """Sort the entries of some lines: those that were letters are judged, those that were none were counted long ago."""
        mine = letters.filter(pc.is_in(letters["position"], value_set=positions))
        recut = self._recut(mine, decoded, name)
        self._leave(mine, recut, f"{file}: the format cuts their lines into other entries than before; it must not")
        mine = mine.filter(pc.invert(pc.is_in(mine["position"], value_set=recut)))
        for rows, is_event in ((decoded.events, True), (decoded.refused, False)):
            of_letters = np.isin(_keys(rows), _keys(mine))
            chosen = rows.filter(pa.array(of_letters))
            reasons = mine["reason"].combine_chunks().take(pa.array(np.searchsorted(_keys(mine), _keys(chosen))))
            if is_event and chosen.num_rows:
                self._events.append(chosen)
                self._reasons.append(reasons)
            elif not is_event:
                self.became.update(zip(reasons.to_pylist(), chosen["reason"].to_pylist(), strict=True))
        if sum(len(reasons) for reasons in self._reasons) >= self._commit_entries:
            self.settle()

    def _recut(self, mine: pa.Table, decoded: Decoded, name: str) -> pa.Array:
        """Positions of lines that are another number of entries now than they were: what each letter was cannot be told."""
        now = np.concatenate([rows["position"].to_numpy() for rows in decoded])
        at, entries = np.unique(now, return_counts=True)
        mine_at, mine_entries = np.unique(mine["position"].to_numpy(), return_counts=True)
        expected = dict(zip(mine_at.tolist(), mine_entries.tolist(), strict=True))
        is_now = dict(zip(at.tolist(), entries.tolist(), strict=True))
        differing = [position for position, letters in expected.items() if is_now.get(position, 0) != letters]
        if differing:
            before = self._worker.entries_at(self._wanted.source, name, pa.array(differing, pa.int64()))
            differing = [position for position in differing if is_now.get(position, 0) != before[position]]
        return pa.array(differing, pa.int64())


def _keys(rows: pa.Table) -> I64:
    """Position and item in one number; in log order they ascend."""
    keys: I64 = rows["position"].to_numpy() << _ITEM_BITS | rows["item"].to_numpy().astype(np.int64)
    return keys


def _by_erasure(letters: pa.Table) -> list[tuple[str | None, pa.Table]]:
    """Letters by the rule that erased their text, None: it is there."""
    rules = letters["erased_by"]
    return [
        (rule, letters.filter(pc.is_null(rules) if rule is None else pc.equal(rules, rule)))
        for rule in sorted(set(rules.to_pylist()), key=lambda rule: rule or "")
    ]


def _parts(again: Reread) -> Iterator[Lines]:
    """The lines in pieces that are decoded at a time."""
    lines, unreadable = again.lines
    for start in range(0, lines.num_rows, DECODE_LINES):
        yield Lines(lines.slice(start, DECODE_LINES).combine_chunks(), unreadable)


def _given(root: Path, source: str, files: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    """The logs that were named: generation → path. What is none that was read becomes a problem."""
    known = known_files(root, source)
    names = {k.generation for k in known}
    found = {}
    for path in files:
        try:
            name = generation.identify(path, known).generation
        except (UnreadableFile, FileChanged) as exc:
            problems.append(str(exc))
            continue
        if name in names:
            found[name] = path
        else:
            problems.append(f"{path} is no log that was read under source {source}")
    return found


def _named(root: Path, source: str, logs: dict[str, str | None]) -> dict[str, Path]:
    """The logs where the lake saw them last, as far as they are still there."""
    known = known_files(root, source)
    found = {}
    for name, file in logs.items():
        if file is None or not Path(file).is_file():
            continue
        try:
            if generation.identify(Path(file), known).generation == name:
                found[name] = Path(file)
        except (UnreadableFile, FileChanged):
            continue  # that it is not at hand is said with the letters that need it
    return found
