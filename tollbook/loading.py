"""`tollbook load`: log files to `gateway.access`, many lines in a record. Sent again, the same lines have the same ids.

Each record says which bytes of which file it holds (headers `generation` and `position`), so that an id that is derived is
derived from the file, as in the embedded run, and a second load is a load of duplicates.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from ingest.generation import identify
from ingest.text import UnreadableFile, is_complete_json, is_document, is_packed, open_text, packed_position, read
from schemas.halts import Halt, Halted
from schemas.partitions import partition_of_key

RECORD_BYTES = 256 << 10
_BLOCK_BYTES = 4 << 20


class Chunk(NamedTuple):
    """Whole lines of a file, where they begin in its text, and how far the file itself was read for them."""

    position: int
    text: bytes
    packed: int


class Loaded(NamedTuple):
    """What was sent, and what was not: files that could not be read, unfinished last lines."""

    lines: int
    records: int
    problems: list[str]
    waiting: dict[str, int]


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
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Loaded:
    """Send all lines of `files` and wait until the broker has them. Raises Halted when it does not take them.

    All lines of a source go to one partition, so that their order is kept: of entries that contradict each other the first is
    counted, as in the embedded run. `spread` deals them out over all partitions.
    `progress` is told the bytes read of the files as they lie on disk, and the lines sent.
    """
    lines = sent = done = 0
    problems: list[str] = []
    waiting: dict[str, int] = {}
    failed: list[str] = []
    one = partition_of_key(source, partitions)

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error.str())

    for path in files:
        try:
            found = identify(path, [])
            headers = {"format": format_name, "source": source, "generation": found.generation}
            for chunk in chunks(path, lines_max, final=final, waiting=waiting):
                said = [(name, value.encode()) for name, value in {**headers, "position": str(chunk.position)}.items()]
                _send(producer, topic, sent % partitions if spread else one, chunk.text, said, delivered)
                lines += chunk.text.count(b"\n") or 1
                sent += 1
                progress(done + chunk.packed, lines)
        except UnreadableFile as exc:
            problems.append(str(exc))
        done += path.stat().st_size if path.exists() else 0
        if failed:
            break
    if producer.flush(120) or failed:
        raise Halted(
            Halt.UNDELIVERED,
            f"{failed[0] if failed else 'the broker does not answer'}; load the files again: lines that arrived are known",
        )
    return Loaded(lines, sent, problems, waiting)


def chunks(path: Path, lines_max: int, *, final: bool = False, waiting: dict[str, int]) -> Iterator[Chunk]:
    """The text of a file in pieces of at most `lines_max` whole lines and about RECORD_BYTES. Raises UnreadableFile."""
    with open_text(path) as text:
        position, block = 0, read(text, _BLOCK_BYTES, str(path))
        if len(block) < _BLOCK_BYTES and is_document(block):
            raise UnreadableFile(
                f"{path} is one JSON document over several lines; read it with `tollbook run`, or ship its records a line each"
            )
        while block:
            following = read(text, _BLOCK_BYTES, str(path))
            cut = block.rfind(b"\n") + 1
            if not following and cut < len(block):
                if final or is_packed(path) or is_complete_json(block[cut:]):
                    cut = len(block)
                else:
                    waiting[str(path)] = len(block) - cut
            start = 0
            while start < cut:
                end = _end(block, start, cut, lines_max)
                yield Chunk(position + start, block[start:end], packed_position(text))
                start = end
            position += cut
            block = block[cut:] + following if following else b""


def _end(block: bytes, start: int, cut: int, lines_max: int) -> int:
    """The end of the piece that begins at `start`: after a newline, unless a single line is longer than a piece."""
    end = start
    for _ in range(lines_max):
        newline = block.find(b"\n", end, cut)
        if newline < 0:
            return cut
        if end > start and newline + 1 - start > RECORD_BYTES:
            return end
        end = newline + 1
    return end


def _send(
    producer: Producer,
    topic: str,
    partition: int,
    value: bytes,
    headers: list[tuple[str, bytes]],
    delivered: Callable[[KafkaError | None, Message], None],
) -> None:
    while True:
        try:
            producer.produce(topic, value, partition=partition, headers=list(headers), on_delivery=delivered)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return
