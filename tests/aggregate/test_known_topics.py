"""The topics that the lake knows: each entered once, whoever starts at the same time."""

from pathlib import Path

from deltalake import DeltaTable

from aggregate.landing.known_topics import KnownTopic, recognise
from lake.lake import Lake
from lake.storage.local import LocalStore
from tests.lake.faulty import FaultyStore, writes

EVENTS = KnownTopic("usage.events", "id-1", 12)


def another_comes_first(root: Path) -> None:
    recognise(Lake(root), EVENTS)


def test_workers_that_start_together_enter_a_topic_once(tmp_path: Path) -> None:
    """Twice would be 24 partitions: the books would wait for twelve that never bring anything."""
    root = tmp_path / "lake"
    Lake(root).create()
    store = FaultyStore(LocalStore(root), 1, lambda: another_comes_first(root), counted=writes)
    recognise(Lake(store), EVENTS)
    assert store.struck
    rows = DeltaTable(root / "topics").to_pyarrow_table().to_pylist()
    assert rows == [EVENTS._asdict()]
