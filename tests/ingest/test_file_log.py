"""Log files as a log: read once, whatever happens to the file's name, packing and length."""

import gzip
import re
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.decode import documents
from ingest.decode.pipeline import Decoded, Decoder, SourceRules
from ingest.files import block_reader
from ingest.files.block_reader import UnreadableFile, frames, open_log
from ingest.files.file_log import FileLog
from ingest.files.fingerprint import KnownFile, known_after, skip
from ingest.files.known_logs import KnownLogs
from schemas.log import Partition
from tests.ingest.fixtures import OWNERS, kong, line


def lines(*ids: object) -> bytes:
    return b"".join(line(kong(str(i))) for i in ids)


class Lake:
    """A reader that continues at the offsets in `known`."""

    def __init__(self, known: Sequence[KnownFile]) -> None:
        self.offsets = {k.generation: k.offset for k in known}

    def assigned(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        return {partition: self.offsets.get(partition.generation) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Files are never revoked."""
        raise AssertionError(partitions)


def opened(files: Sequence[Path], known: Sequence[KnownFile] = (), **options: int) -> FileLog:
    log = FileLog(files, "edge", known, lambda: Decoder("kong", SourceRules("edge"), OWNERS), **options)
    log.start(Lake(known))
    return log


def read(log: FileLog) -> tuple[list[str], list[KnownFile]]:
    """All event ids, and what the lake would record."""
    ids: list[str] = []
    known: dict[str, KnownFile] = {}
    while fetched := log.poll():
        ids += fetched.events["event_id"].to_pylist()
        generation = fetched.partition.generation
        known[generation] = known_after(fetched, known.get(generation))
    log.close()
    return ids, list(known.values())


def entries(log: FileLog) -> tuple[int, list[KnownFile]]:
    """The number of all entries, and what the lake would record."""
    found = 0
    known: dict[str, KnownFile] = {}
    while fetched := log.poll():
        found += fetched.entries
        name = fetched.partition.generation
        known[name] = KnownFile(name, fetched.head_bytes, fetched.head_sha256, fetched.to_offset, fetched.tail_sha256)
    log.close()
    return found, list(known.values())


def test_a_file_is_read_once_and_a_grown_one_from_where_it_ended(tmp_path: Path) -> None:
    """The lake's offset is where reading continues."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(1, 2))
    ids, known = read(opened([path]))
    assert ids == ["1", "2"]
    assert read(opened([path], known))[0] == []
    with path.open("ab") as file:
        file.write(lines(3))
    assert read(opened([path], known))[0] == ["3"]


@pytest.mark.parametrize("length", [2, 40], ids=["shorter than the head", "longer than the head"])
def test_rename_compression_and_growth_keep_the_generation(tmp_path: Path, length: int) -> None:
    """access.log becomes access.log.1, then access.log.1.gz; a copy that grows under another name is the same log."""
    path = tmp_path / "access.log"
    path.write_bytes(lines(*range(length)))
    _, known = read(opened([path]))
    packed = tmp_path / "access.log.1.gz"
    packed.write_bytes(gzip.compress(path.read_bytes() + lines("new")))
    path.unlink()
    assert read(opened([packed], known))[0] == ["new"]


def test_the_same_log_twice_in_one_run_is_read_once(tmp_path: Path) -> None:
    """A plain file and its compressed prefix: the longer one is read."""
    (tmp_path / "a.log").write_bytes(lines(*range(50)))
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(lines(*range(30))))
    ids, _ = read(opened([tmp_path / "a.log.gz", tmp_path / "a.log"]))
    assert ids == [str(i) for i in range(50)]


@pytest.mark.integration
def test_two_logs_with_the_same_beginning_are_told_apart(tmp_path: Path) -> None:
    """More than the head is equal, the rest differs: both are read, now and in later runs."""
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    one.write_bytes(lines(*range(30), "x1", "x2"))
    other.write_bytes(lines(*range(30), "y1", "y2"))
    ids, known = read(opened([one, other]))
    assert ids.count("5") == 2
    assert {"x1", "y2"} <= set(ids)
    assert read(opened([other, one], known))[0] == []
    ids, known = read(opened([one]))
    assert read(opened([other], known))[0][-1] == "y2", "also when the second file is met in a later run"


def test_a_file_that_shrank_is_reported_and_not_read(tmp_path: Path) -> None:
    """A truncated file would shift every offset; the message names the remedy."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(*range(40)))
    _, known = read(opened([path]))
    path.write_bytes(lines(*range(30)))
    log = opened([path], known)
    assert read(log)[0] == []
    assert "restore the whole file" in log.problems[0]


@pytest.mark.integration
def test_half_a_gzip_gives_what_is_whole_and_a_problem_and_later_the_rest(tmp_path: Path) -> None:
    """Nothing is guessed, and nothing is read twice once the file is complete."""
    packed = gzip.compress(lines(*range(2000)))
    path = tmp_path / "a.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.log").write_bytes(lines("b"))
    log = opened([path, tmp_path / "b.log"], block_bytes=20_000)
    ids, known = read(log)
    assert ids[-1] == "b", "the other file is read all the same"
    assert "ends too early" in log.problems[0]
    path.write_bytes(packed)
    more, _ = read(opened([path, tmp_path / "b.log"], known))
    assert [*ids[:-1], *more] == [str(i) for i in range(2000)]


def zstd(text: bytes) -> bytes:
    return bytes(pa.compress(text, codec="zstd", asbytes=True))


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "gzip": gzip.compress,
    "gzip, two members": lambda text: gzip.compress(text[:700]) + gzip.compress(text[700:]),
    "zstd": zstd,
    "zstd, three frames, one of them empty": lambda text: zstd(text[:700]) + zstd(b"") + zstd(text[700:]),
    "zstd after a frame that holds no text": lambda text: b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd(text),
}


@pytest.mark.integration
@pytest.mark.sampled(keep=6)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    "newline", [b"\n", b"\r\n", b"\n\n \n", b"\r\n\r\n"], ids=["LF", "CRLF", "blank lines", "blank CRLF"]
)
def test_blank_lines_line_ends_and_a_missing_last_one_change_no_count(
    tmp_path: Path, packing: str, newline: bytes
) -> None:
    """However lines are joined and compressed, each request is one entry."""
    text = newline.join(line(kong(str(i))).rstrip() for i in range(9))
    path = tmp_path / "a.log"
    path.write_bytes(PACKINGS[packing](text))
    ids, known = read(opened([path], block_bytes=1000))
    assert ids == [str(i) for i in range(9)]
    assert known[0].offset == len(text)
    assert read(opened([path], known))[0] == []


@pytest.mark.parametrize(
    ("harm", "pattern"),
    [
        pytest.param(lambda packed: packed[: len(packed) // 2], "zstd file ends too early", id="cut"),
        pytest.param(lambda packed: packed[:-1], "zstd file ends too early", id="its last byte is missing"),
        pytest.param(lambda packed: packed + b"no frame", "damaged zstd", id="something behind it"),
        pytest.param(lambda packed: packed[:-1] + bytes([packed[-1] ^ 1]), "damaged zstd", id="another checksum"),
    ],
)
@pytest.mark.slow
def test_a_damaged_zstd_file_is_named_and_when_it_is_whole_again_read_once(
    tmp_path: Path, harm: Callable[[bytes], bytes], pattern: str
) -> None:
    """The readable part may be counted; the rest follows with the intact file, and nothing is counted twice."""
    path = tmp_path / "a.log.zst"
    path.write_bytes(harm(CHECKED))
    log = opened([path], final=True)
    letters, known = entries(log)
    assert re.search(rf"a\.log\.zst: .*{pattern}.*; copy it again, then repeat the command", log.problems[0])
    path.write_bytes(CHECKED)
    more, _ = entries(opened([path], known, final=True))
    assert letters + more == 4000


# `zstd`, as the command packs it: with a checksum. 2,000 times "one", "two".
CHECKED = bytes.fromhex("28b52ffd64803d850000406f6e650a74776f0a0100757e7ce10273b95317")


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_file_that_ends_before_the_offset_to_go_on_from_is_named(tmp_path: Path, packing: str) -> None:
    """A copy may be replaced while it is read: the message names the compression, whichever call meets the end."""
    path = tmp_path / "a.log"
    packed = PACKINGS[packing](lines(*range(2000)))
    path.write_bytes(packed[: len(packed) // 2])
    with open_log(path) as text, pytest.raises(UnreadableFile, match=f"a.log: the {packing} file ends too early"):
        skip(text, len(lines(*range(2000))), str(path))


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_packed_file_that_expands_a_thousandfold_takes_the_memory_of_a_block(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(PACKINGS[packing](bytes(64 << 20)))
    with open_log(path) as text:
        tracemalloc.start()
        size = sum(map(len, iter(lambda: block_reader.read(text, 1 << 20, str(path)), b"")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert size == 64 << 20
    assert peak < 8 << 20


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_half_a_line_at_the_end_of_a_log_at_rest_is_refused(tmp_path: Path, packing: str) -> None:
    """A line cut after two of four digits would still parse, with another size. Closed JSON is complete."""
    path = tmp_path / "a.log"
    half = b'203.0.113.9 - c-acme [01/Oct/2026:00:02:00 +0000] "GET /v1/a HTTP/1.1" 200 12'
    path.write_bytes(PACKINGS[packing](lines(1) + half))
    log = opened([path])
    fetched = log.poll()
    assert fetched is not None
    assert fetched.events["event_id"].to_pylist() == ["1"]
    assert fetched.refused.select(["reason", "raw"]).to_pylist() == [
        {"reason": "PARTIAL_LINE", "raw": half.replace(b"203.0.113.9", b"203.0.113.0/24")}
    ]
    assert log.poll() is None
    log.close()


def test_an_unfinished_last_line_waits_for_its_rest(tmp_path: Path) -> None:
    """An incomplete line is never guessed at; a closed JSON line is complete without its newline."""
    path = tmp_path / "a.log"
    whole = lines(1, 2)
    path.write_bytes(whole[:-20])
    log = opened([path])
    ids, known = read(log)
    assert ids == ["1"]
    assert list(log.waiting) == [str(path)]
    path.write_bytes(whole.rstrip(b"\n"))
    ids, known = read(opened([path], known))
    assert ids == ["2"]
    path.write_bytes(whole + lines(3))
    assert read(opened([path], known))[0] == ["3"]


def test_final_reads_an_unfinished_line_as_it_stands(tmp_path: Path) -> None:
    """For files that will not grow any more."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(1) + b'{"cut":')
    log = opened([path], final=True)
    fetched = log.poll()
    log.close()
    assert fetched is not None
    assert fetched.refused["reason"].to_pylist() == ["NOT_JSON"]
    assert log.waiting == {}


def test_a_document_over_several_lines_is_one_entry_or_an_array_of_them(tmp_path: Path) -> None:
    """Pretty-printed JSON, as documentation and debugging tools write it."""
    path = tmp_path / "a.json"
    text = "[\n" + kong_text("p") + ",\n" + kong_text("q") + "\n]\n"
    path.write_text(text)
    assert read(opened([path]))[0] == ["p", "q"]


def kong_text(event_id: str) -> str:
    return line(kong(event_id)).decode().replace(",", ",\n  ")


@pytest.mark.slow
def test_small_blocks_and_large_blocks_give_the_same(tmp_path: Path) -> None:
    """The block size changes no event and no offset."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(*range(500)))
    results = []
    for size in (1000, 7777, 1 << 20):
        log = opened([path], block_bytes=size)
        rows: list[dict[str, object]] = []
        while fetched := log.poll():
            rows += fetched.events.to_pylist()
        log.close()
        results.append(rows)
    assert results[0] == results[1] == results[2]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n", b""], ids=repr)
def test_a_line_as_long_as_a_document_may_be_and_a_longer_one_are_the_same_in_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """The result does not show whether a line was in memory as a whole; a redrive finds a refused line."""
    longest = 3 << 20
    monkeypatch.setattr(documents, "DOCUMENT_BYTES_MAX", longest)

    def document(size: int) -> bytes:
        begins = b"[" + lines(f"a{size}").strip() + b"," + lines(f"b{size}").strip()
        return begins.ljust(size - len(end) - 1) + b"]" + end

    held = [longest - 1, longest] if end else []  # behind a line without an end there is none
    path = tmp_path / "a.log"
    path.write_bytes(lines("c") + b"".join(map(document, held)) + document(longest + 1))
    results = []
    for size in (1000, 1 << 20, longest, longest + 1, 16 << 20):
        log = opened([path], block_bytes=size, final=True)
        events, refused, offset = [], [], 0
        while fetched := log.poll():
            assert fetched.from_offset == offset
            offset = fetched.to_offset
            events += fetched.events["event_id"].to_pylist()
            refused += fetched.refused.select(["position", "reason", "detail", "raw_sha256"]).to_pylist()
        log.close()
        assert offset == path.stat().st_size
        results.append((events, refused))
    assert results == results[:1] * len(results)
    events, refused = results[0]
    assert events == ["c", *(f"{record}{size}" for size in held for record in "ab")]
    assert [row["reason"] for row in refused] == ["TOO_LARGE"]
    assert [row for block in frames(path) for row in block.unreadable.to_pylist()] == refused
    for size in (1000, 16 << 20):
        growing = opened([path], block_bytes=size)
        assert len(read(growing)[0]) == len(events)
        assert growing.waiting == ({} if end else {str(path): longest + 1})


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    """An empty file has no entries yet; a missing file is a problem with its name."""
    (tmp_path / "empty.log").touch()
    log = opened([tmp_path / "empty.log", tmp_path / "gone.log"])
    assert read(log)[0] == []
    assert "gone.log" in log.problems[0]
    with pytest.raises(Exception, match="gone"):
        KnownLogs([]).identify(tmp_path / "gone.log")


@pytest.mark.integration
@pytest.mark.sampled(keep=0, whole=16)
@pytest.mark.parametrize("size", range(1, 40))
def test_a_last_line_without_newline_is_read_whatever_the_block(tmp_path: Path, size: int) -> None:
    """Also when the file ends exactly at the end of a block, and when the line is longer than a block."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\nthree of them")
    log = opened([path], final=True, block_bytes=size)
    letters = 0
    end = 0
    while fetched := log.poll():
        assert fetched.from_offset == end
        letters, end = letters + fetched.refused.num_rows, fetched.to_offset
    log.close()
    assert (letters, end) == (3, 21)


CHOSEN = b"#Version: 1.0\n#Fields: timestamp(ms) sc-status cs-uri-stem cs-method sc-bytes x-edge-request-id\n"


def chosen(*ids: object) -> bytes:
    return b"".join(b"1790834400042\t200\t/v1/orders\tGET\t3920\t%d==\n" % i for i in ids)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_header_of_columns_holds_for_the_whole_file(tmp_path: Path, packed: bool) -> None:
    """Whatever the blocks, and wherever a later run continues: the nearest header above a line applies."""
    swapped = CHOSEN.replace(b"cs-uri-stem cs-method", b"cs-method cs-uri-stem")
    rows = chosen(*range(300, 400)).replace(b"/v1/orders\tGET", b"GET\t/v1/orders")
    text = CHOSEN + chosen(*range(300)) + swapped + rows
    path = tmp_path / "a.log"

    def letters(content: bytes, known: Sequence[KnownFile]) -> tuple[list[str], list[KnownFile]]:
        path.write_bytes(gzip.compress(content) if packed else content)
        log = FileLog(
            [path], "edge", known, lambda: Decoder("cloudfront", SourceRules("edge"), OWNERS), block_bytes=700
        )
        log.start(Lake(known))
        found, seen = [], list(known)
        while fetched := log.poll():
            found += [row["reason"] for row in fetched.refused.to_pylist() if not row["raw"].startswith(b"#")]
            seen = [known_after(fetched, seen[0] if seen else None)]
        log.close()
        return found, seen

    first, known = letters(text, [])
    assert first == ["NO_PARTNER"] * 400  # read: only that CloudFront names nobody
    assert letters(text + rows, known)[0] == ["NO_PARTNER"] * 100


def test_a_log_can_be_closed_while_it_is_read_ahead(tmp_path: Path) -> None:
    """No thread waits for a slot that is never freed: a run that stops early stops."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(*range(200)))
    log = opened([path], block_bytes=1_000)
    assert log.poll() is not None
    log.close()


def test_what_goes_wrong_in_a_thread_is_raised_where_it_is_polled(tmp_path: Path) -> None:
    """And the other threads stop."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(*range(200)))

    class Failing(Decoder):
        def decode(self, *_: object, **__: object) -> Decoded:
            raise RuntimeError("a bug")

    log = FileLog([path], "edge", [], lambda: Failing("kong", SourceRules("edge"), OWNERS), block_bytes=1_000)
    log.start(Lake([]))
    with pytest.raises(RuntimeError, match="a bug"):
        log.poll()
    log.close()
