"""What every log promises to its reader: one suite over memory, log files and a real Kafka."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.log import Fetched, Log, Partition
from tests.contract.logs import PIECE, Files, Kafka, Memory, Offsets, World

KINDS = ("memory", "files", "kafka")
# So often may a log say that there is nothing, until we give up. Only Kafka takes time to say so.
PATIENCE_POLLS = 3000
ALONE = "it is read by one process, which keeps all of its partitions"


def over(**cannot: str) -> pytest.MarkDecorator:
    """Every kind of log; `cannot` says of some why they do not keep this promise."""
    failing = {kind: [pytest.mark.xfail(reason=why, strict=True)] for kind, why in cannot.items()}
    return pytest.mark.parametrize("world", [pytest.param(k, marks=failing.get(k, [])) for k in KINDS], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made: World
    if request.param == "kafka":
        made = Kafka(request.getfixturevalue("kafka"), request.getfixturevalue("kafka_prefix"))
    else:
        made = Memory() if request.param == "memory" else Files(tmp_path)
    yield made
    made.close()


def taken(log: Log, entries: int) -> list[Fetched]:
    """Batches of at least so many entries."""
    batches: list[Fetched] = []
    idle = 0
    while sum(fetched.entries for fetched in batches) < entries:
        fetched = log.poll()
        if fetched is None:
            idle += 1
            assert idle < PATIENCE_POLLS, f"{sum(f.entries for f in batches)} of {entries} entries came"
        else:
            batches.append(fetched)
    return batches


def steps(batches: Sequence[Fetched]) -> dict[Partition, list[tuple[int, int]]]:
    """The ranges of each partition, in the order in which they came."""
    found: dict[Partition, list[tuple[int, int]]] = {}
    for fetched in batches:
        found.setdefault(fetched.partition, []).append((fetched.from_offset, fetched.to_offset))
    return found


def names(batches: Sequence[Fetched]) -> list[tuple[str, str, int]]:
    """Every entry, by where it stood; sorted."""
    tables = [table for f in batches for table in (f.events, f.refused)]
    rows = [row for table in tables for row in table.select(["source", "generation", "position"]).to_pylist()]
    return sorted((row["source"], row["generation"], row["position"]) for row in rows)


@over()
def test_batches_of_a_partition_follow_one_another_without_a_gap(world: World) -> None:
    """The lake keeps one number for each partition: what lies below it was given, all of it, in order."""
    entries = world.write(5)
    found = steps(taken(world.open(Offsets()), entries))
    assert len(found) >= 2
    for ranges in found.values():
        assert ranges[0][0] == 0
        assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
        assert all(start < end for start, end in ranges)


@over()
def test_nothing_is_given_twice_and_nothing_is_left_out(world: World) -> None:
    """What was written comes, once."""
    entries = world.write(5)
    found = names(taken(world.open(Offsets()), entries))
    assert len(found) == len(set(found)) == entries


@over()
@pytest.mark.slow
def test_the_reader_is_asked_for_each_partition_once_and_its_answer_is_where_reading_begins(world: World) -> None:
    """The lake, and nothing else, says where to go on: in the middle, at the end, or nowhere yet, which is the
    beginning.
    """
    entries = world.write(5)
    whole = steps(taken(world.open(Offsets()), entries))
    world.close()
    first, second, *others = sorted(whole)
    middle, end = whole[first][2][1], whole[second][-1][1]
    reader = Offsets({first: middle, second: end})
    again = steps(taken(world.open(reader), entries - 8 * PIECE))
    assert again == {first: whole[first][3:], **{p: whole[p] for p in others}}
    assert sorted(reader.asked) == sorted(whole)


@over()
@pytest.mark.slow
def test_a_second_reader_begins_where_the_lake_of_the_first_stood(world: World) -> None:
    """A worker that dies has read more than it has landed; its successor is given the rest, and only that."""
    entries = world.write(6)
    reader = Offsets()
    batches = taken(world.open(reader), entries)
    landed = batches[: len(batches) // 3]
    world.close()
    reader.landed(landed)
    rest = taken(world.open(Offsets(reader.offsets)), entries - sum(f.entries for f in landed))
    assert sorted(names(landed) + names(rest)) == names(batches)


@over()
def test_rows_carry_where_they_stood_within_the_origins_of_their_batch(world: World) -> None:
    """What ingest sends again is known by that, and so is every line of an invoice walked down to its log."""
    entries = world.write(3)
    for fetched in taken(world.open(Offsets()), entries):
        origins = {origin.generation: range(origin.from_offset, origin.to_offset) for origin in fetched.origins}
        assert len(origins) == len(fetched.origins)
        rows = [row for table in (fetched.events, fetched.refused) for row in table.to_pylist()]
        assert all(row["position"] in origins[row["generation"]] for row in rows)


@over()
def test_a_log_at_its_end_says_so_again_and_again(world: World) -> None:
    """None is how the land worker learns that it may settle; it must come, and do no harm."""
    reader = Offsets()
    log = world.open(reader)
    assert [log.poll() for _ in range(3)] == [None] * 3
    world.close()
    entries = world.write(2)
    log = world.open(reader)
    taken(log, entries)
    assert [log.poll() for _ in range(3)] == [None] * 3


@over(files="it reads files to where they end when it comes there; the next run reads what has grown since")
def test_what_is_written_later_comes_later(world: World) -> None:
    """A worker that waits is given what arrives, from where it stopped."""
    log = world.open(Offsets())
    world.close()
    entries = world.write(3)
    log = world.open(Offsets())
    before = taken(log, entries)
    assert log.poll() is None
    later = taken(log, world.write(2))
    found = steps([*before, *later])
    assert all([start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]] for ranges in found.values())


@over(memory=ALONE, files=ALONE)
@pytest.mark.slow
def test_partitions_that_are_revoked_give_nothing_more_and_go_on_with_their_next_owner(world: World) -> None:
    """Two workers share a log: an entry goes to the one that owns its partition now, and to no other."""
    readers = [Offsets(), Offsets()]
    readers[1].offsets = readers[0].offsets  # one lake
    logs = [world.open(readers[0])]
    entries = world.write(150)  # more than is fetched at once, so that something lies ready when partitions leave
    lake = taken(logs[0], PIECE)
    readers[0].landed(lake)
    logs.append(world.open(readers[1]))
    for turn in range(PATIENCE_POLLS):
        if sum(f.entries for f in lake) >= entries and readers[1].owned:
            break
        lake += given(logs[turn % 2], readers[turn % 2])
    assert readers[1].owned
    assert not readers[0].owned & readers[1].owned
    entries += world.write(1)
    for turn in range(PATIENCE_POLLS):
        if sum(f.entries for f in lake) >= entries:
            break
        lake += given(logs[turn % 2], readers[turn % 2])
    assert len(set(names(lake))) == len(names(lake)) == entries


def given(log: Log, reader: Offsets) -> list[Fetched]:
    """What one poll brings: from a partition that is the reader's own, from where the lake stands."""
    fetched = log.poll()
    if fetched is None:
        return []
    assert fetched.partition in reader.owned
    assert fetched.from_offset == reader.offsets.get(fetched.partition, 0)
    reader.landed([fetched])
    return [fetched]
