"""Redrive of entries of log files: from their stored payload if it is the whole line, otherwise from the log."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.redrive import Redrive, Wanted
from ingest.decode.framing import Lines
from ingest.decode.pipeline import Decoded, Decoder
from ingest.files.block_reader import UnreadableFile
from ingest.files.known_logs import KnownLogs
from ingest.replay.lines import replayed_lines
from lake.lake import Lake
from schemas.reasons import Reason
from tollbook.local_run.run import known_files
from tollbook.redrive.turn import DECODE_LINES, Turn, at_positions, entries_by_position


class FileReader:
    """Reads the dead letters of one log after the other."""

    def __init__(
        self, worker: Redrive, turn: Turn, wanted: Wanted, decoder: Decoder, *, in_time: bool, final: bool
    ) -> None:
        """`in_time`: the decoder has a time of receipt; `final`: incomplete lines are read as they are."""
        self._worker = worker
        self._turn = turn
        self._wanted = wanted
        self._decoder = decoder
        self._in_time = in_time
        self._final = final

    def read(self, name: str, file: str, path: Path | None) -> None:
        """Read the dead letters of one log again. `path` is the current place of the log, None if it is unknown."""
        letters = self._apart(self._worker.letters(self._wanted, name), file)
        try:
            again = replayed_lines(letters, path, self._decoder.layout_prefix)
        except UnreadableFile as exc:
            self._turn.problems.append(str(exc))
            again = replayed_lines(letters, None, self._decoder.layout_prefix)
        for erased_by, mine in _by_erasure(letters):
            erased = f"their payload was erased ({erased_by}) and " if erased_by else ""
            away = f"{file}: {erased}the log was not found; name it at the end of the command"
            self._turn.leave(at_positions(mine, again.needs_log), away)
        changed = f"{file}: these lines have changed; restore the log as it was read"
        self._turn.leave(at_positions(letters, again.changed), changed)
        for part in again.parts:
            for lines in _pieces(part.lines):
                mine = at_positions(letters, lines.lines["position"].combine_chunks())
                self._take(mine, self._decoder.decode(lines, name, layout=part.layout), name, file)

    def _apart(self, letters: pa.Table, file: str) -> pa.Table:
        """The dead letters without those that need --received or --final."""
        untimed = [] if self._in_time else [Reason.TOO_LATE, Reason.IN_FUTURE]
        partial = [] if self._final else [Reason.PARTIAL_LINE]
        for reasons, why in (
            (untimed, "their time limits are relative to the time of receipt; give it with --received"),
            (partial, "an incomplete line is read only with --final"),
        ):
            mine = pc.is_in(letters["reason"], value_set=pa.array(reasons, pa.string()))
            self._turn.leave(letters.filter(mine), f"{file}: {why}")
            letters = letters.filter(pc.invert(mine))
        return letters

    def _take(self, letters: pa.Table, decoded: Decoded, name: str, file: str) -> None:
        recut = self._recut(letters, decoded, name)
        why = f"{file}: the format now splits their lines into different entries; use the format of the first reading"
        self._turn.take(self._turn.without(letters, recut, why), *decoded)

    def _recut(self, letters: pa.Table, decoded: Decoded, name: str) -> pa.Array:
        """Positions whose line now yields another number of entries. They cannot be matched to dead letters."""
        now, expected = entries_by_position(*decoded), entries_by_position(letters)
        differing = [position for position, number in expected.items() if now.get(position, 0) != number]
        if differing:
            before = self._worker.entries_at(self._wanted.source, name, pa.array(differing, pa.int64()))
            differing = [position for position in differing if now.get(position, 0) != before[position]]
        return pa.array(differing, pa.int64())


def _by_erasure(letters: pa.Table) -> list[tuple[str | None, pa.Table]]:
    """The dead letters grouped by the rule that erased their payload, None for those that are not erased."""
    rules = letters["erased_by"]
    return [
        (rule, letters.filter(pc.is_null(rules) if rule is None else pc.equal(rules, rule)))
        for rule in sorted(set(rules.to_pylist()), key=lambda rule: rule or "")
    ]


def _pieces(part: Lines) -> Iterator[Lines]:
    """The lines in batches for decoding."""
    lines, unreadable = part
    for start in range(0, lines.num_rows, DECODE_LINES):
        yield Lines(lines.slice(start, DECODE_LINES).combine_chunks(), unreadable)


def given(lake: Lake, source: str, files: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    """The given logs as generation → path. A file that was not read before becomes a problem."""
    logs = KnownLogs(known for known in known_files(lake) if known.source == source)
    found = {}
    for path in files:
        try:
            name = logs.likeliest(path)
        except UnreadableFile as exc:
            problems.append(str(exc))
            continue
        if name is not None:
            found[name] = path
        else:
            problems.append(f"{path} was never read as a log of source {source}; check the path and --source")
    return found


def named(lake: Lake, source: str, logs: dict[str, str | None]) -> dict[str, Path]:
    """The logs that still exist at the paths stored in the lake."""
    own = KnownLogs(known for known in known_files(lake) if known.source == source)
    found = {}
    for name, file in logs.items():
        if file is None or not Path(file).is_file():
            continue
        try:
            if own.likeliest(Path(file)) == name:
                found[name] = Path(file)
        except UnreadableFile:
            continue  # the dead letters that need the log are reported as left
    return found
