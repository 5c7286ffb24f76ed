"""What ingest sends again is no entry: known by where it stood, whatever way it is cut the second time."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregate.landing.land import Counts, Land
from aggregate.verify import prove
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED
from tests.aggregate.fixtures import PLAIN, event, now, refusal
from tests.long import LONG

pytestmark = pytest.mark.integration

RAW = "gateway.access/0@id"
WHERE = Partition("usage.events", "0", "usage.events/0", 0)
# One event in each record of the raw topic; 7 is a resend of 3, 8 contradicts 4, 9 is refused.
ROWS: list[dict[str, Any]] = [event(f"e{n}") for n in range(7)] + [event("e3"), event("e4", status=500), refusal()]


def message(number: int, start: int, end: int, *, origins: Sequence[Origin] = ()) -> Fetched:
    """What ingest sends of the raw offsets [start, end)."""
    rows = [{**ROWS[n], "generation": RAW, "position": n, "item": 0} for n in range(start, end)]
    events = [row for row in rows if "reason" not in row]
    refused = [row for row in rows if "reason" in row]
    report = {
        "source": "edge",
        "generation": RAW,
        "from_offset": start,
        "to_offset": end,
        "records": end - start,
        "entries": 1,
    }
    return Fetched(
        WHERE, number, number + 1, pa.Table.from_pylist(events, PLAIN).cast(FRESH_EVENTS),
        pa.Table.from_pylist(refused, DEAD.schema), [Origin(RAW, start, end), *origins],
        pa.Table.from_pylist([report] if end > start else [], INGESTED.schema),
    )  # fmt: skip


class Sent:
    """A log of given messages; each worker reads from where the lake says."""

    def __init__(self, messages: Sequence[Fetched]) -> None:
        self._messages = messages
        self._left: deque[Fetched] = deque()

    def start(self, reader: LogReader) -> None:
        offset = reader.assigned([WHERE])[WHERE] or 0
        self._left = deque(self._messages[offset:])

    def poll(self) -> Fetched | None:
        return self._left.popleft() if self._left else None


def land(root: Path, ranges: Sequence[tuple[int, int]], *, commit_entries: int = 3) -> tuple[Counts, int]:
    Lake(root).create()
    total, redelivered = Counts(), 0
    messages = [message(i, start, end) for i, (start, end) in enumerate(ranges)]
    for landed in Land(Lake(root), Sent(messages), catalog_sha256="c", now=now, commit_entries=commit_entries).run():
        total = total.plus(landed.counts)
        redelivered += landed.redelivered
    return total, redelivered


EXPECTED = Counts(counted=7, duplicates=1, conflicts=1, refused=1)


@pytest.mark.slow
@settings(max_examples=100 if LONG else 10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=8), st.integers(1, 12))
def test_ingest_may_begin_again_anywhere_before(
    tmp_path_factory: pytest.TempPathFactory, restarts: list[tuple[int, int]], commit_entries: int
) -> None:
    """Each life of ingest goes on from an offset at or below what was sent, and cuts as it likes: the same books."""
    reached, ranges = 0, []
    for back, ahead in [*restarts, (0, 10)]:
        start = max(0, reached - back)
        end = min(10, start + ahead)
        ranges.append((start, end))
        reached = max(reached, end)
    root = tmp_path_factory.mktemp("lake") / "lake"
    total, redelivered = land(root, [*ranges, (reached, 10)], commit_entries=commit_entries)
    assert total == EXPECTED
    assert redelivered == sum(end - start for start, end in ranges) + 10 - reached - 10
    proof = prove(Lake(root))
    assert proof.problems == []
    assert proof.totals() == {"entries": 10, **EXPECTED._asdict(), "on_the_way": 0, "unexplained": 0}


def test_a_second_worker_knows_what_the_first_took_in(tmp_path: Path) -> None:
    """Coverage comes from the lake, not from memory."""
    root = tmp_path / "lake"
    assert land(root, [(0, 6)])[0] == Counts(counted=6)
    assert land(root, [(0, 6), (2, 8)]) == (Counts(counted=1, duplicates=1), 4)


def test_a_range_that_ingest_passed_over_halts(tmp_path: Path) -> None:
    """Its group's offset was moved forward: lines would be lost without a word."""
    with pytest.raises(LakeError, match=r"skipped gateway.access/0@id from 4 to 6.*set it back to 4"):
        land(tmp_path / "lake", [(0, 4), (6, 10)])
    assert land(tmp_path / "lake", [(0, 4)]) == (Counts(), 0), "what came before it is there"
    assert prove(Lake(tmp_path / "lake")).problems == []


def test_two_origins_in_one_message_are_distinguished(tmp_path: Path) -> None:
    """A redelivered range of one partition takes nothing from the other."""
    Lake(tmp_path / "lake").create()
    messages = [message(0, 0, 5), message(1, 3, 7, origins=[Origin("gateway.access/1@id", 40, 50)])]
    landed = list(Land(Lake(tmp_path / "lake"), Sent(messages), catalog_sha256="c", now=now).run())
    assert [(one.counts.counted, one.redelivered) for one in landed] == [(7, 2)]


def test_a_partition_that_moved_while_the_handle_was_new_is_noticed(tmp_path: Path) -> None:
    """A zombie holds two partitions, loses one, commits the other: the fresh handle must not hide what happened in
    between.
    """
    root = tmp_path / "lake"
    Lake(root).create()
    other = Partition("usage.events", "1", "usage.events/1", 1)

    class Two(Sent):
        def start(self, reader: LogReader) -> None:
            reader.assigned([WHERE, other])
            self._left = deque([message(0, 0, 2), message(0, 2, 4)._replace(partition=other)])

    zombie = Land(Lake(root), Two([]), catalog_sha256="c", now=now, commit_entries=2)
    assert zombie.step() is not None
    land_other = Land(
        Lake(root), Sent([message(0, 0, 2), message(1, 2, 5)]), catalog_sha256="c", now=now, commit_entries=2
    )
    assert land_other.step() is not None
    with pytest.raises(Fenced, match="another worker owns it"):
        zombie.step()
