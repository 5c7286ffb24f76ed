"""The logs of which something was read, and which of them a file holds, by the text of the file alone.

A file continues a log if its text begins with everything that was read of it. It is a copy of a log if it ends before
that. Otherwise it is another log, and if the two begin alike, the run says so before it counts the common lines twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ingest.files import fingerprint
from ingest.files.block_reader import UnreadableFile, is_packed, open_log, read
from ingest.files.fingerprint import TAIL_BYTES, FileChanged, IdentifiedFile, KnownFile, Shared, file_key
from ingest.files.text_digest import HEAD_BYTES, Marks, RecordedText, TextDigest, decoded, digest, encoded, head_marks

_READ_BYTES = 1 << 20
_FOREVER = 1 << 62
_CACHED = 256  # a digest holds the bytes after its last whole chunk, up to 64 KiB


class DigestCache:
    """Digests of texts that this process has read, so that a followed log is not read again from its start."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], TextDigest] = {}  # the latest last

    def keep(self, generation: str, inode: str, digest: TextDigest) -> None:
        """Keep the digest of what was read of a log in a file."""
        self._digests.pop((generation, inode), None)
        self._digests[generation, inode] = digest.copy()
        if len(self._digests) > _CACHED:
            del self._digests[next(iter(self._digests))]

    def find(self, known: KnownFile, path: Path) -> TextDigest | None:
        """The digest at the known offset of a plain file that has grown since."""
        found = self._digests.get((known.generation, file_key(path, at_end=False)))
        is_it = found is not None and found.size == known.offset and found.value() == known.text_digest
        return found.copy() if found and is_it else None


class _Match(NamedTuple):
    """How a file and a known log compare: the first `shared` bytes are equal for certain."""

    known: KnownFile
    shared: int
    is_held: bool = False  # the file begins with all that was read of the log
    ends: bool = False  # the file ends within what was read
    digest: TextDigest | None = None


class Scan:
    """The digests of the beginnings of a text, from a place in it where it is opened, at growing offsets."""

    def __init__(self, text: BinaryIO, name: str, head: bytes) -> None:
        self.head = head
        self._text = text
        self._name = name
        self.digest = TextDigest()
        self.digest.update(head)
        self.tail = head
        self.ended = len(head) < HEAD_BYTES

    def at(self, offset: int) -> str | None:
        """The digest of everything before `offset`; None if the text ends before it."""
        if offset <= len(self.head):
            return digest(self.head[:offset])
        while not self.ended and self.digest.size < offset:
            piece = read(self._text, min(_READ_BYTES, offset - self.digest.size), self._name)
            self.digest.update(piece)
            self.tail = (self.tail + piece)[-TAIL_BYTES:]
            self.ended = not piece
        return self.digest.value() if self.digest.size == offset else None


class KnownLogs:
    """What was read of logs: `own` of the source itself, `others` of other sources."""

    def __init__(
        self, own: Iterable[KnownFile], others: Iterable[KnownFile] = (), cache: DigestCache | None = None
    ) -> None:
        own = list(own)
        self.names = {known.generation for known in own}
        self._cache = cache or DigestCache()
        self._read = {known.file_key: known for known in own if fingerprint.is_whole_key(known.file_key)}
        self._by_first: dict[str, list[tuple[KnownFile, bool]]] = {}
        self._short: list[tuple[KnownFile, bool]] = []  # without a whole line
        self._early: dict[int, dict[str, list[tuple[KnownFile, bool]]]] = {}  # of earlier versions, by head
        for known, is_own in [*((k, True) for k in own), *((k, False) for k in others)]:
            if not known.text_digest:
                heads = self._early.setdefault(known.head_bytes, {})
                heads.setdefault(known.head_sha256, []).append((known, is_own))
            elif known.marks:
                self._by_first.setdefault(known.marks.split(" ", 1)[0], []).append((known, is_own))
            else:
                self._short.append((known, is_own))

    def identify(self, path: Path) -> IdentifiedFile:
        """The log that a file holds. Its generation is a known one, or a new one.

        Raises EndsEarly if it may be a copy of a log, but not all of it is known to be, and UnreadableFile.
        """
        if known := self._read.get(file_key(path)):
            head = {at: each for at, each in decoded(known.marks).items() if at <= HEAD_BYTES}
            return _as_known(path, known, head, is_read=True)
        with open_log(path) as text:
            scan = Scan(text, str(path), read(text, HEAD_BYTES, str(path)))
            marks = head_marks(scan.head)
            matches = self._matches(path, scan, marks)
            found = self._decided(path, scan, marks, [m for m, is_own in matches if is_own])
        if found is None:
            found = fingerprint.named_by(path, self.names, marks)
        shared = _shared(path, found, matches)
        return found if shared is None else replace(found, shared=shared)

    def likeliest(self, path: Path) -> str | None:
        """The generation of the log of which a file begins with the most bytes, for a caller that checks each line.

        None if it begins with none. Raises UnreadableFile.
        """
        if known := self._read.get(file_key(path)):
            return known.generation
        with open_log(path) as text:
            scan = Scan(text, str(path), read(text, HEAD_BYTES, str(path)))
            matches = [m for m, is_own in self._matches(path, scan, head_marks(scan.head)) if is_own]
        return max(matches, key=lambda m: (m.shared, m.is_held)).known.generation if matches else None

    def held_at(self, text: BinaryIO, name: str) -> list[tuple[KnownFile, int]]:
        """The logs of the source that the text holds from where it is opened, and how many bytes of each: the most last.

        Fewer than were read if the text ends within the log.
        """
        scan = Scan(text, name, read(text, HEAD_BYTES, name))
        marks = head_marks(scan.head)
        candidates = [known for known, is_own in self._candidates(marks) if is_own]
        if not candidates:
            return self._early_held(scan)
        found = [(m, m.known.offset if m.is_held else scan.digest.size) for m in _compared(scan, candidates)]
        return sorted(((m.known, size) for m, size in found if m.is_held or m.ends), key=lambda each: each[1])

    def _early_held(self, scan: Scan) -> list[tuple[KnownFile, int]]:
        """The same for logs of which only the first bytes and the last ones before the offset are known."""
        heads = [heads.get(fingerprint.sha256(scan.head[:size]), []) for size, heads in self._early.items()]
        candidates = sorted((known for each in heads for known, is_own in each if is_own), key=lambda k: k.offset)
        held = []
        for known in candidates:
            is_there = scan.at(known.offset) is not None
            tail = scan.head[: known.offset] if known.offset <= len(scan.head) else scan.tail
            if is_there and fingerprint.tail_sha256(tail) == known.tail_sha256:
                held.append((known, known.offset))
        return held

    def _candidates(self, marks: Marks) -> list[tuple[KnownFile, bool]]:
        first = encoded(dict(sorted(marks.items())[:1]))
        return [*self._by_first.get(first, []), *self._short]

    def _matches(self, path: Path, scan: Scan, marks: Marks) -> list[tuple[_Match, bool]]:
        """The known logs that begin like the text, and whether they are of the source itself."""
        owners = {id(known): is_own for known, is_own in self._candidates(marks)}
        candidates = [known for known, _ in self._candidates(marks)]
        for known in candidates:
            if (continued := self._continued(path, scan, known)) is not None:
                return [(_Match(known, known.offset, is_held=True, digest=continued), owners[id(known)])]
        matches = _compared(scan, candidates)
        return [*((m, owners[id(m.known)]) for m in matches), *self._early_matches(path, scan)]

    def _continued(self, path: Path, scan: Scan, known: KnownFile) -> TextDigest | None:
        """The digest of a followed log that has grown: only its head and the bytes before the offset are read again."""
        found = self._cache.find(known, path)
        if found is None or is_packed(path) or path.stat().st_size < known.offset:
            return None
        is_same = all(scan.at(at) == each for at, each in decoded(known.marks).items() if at <= HEAD_BYTES)
        size, tail = fingerprint.tail(path, known.offset)
        same_tail = size == known.offset and fingerprint.tail_sha256(tail) == known.tail_sha256
        return found if is_same and same_tail else None

    def _early_matches(self, path: Path, scan: Scan) -> list[tuple[_Match, bool]]:
        """The same for logs of which only the first bytes and the last ones before the offset are known."""
        found = []
        for size in sorted(self._early, reverse=True):
            head = scan.head[:size] if size <= len(scan.head) else fingerprint.head_of(path, size)
            if len(head) < size:
                continue
            for known, is_own in self._early[size].get(fingerprint.sha256(head), []):
                length, tail = fingerprint.tail(path, known.offset)
                is_held = length == known.offset and fingerprint.tail_sha256(tail) == known.tail_sha256
                found.append((_Match(known, size, is_held, length < known.offset), is_own))
        return found

    def _decided(self, path: Path, scan: Scan, marks: Marks, own: Sequence[_Match]) -> IdentifiedFile | None:
        """The known log that a file holds, or a part of; None if it is another one."""
        best = max(own, key=lambda m: (m.known.offset if m.is_held else m.shared, m.is_held), default=None)
        if best is None or not (best.is_held or best.ends):
            held = [m for m in own if m.is_held]
            best = max(held, key=lambda m: m.known.offset, default=None)
        if best is None:
            return None
        if best.ends:
            if best.shared not in (scan.digest.size, scan.head.rfind(b"\n") + 1):
                raise EndsEarly(_as_known(path, best.known, marks, is_copy=True), scan.digest.size)
            return _as_known(path, best.known, marks, is_copy=True)
        before = best.digest or _digest_at(path, best.known.offset)
        return _as_known(path, best.known, marks, digest=before, is_read=_ends_at(path, best.known.offset))


def _compared(scan: Scan, candidates: Sequence[KnownFile]) -> list[_Match]:
    """How the text compares to each candidate, in one pass over it."""
    wanted = {id(k): sorted({**decoded(k.marks), k.offset: k.text_digest}.items()) for k in candidates}
    alike = [k for k in candidates if all(scan.at(at) == d for at, d in wanted[id(k)] if at <= len(scan.head))]
    values: dict[int, str | None] = {}
    digests: dict[int, TextDigest] = {}
    for offset in sorted({at for k in alike for at, _ in wanted[id(k)] if at > len(scan.head)}):
        values[offset] = scan.at(offset)
        if scan.digest.size == offset and any(k.offset == offset for k in alike):
            digests[offset] = scan.digest.copy()
    matches = []
    for known in candidates:
        shared, ends, is_held = 0, False, True
        for at, expected in wanted[id(known)]:
            value = scan.at(at) if at <= len(scan.head) else values.get(at)
            if value != expected:
                ends, is_held = value is None and scan.ended, False
                break
            shared = at
        if shared:
            matches.append(_Match(known, shared, is_held, ends, digests.get(known.offset)))
    return matches


def _shared(path: Path, found: IdentifiedFile, matches: Sequence[tuple[_Match, bool]]) -> Shared | None:
    """The part of a file that may have been counted as another log."""
    for match, is_own in matches:
        known, until = match.known, match.known.offset if match.is_held else match.shared
        if not is_own and (match.is_held or match.ends or until >= HEAD_BYTES):
            name = f"source {known.source}" + (f" ({known.file})" if known.file else "")
            why = (
                f"{path} begins with the {until} bytes that were read as a log of {name}, and its lines would be counted twice; "
                f"nothing of it was counted. Read it with --source {known.source}, or remove it"
            )
            return Shared(_FOREVER if match.ends else _whole_lines(path, until), why, own=False)
        is_another = is_own and not (match.is_held or match.ends) and until > (found.known.offset if found.known else 0)
        if is_another and (until >= HEAD_BYTES or fingerprint.is_same_inode(known.file_key, path)):
            return Shared(_whole_lines(path, until), begins_alike(path, until, known.file), own=True)
    return None


def _whole_lines(path: Path, until: int) -> int:
    """The start of the line that an offset is in."""
    tail = fingerprint.tail(path, until)[1]
    return until - len(tail) + tail.rfind(b"\n") + 1


def begins_alike(path: Path, until: int, other: str) -> str:
    """The message for a file that begins like another log and then differs."""
    return (
        f"{path} begins with the same {until} bytes as {other or 'a log that was read before'}, and then differs: it was edited, or "
        f"truncated and written again; nothing of it was counted. Restore the whole log and put the new lines into a file of their "
        f"own; if it is another log, give it a --source of its own"
    )


class EndsEarly(FileChanged):
    """A file begins like a log of which more was read. `copy` is the file as a copy of that log."""

    def __init__(self, copy: IdentifiedFile, size: int) -> None:
        assert copy.known is not None, "a log was read"
        super().__init__(
            f"{copy.path} begins like a log that was read up to byte {copy.known.offset}, but ends at byte {size}; "
            f"if it was truncated, restore the whole file; if it is a copy, finish or remove it; "
            f"if it is another log, give it a --source of its own"
        )
        self.copy = copy


def _as_known(
    path: Path,
    known: KnownFile,
    marks: Marks,
    digest: TextDigest | None = None,
    *,
    is_read: bool = False,
    is_copy: bool = False,
) -> IdentifiedFile:
    return IdentifiedFile(
        path=path, generation=known.generation, head_bytes=known.head_bytes, head_sha256=known.head_sha256, marks=marks,
        known=known, digest=digest, is_read=is_read, is_copy=is_copy,
    )  # fmt: skip


def recorded_text(file: IdentifiedFile, start: int) -> RecordedText:
    """The digest of a file up to `start`, to be continued. Raises UnreadableFile."""
    digest = file.digest if file.digest is not None and file.digest.size == start else _digest_at(file.path, start)
    with open_log(file.path) as text:
        before = read(text, start, str(file.path)) if start < HEAD_BYTES else b""
    is_recorded = file.known is not None and file.known.text_digest
    return RecordedText(start, before, digest, {} if is_recorded or not start else file.marks)


def _digest_at(path: Path, offset: int) -> TextDigest:
    """The digest of the text before an offset. Raises UnreadableFile."""
    if not offset:
        return TextDigest()
    with open_log(path) as text:
        scan = Scan(text, str(path), read(text, min(offset, HEAD_BYTES), str(path)))
        scan.ended = False
        scan.at(offset)
        return scan.digest


def _ends_at(path: Path, offset: int) -> bool:
    """Whether the text ends at an offset. A packed file that is damaged behind it does not: reading it reports that."""
    if not is_packed(path):
        return path.stat().st_size == offset
    try:
        return fingerprint.tail(path, offset + 1)[0] == offset
    except UnreadableFile:
        return False
