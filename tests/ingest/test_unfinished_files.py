"""Files that are not whole: documents that are being written wait for their end, and a cut copy gives what it holds."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.decode import documents
from ingest.decode.framing import split_lines, whole_documents
from ingest.decode.pipeline import Decoder, SourceRules
from ingest.files.block_reader import CutFile, frames, read_blocks
from ingest.files.buffers import Buffers
from ingest.files.file_log import FileLog
from ingest.files.fingerprint import KnownFile
from tests.ingest.fixtures import OWNERS, kong, line
from tests.ingest.test_file_log import opened, read
from tests.ingest.test_follow_log import Site

RECORDS = [kong(f"id-{i}") for i in range(50)]
IDS = [f"id-{i}" for i in range(50)]
ARRAY = json.dumps(RECORDS, indent=2).encode() + b"\n"
SEVERAL = "".join(json.dumps(record, indent=2) + "\n" for record in RECORDS).encode()


def every(text: bytes, step: int) -> list[bytes]:
    """The beginnings of a text that end after a line."""
    ends = [i + 1 for i, byte in enumerate(text[:-1]) if byte == ord("\n")]
    return [text[:end] for end in ends[::step]]


def test_a_document_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    """Like half a line. Its lines would be refused one by one, and it could not be read any more when it is whole."""
    path = tmp_path / "a.json"
    for part in every(ARRAY, 97):
        path.write_bytes(part)
        log = opened([path])
        assert read(log) == ([], [])
        assert log.waiting == {str(path): len(part)}
    path.write_bytes(ARRAY)
    log = opened([path])
    assert read(log)[0] == IDS
    assert log.waiting == {}


@pytest.mark.parametrize("text", [ARRAY, SEVERAL], ids=["an array", "one after another"])
@pytest.mark.parametrize("step", [1300, 4999])
def test_a_followed_file_of_documents_is_counted_once(tmp_path: Path, text: bytes, step: int) -> None:
    """Wherever a check finds the writer: inside a line, between lines, between documents."""
    site = Site(tmp_path)
    for start in range(0, len(text), step):
        site.write(text[start : start + step])
        site.look()
        if start % 3 == 0:
            site.restart()
    assert (site.read, site.refused, site.problems) == (IDS, [], [])


def test_documents_one_after_another_are_read_as_they_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    half = len(SEVERAL) // 2
    end = SEVERAL.rindex(b"\n{", 0, half) + 1
    path.write_bytes(SEVERAL[:half])
    log = opened([path])
    ids, known = read(log)
    assert (ids, known[0].offset, log.waiting) == (IDS[: len(ids)], end, {str(path): half - end})
    path.write_bytes(SEVERAL)
    assert read(opened([path], known))[0] == IDS[len(ids) :]


@pytest.mark.parametrize("text", [ARRAY, SEVERAL], ids=["an array", "one after another"])
def test_a_document_that_will_not_end_is_refused(tmp_path: Path, text: bytes) -> None:
    """--final says so, and a packed file is at rest."""
    plain, packed = tmp_path / "a.json", tmp_path / "b.json.gz"
    plain.write_bytes(text[:-200])
    packed.write_bytes(gzip.compress(text[:-200]))
    whole = 49 if text is SEVERAL else 0
    for log in (opened([plain], final=True), opened([packed])):
        reasons: list[str] = []
        counted = 0
        while fetched := log.poll():
            counted += fetched.events.num_rows
            reasons += fetched.refused["reason"].to_pylist()
        log.close()
        assert (counted, log.waiting, bool(reasons)) == (whole, {}, True)


@pytest.mark.parametrize(
    ("text", "begins", "end", "is_open"),
    [
        (b"[\n", [], 0, True),
        (b'{\n"a":1\n}\n', [0], 10, False),
        (b'\xef\xbb\xbf \n{\n"a":1}\n\n[\n1]', [5, 15], 19, False),
        (b'{\n}\n{\n"a":', [0], 3, True),
        (b'{\n}\n{"a":1}\n{"b"', [0, 4], 11, True),
        (b'{\n"a":\xff"\xfc"}\n'.replace(b"\xff", b""), [0], 11, False),
    ],
)
def test_what_spans_lines(text: bytes, begins: list[int], end: int, is_open: bool) -> None:
    found = documents.spanning(text)
    assert found is not None
    assert (found.begins, found.is_open) == (begins, is_open)
    assert text[: found.end].rstrip() == text[:end].rstrip()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b'{"a":1}\n', b'{"a":1}\n{\n', b'{"a":"cut\n', b'{"a":"cut\n{"b":1}\n', b'{"a":1,\n{"b":1}\n{"c":1}\n', b"{\n}\ntext\n",
        b'[05/Oct/2026:09:00:00 +0000] "GET\n', b"[2026-10-05T09:00:00.000Z]\n", b"[Sun Oct 05] [core:notice]\n", b"text\n{\n}\n", b'{"a":tr\n', b"[" * 9000 + b"\n",
    ],
)  # fmt: skip
def test_what_consists_of_lines(text: bytes) -> None:
    """One torn line must not make the rest of a log wait."""
    assert documents.spanning(text) is None


def test_a_torn_line_holds_nothing_up(tmp_path: Path) -> None:
    """Half of an object, and then objects: the first line is refused, and the others are counted at once."""
    path = tmp_path / "a.log"
    path.write_bytes(line(kong("torn"))[:70] + b"\n" + b"".join(line(record) for record in RECORDS))
    log = opened([path])
    assert (read(log)[0], log.waiting) == (IDS, {})


@pytest.mark.parametrize("templates_from", [1, 1 << 30])
def test_documents_are_read_like_lines(templates_from: int) -> None:
    decoder = Decoder("kong", SourceRules("edge"), OWNERS, templates_from=templates_from)
    span = documents.spanning(SEVERAL)
    assert span is not None
    framed = whole_documents(SEVERAL, 0, span.begins)
    assert framed.lines["position"].to_pylist() == span.begins
    on_lines = decoder.decode(split_lines(b"".join(map(line, RECORDS)), 0), "g").events
    assert decoder.decode(framed, "g").events.drop_columns(["position"]).equals(on_lines.drop_columns(["position"]))


@pytest.mark.parametrize("block_bytes", [100, 5000, 1 << 20])
def test_documents_are_found_across_blocks(block_bytes: int) -> None:
    blocks = list(read_blocks(io.BytesIO(SEVERAL), 0, Buffers(block_bytes), "x"))
    found = [part.start + begin for part in blocks if part.spanning for begin in part.spanning.begins]
    assert found == documents.spanning(SEVERAL).begins  # type: ignore[union-attr]


def zstd(text: bytes) -> bytes:
    return bytes(pa.compress(text, codec="zstd", asbytes=True))


@cache
def log_text() -> bytes:
    return b"".join(line(kong(f"{i}-{i * 7919 % 1009}")) for i in range(3000))


def whole_lines(log: FileLog) -> tuple[int, list[KnownFile]]:
    ids, known = read(log)
    assert len(set(ids)) == len(ids)
    return len(ids), known


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstd, lzma.compress, bz2.compress], ids=["gzip", "zstd", "xz", "bzip2"]
)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.slow
def test_a_cut_file_gives_the_lines_that_it_holds(tmp_path: Path, pack: Callable[[bytes], bytes], share: float) -> None:
    """A copy that stopped. Also one that is smaller than a block, of which nothing was read."""
    packed = pack(log_text())
    path = tmp_path / "a.log.z"
    path.write_bytes(packed[: int(len(packed) * share)])
    log = opened([path])
    first, known = whole_lines(log)
    assert "ends too early" in log.problems[0]
    assert first >= 3000 * share * 0.5 or pack is bz2.compress  # its blocks are of 900 kB
    assert whole_lines(opened([path], known))[0] == 0
    path.write_bytes(packed)
    assert first + whole_lines(opened([path], known))[0] == 3000


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_parse_shows_what_a_cut_file_holds(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.log.z"
    packed = pack(log_text())
    path.write_bytes(packed[: len(packed) // 2])
    blocks = frames(path)
    assert next(blocks).lines.num_rows > 500
    with pytest.raises(CutFile, match="ends too early"):
        next(blocks)
