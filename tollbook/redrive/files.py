"""Refused entries of logs that are files, read again: by their own text where it is the line, else from the log."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.redrive import Redrive, Wanted
from ingest.decode.framing import Lines
from ingest.decode.pipeline import Decoded, Decoder
from ingest.files import fingerprint
from ingest.files.block_reader import UnreadableFile
from ingest.files.fingerprint import FileChanged
from ingest.replay.lines import replayed_lines
from lake.lake import Lake
from schemas.reasons import Reason
from tollbook.local_run.run import known_files
from tollbook.redrive.turn import DECODE_LINES, Turn, at_positions, entries_by_position


class FileReader:
    """Reads the letters of one log after the other."""

    def __init__(
        self, worker: Redrive, turn: Turn, wanted: Wanted, decoder: Decoder, *, in_time: bool, final: bool
    ) -> None:
        """`in_time`: the decoder knows when the logs were received; `final`: half lines are read as they stand."""
        self._worker = worker
        self._turn = turn
        self._wanted = wanted
        self._decoder = decoder
        self._in_time = in_time
        self._final = final

    def read(self, name: str, file: str, path: Path | None) -> None:
        """Read the letters of one log again; `path` is where it is now, if it is at hand."""
        letters = self._apart(self._worker.letters(self._wanted, name), file)
        try:
            again = replayed_lines(letters, path, self._decoder.layout_prefix)
        except UnreadableFile as exc:
            self._turn.problems.append(str(exc))
            again = replayed_lines(letters, None, self._decoder.layout_prefix)
        for erased_by, mine in _by_erasure(letters):
            text = f"their text was erased ({erased_by}) and " if erased_by else ""
            away = f"{file}: {text}the log is not at hand; name it at the end of the command"
            self._turn.leave(at_positions(mine, again.needs_log), away)
        changed = f"{file}: the lines that stand there now are others; bring back the log as it was read"
        self._turn.leave(at_positions(letters, again.changed), changed)
        for part in again.parts:
            for lines in _pieces(part.lines):
                mine = at_positions(letters, lines.lines["position"].combine_chunks())
                self._take(mine, self._decoder.decode(lines, name, layout=part.layout), name, file)

    def _apart(self, letters: pa.Table, file: str) -> pa.Table:
        """Letters without those that cannot be judged as things are."""
        untold = [] if self._in_time else [Reason.TOO_LATE, Reason.IN_FUTURE]
        half = [] if self._final else [Reason.PARTIAL_LINE]
        for reasons, why in (
            (untold, "whether they are in time is measured against the time of receipt; give it with --received"),
            (half, "half a line is read as it stands only with --final"),
        ):
            mine = pc.is_in(letters["reason"], value_set=pa.array(reasons, pa.string()))
            self._turn.leave(letters.filter(mine), f"{file}: {why}")
            letters = letters.filter(pc.invert(mine))
        return letters

    def _take(self, letters: pa.Table, decoded: Decoded, name: str, file: str) -> None:
        recut = self._recut(letters, decoded, name)
        why = f"{file}: the format cuts their lines into other entries than before; it must not"
        self._turn.take(self._turn.without(letters, recut, why), *decoded)

    def _recut(self, letters: pa.Table, decoded: Decoded, name: str) -> pa.Array:
        """Positions of lines that are another number of entries now than they were: what each letter was cannot be told."""
        now, expected = entries_by_position(*decoded), entries_by_position(letters)
        differing = [position for position, number in expected.items() if now.get(position, 0) != number]
        if differing:
            before = self._worker.entries_at(self._wanted.source, name, pa.array(differing, pa.int64()))
            differing = [position for position in differing if now.get(position, 0) != before[position]]
        return pa.array(differing, pa.int64())


def _by_erasure(letters: pa.Table) -> list[tuple[str | None, pa.Table]]:
    """Letters by the rule that erased their text, None: it is there."""
    rules = letters["erased_by"]
    return [
        (rule, letters.filter(pc.is_null(rules) if rule is None else pc.equal(rules, rule)))
        for rule in sorted(set(rules.to_pylist()), key=lambda rule: rule or "")
    ]


def _pieces(part: Lines) -> Iterator[Lines]:
    """The lines that are decoded at a time."""
    lines, unreadable = part
    for start in range(0, lines.num_rows, DECODE_LINES):
        yield Lines(lines.slice(start, DECODE_LINES).combine_chunks(), unreadable)


def given(lake: Lake, source: str, files: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    """The logs that were named: generation → path. What is none that was read becomes a problem."""
    known = known_files(lake, source)
    names = {k.generation for k in known}
    found = {}
    for path in files:
        try:
            name = fingerprint.identify(path, known).generation
        except (UnreadableFile, FileChanged) as exc:
            problems.append(str(exc))
            continue
        if name in names:
            found[name] = path
        else:
            problems.append(f"{path} is no log that was read under source {source}")
    return found


def named(lake: Lake, source: str, logs: dict[str, str | None]) -> dict[str, Path]:
    """The logs where the lake saw them last, as far as they are still there."""
    known = known_files(lake, source)
    found = {}
    for name, file in logs.items():
        if file is None or not Path(file).is_file():
            continue
        try:
            if fingerprint.identify(Path(file), known).generation == name:
                found[name] = Path(file)
        except (UnreadableFile, FileChanged):
            continue  # that it is not at hand is said with the letters that need it
    return found
