"""The files of one run: of several copies of one log the longest is read, and a concatenation of logs is not read again.

Files are compared byte by byte, but only if the digests of their heads say that they may be alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ingest.files import fingerprint
from ingest.files.block_reader import UnreadableFile, open_log, read, seek
from ingest.files.fingerprint import FileChanged, IdentifiedFile, Shared
from ingest.files.known_logs import EndsEarly, KnownLogs, begins_alike
from ingest.files.text_digest import HEAD_BYTES, Marks, encoded, head_marks

_READ_BYTES = 1 << 20


class _Overlap(NamedTuple):
    """How far two texts are equal, and which of them ends there. If none does, `size` is of equal whole lines."""

    size: int
    first_ends: bool
    second_ends: bool


def logs_of(files: Sequence[Path], logs: KnownLogs) -> tuple[list[IdentifiedFile], list[tuple[Path, str]]]:
    """Each log with the file to read it from, and the files that cannot be read as logs of their own, each with the reason.

    Of several copies, the longest takes the place of the first.
    """
    copies = Copies(logs)
    problems: list[tuple[Path, str]] = []
    short: list[tuple[IdentifiedFile, str]] = []
    for path in files:
        try:
            new = logs.identify(path)
            if new.is_copy:
                short.append((new, ""))
            elif new.head_bytes:  # an empty file has no fingerprint yet
                copies.add(new)
        except EndsEarly as exc:
            short.append((exc.copy, str(exc)))
        except UnreadableFile as exc:
            problems.append((path, str(exc)))
    for copy, why in short:
        try:
            if not copies.take_short(copy) and why:
                problems.append((copy.path, why))
        except UnreadableFile as exc:
            problems.append((copy.path, str(exc)))
    found = [file for file in copies.files() if file.path not in copies.beside]
    return found, [*problems, *copies.problems.items()]


class Copies:
    """The files of one run, each log once, in the order of their first copies. problems: file → what to say."""

    def __init__(self, logs: KnownLogs) -> None:
        self.problems: dict[Path, str] = {}
        self.beside: set[Path] = set()  # files that were added only to compare others with them
        self._logs = logs
        self._files: list[IdentifiedFile | None] = []
        self._by_mark: dict[str, list[int]] = {}  # every mark of a head → the files that have it
        self._by_last: dict[str, list[int]] = {}  # the last mark of a head → its files
        self._by_name: dict[str, list[int]] = {}
        self._starts: dict[Path, int] = {}  # file that is a log of its own → how much it begins with of a known one
        self._prefixes: dict[Path, list[tuple[IdentifiedFile, int]]] = {}  # file → shorter copies, and their lengths

    def add(self, new: IdentifiedFile) -> None:
        """Take in the next file. Raises UnreadableFile if it is this one that cannot be read."""
        place: int | None = None
        beginnings: list[tuple[int, IdentifiedFile, int]] = []  # files that the new one begins with
        for index in sorted(self._related(new)):
            other = self._files[index]
            if other is None or other.path == new.path:
                continue
            try:
                common = self._common(other, new)
            except UnreadableFile as exc:
                if exc.name == str(new.path):
                    raise
                self._drop(exc)  # a damaged copy must not block an intact one
                place = index if place is None else place
                continue
            if common.second_ends:
                if not common.first_ends:
                    self._prefixes.setdefault(other.path, []).append((new, common.size))
                return
            if common.first_ends:
                beginnings.append((index, other, common.size))
                place = index if place is None else place
            else:
                held = [(copy, size) for copy, size in self._prefixes.get(other.path, []) if size <= common.size]
                self._prefixes.setdefault(new.path, []).extend(held)
                new = self._distinguished(other, new, common.size)
        for index, other, size in beginnings:
            self._prefixes.setdefault(new.path, []).extend([(other, size), *self._prefixes.pop(other.path, [])])
            self._files[index] = None
        self._place(new, place)

    def files(self) -> list[IdentifiedFile]:
        """The files to read, after concatenations were found."""
        for index in range(len(self._files)):
            while (file := self._files[index]) is not None:
                try:
                    self._without_parts(index, file)
                    break
                except UnreadableFile as exc:
                    if not self._drop(exc):  # it was among the beginnings of others
                        self.problems[file.path] = str(exc)
                        self._files[index] = None
        return [file for file in self._files if file is not None]

    def _drop(self, exc: UnreadableFile) -> bool:
        """Report the file that cannot be read, and take it away. False if it is not among the files."""
        places = [place for place, file in enumerate(self._files) if file is not None and str(file.path) == exc.name]
        for place in places:
            self.problems[Path(exc.name)] = str(exc)
            self._files[place] = None
        return bool(places)

    def take_short(self, copy: IdentifiedFile) -> bool:
        """Take in a file that seems to hold less than was read of a log. False if the log's file is not there to decide it.

        Raises UnreadableFile.
        """
        if not (there := self._of(copy.generation)):
            self._add_beside(copy)
            there = self._of(copy.generation)
        for other in there:
            common = _compared(other.path, copy.path)
            if common.second_ends:
                self._prefixes.setdefault(other.path, []).append((copy, common.size))
                return True
        if there and not common.first_ends:
            self.add(self._distinguished(there[0], copy, common.size))
        return bool(there)

    def _of(self, generation: str) -> list[IdentifiedFile]:
        files = [self._files[place] for place in self._by_name.get(generation, [])]
        return [file for file in files if file is not None]

    def _add_beside(self, copy: IdentifiedFile) -> None:
        """Add the file of which a copy is a part, if it is still where it was read, and not among the files."""
        path = Path(copy.known.file if copy.known else "")
        if path.is_file() and path.stat().st_ino != copy.path.stat().st_ino:
            with suppress(FileChanged, UnreadableFile):
                found = self._logs.identify(path)
                if found.generation == copy.generation and not found.is_copy:
                    self.beside.add(path)
                    self._place(found, None)

    def _place(self, new: IdentifiedFile, place: int | None) -> None:
        if place is None:
            place = len(self._files)
            self._files.append(None)
        self._files[place] = new
        tokens = _tokens(new.marks)
        for token in tokens:
            self._by_mark.setdefault(token, []).append(place)
        if tokens:
            self._by_last.setdefault(tokens[-1], []).append(place)
        self._by_name.setdefault(new.generation, []).append(place)

    def _related(self, new: IdentifiedFile) -> set[int]:
        """Files whose head is the beginning of the other's head."""
        tokens = _tokens(new.marks)
        related = set(self._by_name.get(new.generation, []))
        related.update(self._by_mark.get(tokens[-1], []) if tokens else [])
        for token in tokens:
            related.update(self._by_last.get(token, []))
        return related

    def _common(self, first: IdentifiedFile, second: IdentifiedFile) -> _Overlap:
        if fingerprint.file_key(first.path) == fingerprint.file_key(second.path):  # a link to the same file
            return _Overlap(first.path.stat().st_size, first_ends=True, second_ends=True)
        if first.known is not None and second.known == first.known:  # both hold all that was read of one log
            if second.is_read:
                return _Overlap(first.known.offset, first_ends=first.is_read, second_ends=True)
            if first.is_read:
                return _Overlap(first.known.offset, first_ends=True, second_ends=False)
        return _compared(first.path, second.path)

    def _distinguished(self, other: IdentifiedFile, new: IdentifiedFile, size: int) -> IdentifiedFile:
        """`new` as a log of its own: it begins like `other` and then differs."""
        if other.generation == new.generation:
            if new.known is not None:
                self._starts[new.path] = new.known.offset
            mine = fingerprint.named_by(new.path, {*self._logs.names, *self._by_name}, new.marks)
            new = replace(mine, shared=new.shared)
        if size >= HEAD_BYTES and new.shared is None:
            return replace(new, shared=Shared(size, begins_alike(new.path, size, str(other.path)), own=True))
        return new

    def _without_parts(self, index: int, file: IdentifiedFile) -> None:
        """Drop a file that consists of other logs, or the logs that a file which was read before consists of."""
        known = file.known if not file.is_read else None
        starts: list[tuple[int, IdentifiedFile | None]] = [
            (size, copy) for copy, size in self._prefixes.get(file.path, [])
        ]
        starts += [(known.offset, None)] if known is not None else []
        starts += [(self._starts[file.path], None)] if file.path in self._starts else []
        found = [
            (parts, copy)
            for start, copy in sorted(starts, key=lambda each: each[0])
            if (parts := list(self._parts(file, start)))
        ]
        if not found:
            return
        parts, copy = next((each for each in found if each[0][-1].is_last), found[-1])
        end = parts[-1].end
        if file.known is not None and end <= file.known.offset:
            for part in parts:
                if part.place is not None and (there := self._files[part.place]) and there.known is None:
                    self._files[part.place] = None
            return
        self._files[index] = None if copy is None or self._is_held(copy, file) else copy
        if not parts[-1].is_last:
            first = str(copy.path) if copy else file.known.file if file.known else ""
            names = ", ".join([first, *(part.name for part in parts)])
            self.problems[file.path] = (
                f"{file.path} consists of logs that are read by themselves ({names}) up to byte {end} of its text, and of other lines; "
                f"nothing of it was counted. Put the other lines into a file of their own, or remove those logs and this file's first {end} bytes"
            )

    def _is_held(self, copy: IdentifiedFile, apart: IdentifiedFile) -> bool:
        """Whether a file is among those to read, or is the beginning of one of them, apart from one."""
        others = [file for file in self._files if file is not None and file is not apart]
        return any(
            file is copy or any(copy is each for each, _ in self._prefixes.get(file.path, [])) for file in others
        )

    def _parts(self, file: IdentifiedFile, start: int) -> Iterator["_Member"]:
        """The logs that follow each other in a file from an offset on."""
        while True:
            part = self._part(file, start)
            if part is None:
                return
            yield part
            if part.is_last or part.end == start:
                return
            start = part.end

    def _part(self, file: IdentifiedFile, start: int) -> "_Member | None":
        with open_log(file.path) as text:
            seek(text, start, str(file.path))
            marks = head_marks(read(text, HEAD_BYTES, str(file.path)))
        first = _tokens(marks)[:1]
        there = [(self._files[place], place) for place in self._by_mark.get(first[0], [])] if first else []
        copies = [(copy, None) for copy, _ in self._prefixes.get(file.path, [])]
        for other, place in [*there, *copies]:
            if other is None or other.path == file.path or _tokens(other.marks)[:1] != first:
                continue
            common = _compared(file.path, other.path, start)
            if common.second_ends or (common.first_ends and common.size):
                return _Member(start + common.size, common.first_ends, str(other.path), place)
        with open_log(file.path) as text:
            seek(text, start, str(file.path))
            held = self._logs.held_at(text, str(file.path))
        for known, size in reversed(held):
            is_grown = file.known is not None and fingerprint.is_same_inode(file.known.file_key, file.path)
            if is_grown and size < HEAD_BYTES:
                continue  # the log itself has grown by lines that another one also begins with
            is_last = not _has_more(file.path, start + size)
            return _Member(start + size, is_last, known.file or known.generation, None)
        return None


class _Member(NamedTuple):
    """A log in a concatenation: where it ends, whether the text ends there, and which file of the run it is."""

    end: int
    is_last: bool
    name: str
    place: int | None


def _compared(first: Path, second: Path, start: int = 0) -> _Overlap:
    """How far the text of `first` from an offset on is equal to the text of `second`."""
    size = lines = 0
    with open_log(first) as one, open_log(second) as other:
        seek(one, start, str(first))
        while True:
            left, right = read(one, _READ_BYTES, str(first)), read(other, _READ_BYTES, str(second))
            common = min(len(left), len(right))
            if left[:common] != right[:common]:
                equal = next(i for i in range(common) if left[i] != right[i])
                cut = left.rfind(b"\n", 0, equal) + 1
                return _Overlap(size + cut if cut else lines, first_ends=False, second_ends=False)
            if cut := left.rfind(b"\n", 0, common) + 1:
                lines = size + cut
            size += common
            if len(left) != len(right) or not common:
                return _Overlap(size, first_ends=len(left) <= common, second_ends=len(right) <= common)


def _has_more(path: Path, offset: int) -> bool:
    return fingerprint.tail(path, offset + 1)[0] > offset


def _tokens(marks: Marks) -> list[str]:
    return encoded(marks).split()
