"""A lake of the commit c25d208, which knows logs only by their first and last bytes, is read on.

It has read `short.log` (lines 0 to 2), `long.log` (10 to 59) and `packed.log.gz` (100 to 139) as source `edge`.
"""

import gzip
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import Here

KEPT = Path(__file__).parent / "lakes_kept" / "c25d208.tar.gz"
SHORT, LONG, PACKED, NEW = range(3), range(10, 60), range(100, 140), range(200, 250)


def text(*numbers: int) -> bytes:
    """A line without an id of its own for each number."""
    return b"".join(line(kong(None, request__size=number)) for number in numbers)


@pytest.fixture
def earlier(here: Here) -> Here:
    with tarfile.open(KEPT) as kept:
        kept.extractall(here.folder, filter="data")
    assert here.tollbook("lake", "upgrade", "--lake", here.lake, "--without-backup").code == 0
    return here


def counted(here: Here) -> dict[int, int]:
    return dict(Counter(row["request_bytes"] for row in here.table("events")))


def once(*numbers: int) -> dict[int, int]:
    return dict.fromkeys(numbers, 1)


def test_logs_of_an_earlier_lake_are_read_on_and_get_digests(earlier: Here) -> None:
    """Nothing is counted again: unchanged, grown, packed, and afterwards by their digests."""
    assert len(counted(earlier)) == 93
    short, long = earlier.log("short.log", text(*SHORT)), earlier.log("long.log", text(*LONG))
    packed = earlier.log("packed.log.gz", gzip.compress(text(*PACKED)))
    assert earlier.run(short, long, packed).out == "Nothing new to read.\n"
    earlier.log("short.log", text(*SHORT, *NEW[:10]))
    earlier.log("long.log", text(*LONG, *NEW[10:20]))
    assert earlier.run(short, long, packed).code == 0
    moved = earlier.log("moved.gz", gzip.compress(text(*LONG, *NEW[10:30])))
    assert earlier.run(moved).code == 0
    assert counted(earlier) == once(*SHORT, *LONG, *PACKED, *NEW[:30])
    digests = earlier.table("reads", "SELECT DISTINCT generation FROM t WHERE text_digest IS NOT NULL")
    assert len(digests) == 2
    assert earlier.balanced(123)


def test_a_concatenation_of_logs_of_an_earlier_lake_is_not_counted_again(earlier: Here) -> None:
    """Also when the logs are gone."""
    day = earlier.log("day.gz", gzip.compress(text(*SHORT)) + gzip.compress(text(*PACKED, *LONG)))
    assert earlier.run(day).out == "Nothing new to read.\n"
    assert counted(earlier) == once(*SHORT, *LONG, *PACKED)


def test_what_is_no_more_than_similar_to_a_log_of_an_earlier_lake_is_reported(earlier: Here) -> None:
    done = earlier.run(earlier.log("long.log", text(*LONG[:40], *NEW)))
    assert done.code == 1
    assert "begins with the same 4096 bytes" in done.complaints[0]
    assert counted(earlier) == once(*SHORT, *LONG, *PACKED)
