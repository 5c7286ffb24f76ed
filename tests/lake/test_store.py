"""What every store promises, shown of each: local files, memory, and the store of the crash tests around them."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from lake.lock import Taken
from lake.storage.local import LocalStore
from lake.storage.memory import MemoryStore, resolved
from lake.storage.store import Store, exists
from tests.lake.faulty import FaultyStore, Killed, failing, killed

MAKERS: dict[str, Callable[[Path], Store]] = {
    "local": lambda folder: LocalStore(folder / "lake"),
    "memory": lambda _: MemoryStore(),
    "faulty local": lambda folder: FaultyStore(LocalStore(folder / "lake")),
    "faulty memory": lambda _: FaultyStore(MemoryStore()),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    make: Callable[[Path], Store] = request.param
    return make(tmp_path)


def keys(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [found.key for found in store.listing(prefix, after=after)]


def write(store: Store, key: str, content: bytes) -> None:
    with store.writing(key) as new:
        half = len(content) // 2
        new.write(memoryview(content)[:half])
        new.write(memoryview(content)[half:])


def test_what_was_written_is_read(store: Store) -> None:
    """By each of the three ways to write, in one piece, in a range, and by size."""
    assert store.create("a/1", b"created")
    store.replace("a/2", b"replaced")
    write(store, "a/3", b"written in pieces")
    assert [store.read(f"a/{n}") for n in (1, 2, 3)] == [b"created", b"replaced", b"written in pieces"]
    with store.open("a/3") as file:
        file.seek(8)
        assert (file.read(2), file.read()) == (b"in", b" pieces")
    assert store.stat("a/1")[:2] == ("a/1", 7)
    assert exists(store, "a/1")


def test_what_is_absent_is_said_so(store: Store) -> None:
    """By FileNotFoundError, which names the key; to list nothing is no error, nor is to delete it."""
    store.create("there", b"x")
    for ask in (store.read, store.open, store.stat, store.sync):
        with pytest.raises(FileNotFoundError, match="events/gone"):
            ask("events/gone")
    assert not exists(store, "events/gone")
    assert keys(store, "events/") == []
    store.delete("events/gone")
    assert keys(store) == ["there"]


def test_a_store_that_was_never_written_to_is_empty(store: Store) -> None:
    """A lake that is not there yet is looked for, and not made by that."""
    assert keys(store) == keys(store, "events/") == []
    assert not exists(store, "tollbook-lake.json")
    store.delete("tollbook-lake.json")
    assert keys(store) == []


def test_a_key_that_exists_is_not_created_again(store: Store) -> None:
    """Whatever it holds, nothing included."""
    for content in (b"first", b""):
        key = f"key of {len(content)}"
        assert store.create(key, content)
        assert not store.create(key, content)
        assert not store.create(key, b"second")
        assert store.read(key) == content


def test_of_racing_creators_one_wins(store: Store) -> None:
    """The fence of every commit: the bytes are those of the one that was told so."""
    together = threading.Barrier(4)

    def race(worker: int) -> list[bool]:
        won = []
        for n in range(10):
            together.wait(30)
            won.append(store.create(f"log/{n:03}.json", b"%d" % worker * 5_000))
        return won

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(race, range(4)))
    for n in range(10):
        (winner,) = [worker for worker in range(4) if won[worker][n]]
        assert store.read(f"log/{n:03}.json") == b"%d" % winner * 5_000


def test_a_key_is_replaced_whole(store: Store) -> None:
    """A reader at any moment finds one of the contents, whole."""
    store.replace("marker", b"0" * 100_000)
    stop, seen = threading.Event(), set[bytes]()

    def look() -> None:
        while not stop.is_set():
            seen.add(store.read("marker"))

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(10):
        store.replace("marker", b"%d" % n * 100_000)
    stop.set()
    reader.join()
    assert seen <= {b"%d" % n * 100_000 for n in range(10)}
    assert keys(store) == ["marker"]


def test_keys_are_listed_in_the_order_of_their_text(store: Store) -> None:
    """Also where a folder and a file begin alike: `-` and `.` sort before `/`, and letters behind it."""
    made = ["a", "a-b", "a.b/x", "b/c/d", "b/c-d", "b/c.d", "b/cc", "b0", "events/_delta_log/2.json", "events/z", "é"]
    for key in reversed(made):
        store.create(key, b"x")
    assert keys(store) == sorted(made)
    assert all(one < other for one, other in pairwise(keys(store)))


def test_a_prefix_is_a_folder_and_nothing_beside_it(store: Store) -> None:
    """`events/` is neither `events-2/` nor `events`."""
    for key in ("events/1", "events/2/3", "events-2/1", "events.json", "event"):
        store.create(key, b"x")
    assert keys(store, "events/") == ["events/1", "events/2/3"]
    assert keys(store, "events/2/") == ["events/2/3"]
    assert keys(store, "event/") == []


def test_a_listing_can_begin_behind_a_key(store: Store) -> None:
    """A log is read from its checkpoint on. The key need not exist, and may lie in a folder."""
    made = ["log/1.json", "log/2.checkpoint.parquet", "log/2.json", "log/a/1", "log/a/2", "log/b/1"]
    for key in made:
        store.create(key, b"x")
    for after in ["", *made, "log/", "log/1.k", "log/a", "log/a/", "log/a0", "log/z"]:
        assert keys(store, "log/", after) == [key for key in made if key > after]


def test_odd_keys_are_keys(store: Store) -> None:
    """Spaces, signs, letters beyond ASCII, a leading dot, and what a URI would encode."""
    made = sorted([
        "event_day=2026-10-01/part-1.parquet", "März 2026 #1 (neu)?/100%", ".hidden", "a/.b.c", "a~b", "a+b&c", "%2F", "x" * 200,
    ])  # fmt: skip
    for key in made:
        store.create(key, key.encode())
    assert keys(store) == made
    assert all(store.read(key) == key.encode() for key in made)


def test_a_deleted_key_is_gone_and_can_be_created_again(store: Store) -> None:
    store.create("a/b", b"one")
    store.delete("a/b")
    store.sync("a/")
    assert not exists(store, "a/b")
    assert keys(store) == []
    assert store.create("a/b", b"two")


def test_who_writes_at_the_same_time_makes_its_folders_once(store: Store) -> None:
    """A new day begins for all land workers at once."""
    together = threading.Barrier(4)

    def work(worker: int) -> None:
        for n in range(8):
            together.wait(30)
            write(store, f"events/day={n}/{worker}", b"x")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(keys(store, "events/")) == 32


def test_a_new_file_that_was_not_finished_is_no_obstacle(store: Store) -> None:
    """What was begun may be there or not. Others are listed and written as before."""

    def cut_short() -> None:
        with store.writing("texts/part-1.parquet") as new:
            new.write(memoryview(b"half"))
            killed()

    with pytest.raises(Killed):
        cut_short()
    write(store, "texts/part-2.parquet", b"whole")
    assert store.read("texts/part-2.parquet") == b"whole"
    assert set(keys(store)) <= {"texts/part-1.parquet", "texts/part-2.parquet"}


def test_a_lock_is_held_once(store: Store) -> None:
    store.create("marker", b"x")
    with (
        store.lock("run.lock", wait=False),
        pytest.raises(Taken, match=r"run\.lock"),
        store.lock("run.lock", wait=False),
    ):
        pass
    with store.lock("run.lock", wait=True):
        pass


def test_an_address_finds_the_bytes_again(store: Store) -> None:
    """For DuckDB and pyarrow: a path, or an address that resolves within the process."""
    store.create("a/b", b"x")
    there = resolved(store.address("a/b"))
    assert (there[0].read(there[1]) if there else Path(store.address("a/b")).read_bytes()) == b"x"
    assert store.named("a/b").endswith("a/b")


# Local files.


def test_a_local_write_is_durable_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, each folder that was made, and the folder that holds the name: a power cut takes none of them back."""
    synced = list[str]()
    fsync = os.fsync

    def recorded(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    store, root = LocalStore(tmp_path / "lake"), str(tmp_path / "lake")

    def calls(change: Callable[[], object]) -> list[str]:
        synced.clear()
        change()
        return [name.partition(".")[0] if "/." in name else name for name in synced]

    beside = f"{root}/a/"
    assert calls(lambda: store.create("a/b", b"x")) == [root, beside, f"{root}/a"]
    assert calls(lambda: store.replace("a/b", b"y")) == [beside, f"{root}/a"]
    assert calls(lambda: write(store, "a/c/d", b"z")) == [f"{root}/a", f"{root}/a/c/d", f"{root}/a/c"]
    assert calls(lambda: store.sync("a/b")) == [f"{root}/a/b"]
    assert calls(lambda: store.sync("a/")) == [f"{root}/a"]


def test_files_that_are_being_written_are_no_keys(tmp_path: Path) -> None:
    """A killed process leaves them beside the name that they would have had."""
    store = LocalStore(tmp_path)
    store.create("log/1.json", b"x")
    (tmp_path / "log" / f".2.json.{'0a' * 16}").write_bytes(b"half")
    assert keys(store) == ["log/1.json"]


def test_a_secret_is_for_its_owner(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "lake")
    store.create("key", b"x", secret=True)
    assert (tmp_path / "lake" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "lake").stat().st_mode & 0o777 == 0o700


# The store of the crash tests.


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
@pytest.mark.parametrize("make", [MAKERS["local"], MAKERS["memory"]], ids=["local", "memory"])
def test_a_process_dies_at_its_nth_change(make: Callable[[Path], Store], when: str, tmp_path: Path) -> None:
    inner = make(tmp_path)
    store = FaultyStore(inner, 2, when=when)
    store.create("a", b"x")
    store.read("a")
    with pytest.raises(Killed):
        store.create("b", b"x")
    assert store.struck
    assert exists(inner, "b") == (when == "after")
    with pytest.raises(Killed):  # a dead process does nothing more
        store.read("a")
    assert [operation.name for operation in store.operations] == ["create", "read", "create"]


def test_a_file_is_torn_halfway(tmp_path: Path) -> None:
    inner = LocalStore(tmp_path)
    with pytest.raises(OSError, match="injected"):
        write(FaultyStore(inner, 1, failing(5), when="halfway"), "a", b"12345678")
    assert inner.read("a") == b"12"
