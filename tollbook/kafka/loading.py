"""`tollbook load`: log files to `gateway.access`, several lines per record.

Lines that are sent again have the same ids.

The headers `generation` and `position` of a record say which bytes of which file it holds. Derived ids therefore depend
on the file, as in the local run, and a second load sends only duplicates. A file of positions avoids even these: a
position is written when the broker has everything before it, and the next load continues there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.decode import detection, documents
from ingest.decode.framing import split_lines
from ingest.files import fingerprint
from ingest.files.block_reader import (
    UnreadableFile,
    is_complete_json,
    is_packed,
    open_log,
    packed_position,
    read,
)
from ingest.files.copies import logs_of
from ingest.files.fingerprint import FileChanged, IdentifiedFile, KnownFile
from ingest.files.known_logs import DigestCache, KnownLogs, recorded_text
from ingest.files.text_digest import HEAD_BYTES, RecordedText
from ingest.files.watcher import FileWatcher
from ingest.kafka.sending import produce
from schemas.halts import Halt, Halted
from schemas.kafka.partitions import partition_of_key
from tollbook.local_run.run import Stop

RECORD_BYTES = 256 << 10
_BLOCK_BYTES = 4 << 20
_NOTHING: Mapping[str, KnownFile] = {}


class LineBatch(NamedTuple):
    """Whole lines of a file, with their position in its text."""

    position: int
    text: bytes
    packed: int  # bytes read of the file on disk, up to the end of these lines
    before: bytes  # the last bytes of the text before these lines
    file_key: str = ""


class LineTooLong(Exception):
    """A line is longer than the topic's maximum record size. The rest of its file is not sent."""


class WrongFormat(Exception):
    """A file has another format than the given one. Nothing of it is sent."""


class Loaded(NamedTuple):
    """The result of a load: what was sent, unreadable files, unfinished last lines, and the positions of the files."""

    lines: int
    records: int
    problems: list[str]
    waiting: dict[str, int]
    troubled: frozenset[Path] = frozenset()
    known: Mapping[str, KnownFile] = _NOTHING  # by generation
    short: Sequence[Path] = ()  # files whose fingerprint changes when they grow


def load(
    producer: Producer,
    topic: str,
    partitions: int,
    files: Sequence[Path],
    *,
    format_name: str,
    source: str,
    lines_max: int,
    final: bool = False,
    spread: bool = False,
    accept_form_errors: bool = False,
    known: Mapping[str, KnownFile] = _NOTHING,
    others: Sequence[KnownFile] = (),
    cache: DigestCache | None = None,
    begin: Callable[[Mapping[str, KnownFile]], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Loaded:
    """Send all lines of `files`, and wait until the broker has them. Raises Halted if it does not accept them.

    All lines of a source go to one partition, which keeps their order: of conflicting entries the first is counted, as
    in the local run. `spread` distributes them over all partitions.

    A file is a problem if another format can read its first lines and the given one cannot, unless
    `accept_form_errors`.

    `known` maps a generation to the position up to which the file was sent. Earlier lines are not read again.

    `others` are positions of other sources. `cache` keeps digests between loads of one process.

    `begin` receives the positions before the first record of a new log is sent. The fingerprint of a short log covers
    all its lines: if the load dies and the log grows, the next load needs the old fingerprint to derive the same ids.

    `progress` receives the bytes read of the files on disk, and the lines sent.
    """
    lines = sent = done = 0
    problems: list[str] = []
    troubled: set[Path] = set()
    waiting: dict[str, int] = {}
    failed: list[str] = []
    reached = dict(known)
    cache = cache or DigestCache()
    logs, unread = logs_of(files, KnownLogs(known.values(), others, cache))
    one = partition_of_key(source, partitions)

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error.str())

    for path, problem in unread:
        problems.append(problem)
        troubled.add(path)
    for found in logs:
        path = found.path
        try:
            _check_uncounted(found)
            headers = {"format": format_name, "source": source, "generation": found.generation}
            recorded = recorded_text(found, found.known.offset if found.known else 0)
            for chunk in () if found.is_read else chunks(found, lines_max, final=final, waiting=waiting):
                if found.generation not in reached:
                    _check_format(path, chunk, format_name, accept=accept_form_errors)
                    nothing = KnownFile(
                        found.generation, found.head_bytes, found.head_sha256, 0, fingerprint.tail_sha256(b"")
                    )
                    begin({**reached, found.generation: nothing})
                encoded = [
                    (name, value.encode()) for name, value in {**headers, "position": str(chunk.position)}.items()
                ]
                to = sent % partitions if spread else one
                with _too_long_named(path, chunk):
                    produce(producer, topic, chunk.text, partition=to, headers=encoded, on_delivery=delivered)
                producer.poll(0)
                reached[found.generation] = _after(found, chunk, recorded, reached.get(found.generation))
                cache.keep(found.generation, fingerprint.file_key(path, at_end=False), recorded.digest)
                lines += chunk.text.count(b"\n") or 1
                sent += 1
                progress(done + chunk.packed, lines)
        except (UnreadableFile, FileChanged, LineTooLong, WrongFormat) as exc:
            problems.append(str(exc))
            troubled.add(path)
        done += path.stat().st_size if path.exists() else 0
        if failed:
            break
    if producer.flush(120) or failed:
        raise Halted(
            Halt.UNDELIVERED,
            f"{failed[0] if failed else 'the broker does not answer'}; load the files again: lines that arrived are not counted twice",
        )
    return Loaded(lines, sent, problems, waiting, frozenset(troubled), reached, _short(logs))


def follow(
    watcher: FileWatcher,
    send: Callable[[Sequence[Path], Mapping[str, KnownFile]], Loaded],
    known: Mapping[str, KnownFile],
    *,
    stop: Stop,
    look_s: float,
    keep: Callable[[Mapping[str, KnownFile]], None],
    on_loaded: Callable[[Loaded], None],
) -> Loaded:
    """Send new lines of growing files, check after check, until `stop`. Returns the sum of all checks.

    `keep` receives the positions when the broker has everything before them. A problem is reported when two checks in a
    row find it.
    """
    total = Loaded(0, 0, [], {}, frozenset(), known)
    suspected: set[str] = set()
    while not stop.is_set():
        changed = watcher.changed(list(total.known.values()))
        look = send(changed, total.known) if changed else Loaded(0, 0, [], {}, frozenset(), total.known)
        if look.records:
            keep(look.known)
        for path in look.troubled:
            watcher.recheck(path)
        stays = [problem for problem in look.problems if problem in suspected and problem not in total.problems]
        suspected = set(look.problems)
        unread = {str(path) for path in changed}
        waiting = {file: size for file, size in total.waiting.items() if file not in unread} | look.waiting
        total = Loaded(
            total.lines + look.lines,
            total.records + look.records,
            total.problems + stays,
            waiting,
            frozenset(),
            look.known,
        )
        if look.records or stays:
            on_loaded(look._replace(problems=stays))
        stop.wait(look_s)
    return total


def _check_format(path: Path, chunk: LineBatch, format_name: str, *, accept: bool) -> None:
    """Raise WrongFormat if another format fits the first lines of a file better."""
    other = None if accept else detection.better_format(detection.sample([split_lines(chunk.text, 0)]), format_name)
    if other is not None:
        raise WrongFormat(
            f"{path}: format {format_name} refuses most of its first lines for their form, and they look like {other}; nothing of it was sent. "
            f"Repeat the command with --format {other}, or with --accept-form-errors to send them all the same"
        )


@contextmanager
def _too_long_named(path: Path, chunk: LineBatch) -> Iterator[None]:
    """Raise LineTooLong for lines that the producer refuses by their size. A line is never split."""
    try:
        yield
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
            raise
        raise LineTooLong(
            f"{path}: the line at byte {chunk.position} has {len(chunk.text)} bytes, more than a record may have; the file was sent up to it. "
            f"Read the file with `tollbook run`, which refuses only this line, or shorten the line where it is written"
        ) from exc


def _short(sent: Sequence[IdentifiedFile]) -> list[Path]:
    """Files whose fingerprint covers fewer bytes than usual, and that may still grow."""
    return [s.path for s in sent if s.head_bytes < HEAD_BYTES and s.path.exists() and not is_packed(s.path)]


def _after(found: IdentifiedFile, chunk: LineBatch, recorded: RecordedText, before: KnownFile | None) -> KnownFile:
    """The position of a file after these lines."""
    recorded.update(chunk.text)
    head = (found.head_bytes, found.head_sha256) if before is None else (before.head_bytes, before.head_sha256)
    return KnownFile(
        found.generation,
        *head,
        chunk.position + len(chunk.text),
        fingerprint.tail_sha256(chunk.before + chunk.text),
        recorded.digest.value(),
        f"{before.marks if before else ''} {recorded.taken()}".strip(),
        chunk.file_key,
        file=str(found.path),
    )


def _check_uncounted(found: IdentifiedFile) -> None:
    """Raise FileChanged if lines of a file were sent as another log."""
    if found.shared is not None:
        raise FileChanged(found.shared.why)


def chunks(
    found: IdentifiedFile, lines_max: int, *, final: bool = False, waiting: dict[str, int]
) -> Iterator[LineBatch]:
    """The text of a file after its known position, in batches of whole lines.

    A batch has at most `lines_max` lines and about RECORD_BYTES.

    Raises UnreadableFile, FileChanged.
    """
    path, known = found.path, found.known
    position = 0 if known is None else known.offset
    key, inode = fingerprint.file_key(path), fingerprint.file_key(path, at_end=False)
    with open_log(path) as text:
        before = fingerprint.skip(text, position, str(path))
        if known is not None and fingerprint.tail_sha256(before) != known.tail_sha256:
            raise FileChanged(fingerprint.changed(path))
        block = read(text, _BLOCK_BYTES, str(path))
        if position == 0 and len(block) < _BLOCK_BYTES and documents.spanning(block):
            raise UnreadableFile(
                str(path),
                "one JSON document over several lines; read it with `tollbook run`, or ship one record per line",
            )
        while block:
            following = read(text, _BLOCK_BYTES, str(path))
            fingerprint.check_unmoved(path, text, position, before, block)
            cut = block.rfind(b"\n") + 1
            if not following and cut < len(block):
                cut += documents.whole_objects(block[cut:])
                if final or is_complete_json(block[cut:]):
                    cut = len(block)
                else:
                    waiting[str(path)] = len(block) - cut
            start = 0
            while start < cut:
                end = _end(block, start, cut, lines_max)
                is_whole = not following and end == len(block) and fingerprint.file_key(path) == key
                yield LineBatch(
                    position + start, block[start:end], packed_position(text), before, key if is_whole else inode
                )
                before = (before + block[start:end])[-fingerprint.TAIL_BYTES :]
                start = end
            position += cut
            block = block[cut:] + following if following else b""


def _end(block: bytes, start: int, cut: int, lines_max: int) -> int:
    """The end of the batch that begins at `start`: after a newline, unless a single line is longer than a batch."""
    end = start
    for _ in range(lines_max):
        newline = block.find(b"\n", end, cut)
        if newline < 0:
            return cut
        if end > start and newline + 1 - start > RECORD_BYTES:
            return end
        end = newline + 1
    return end
