"""The topics that the lake knows: each entered once, whoever starts at the same time."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from aggregate.landing.known_topics import KnownTopic, recognise
from lake import tables as lake
from lake.lake import Lake

EVENTS = KnownTopic("usage.events", "id-1", 12)


def test_workers_that_start_together_enter_a_topic_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice would be 24 partitions: the books would wait for twelve that never bring anything."""
    root = tmp_path / "lake"
    lake.create(root)
    entered = False
    files = lake.files

    def another_comes_first(table: DeltaTable) -> list[str]:
        nonlocal entered
        seen = files(table)
        if not entered:
            entered = True
            recognise(Lake(root), EVENTS)
        return seen

    monkeypatch.setattr(lake, "files", another_comes_first)
    recognise(Lake(root), EVENTS)
    rows = DeltaTable(root / "topics").to_pyarrow_table().to_pylist()
    assert rows == [EVENTS._asdict()]
