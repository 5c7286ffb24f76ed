"""Table `texts`: what was copied from the lines of dead letters, apart from what the books rest on, so that it can be erased.

Files of it are replaced and deleted while others read and append (aggregate/retention.py): whoever does so tries again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from aggregate import engine, outcomes
from schemas import lake
from schemas.lake import Fenced, Part
from schemas.tables import DEAD, LETTERS, TEXTS, TIME
from schemas.windows import to_us

_ATTEMPTS = 8
_WAIT_FIRST_S, _WAIT_MAX_S = 0.02, 1.0


def write(root: Path, letters: pa.Table, now: Callable[[], datetime]) -> Mapping[str, list[Part]]:
    """Dead letters (schemas.tables.DEAD) as files of `dead` and of `texts`, before any commit, by table."""
    if not letters.num_rows:
        return {LETTERS.name: [], TEXTS.name: []}
    aged_us = pc.min_element_wise(letters["occurred_at"].cast(pa.int64()), to_us(now()))  # nulls are passed over
    said = {"aged_from": aged_us.cast(TIME)}
    columns = [
        letters[f.name] if f.name in DEAD.schema.names else said.get(f.name, pa.nulls(letters.num_rows, f.type))
        for f in TEXTS.schema
    ]
    return {
        LETTERS.name: outcomes.write(root, LETTERS, letters.select(LETTERS.schema.names)),
        TEXTS.name: outcomes.write(root, TEXTS, pa.table(columns, names=TEXTS.schema.names)),
    }


def scan(root: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Make view `texts` the table as it is now."""
    engine.scan(con, TEXTS.name, lake.pinned_files(root, TEXTS), TEXTS.schema)


def again() -> Retrying:
    """Attempts, a bounded number, at what an erasure beside it may disturb: a commit, or reading files that are gone by then."""
    return Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=_WAIT_FIRST_S, max=_WAIT_MAX_S),
        retry=retry_if_exception_type((Fenced, duckdb.IOException)),
        reraise=True,
    )
