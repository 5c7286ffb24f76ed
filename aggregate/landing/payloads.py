"""Table `texts`: the payloads of dead letters, apart from the tables that the books rely on, so they can be erased.

An erasure replaces and deletes its files while others read and append (aggregate/retention.py), so these retry.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from aggregate.landing import batch_files
from lake import duck
from lake.errors import Damaged, Fenced
from lake.lake import Lake
from lake.tables import Part
from schemas.tables import DEAD, LETTERS, PAYLOADS, TIME
from schemas.windows import to_us

_ATTEMPTS = 8
_WAIT_FIRST_S, _WAIT_MAX_S = 0.02, 1.0


def write(lake: Lake, letters: pa.Table, now: Callable[[], datetime]) -> Mapping[str, list[Part]]:
    """Write dead letters (schemas.tables.DEAD) as files of `dead` and `texts`, before their commit.

    Returns files by table.
    """
    if not letters.num_rows:
        return {LETTERS.name: [], PAYLOADS.name: []}
    aged_us = pc.min_element_wise(letters["occurred_at"].cast(pa.int64()), to_us(now()))  # nulls are skipped
    added = {"aged_from": aged_us.cast(TIME)}
    columns = [
        letters[f.name] if f.name in DEAD.schema.names else added.get(f.name, pa.nulls(letters.num_rows, f.type))
        for f in PAYLOADS.schema
    ]
    hashes = lake.credential_hashes(letters["credential"].combine_chunks())
    kept = letters.append_column("credential_hash", hashes).select(LETTERS.schema.names)
    return {
        LETTERS.name: batch_files.write(lake, LETTERS, kept),
        PAYLOADS.name: batch_files.write(lake, PAYLOADS, pa.table(columns, names=PAYLOADS.schema.names)),
    }


class Seen(NamedTuple):
    """The number of entries of a refused credential, and its first and last request in microseconds since 1970."""

    entries: int
    first_us: int
    last_us: int

    def plus(self, other: "Seen") -> "Seen":
        """The combination of both."""
        return Seen(self.entries + other.entries, min(self.first_us, other.first_us), max(self.last_us, other.last_us))


def by_credential(lake: Lake, letters: pa.Table) -> dict[str, Seen]:
    """The dead letters of credentials that are unknown or were not valid, summed by the hash of the credential."""
    some = letters.filter(pc.is_valid(letters["credential"]))
    if not some.num_rows:
        return {}
    hashes = lake.credential_hashes(some["credential"].combine_chunks())
    times = pa.table({"credential": hashes, "us": some["occurred_at"].cast(pa.int64())})
    sums = times.group_by("credential").aggregate([("us", "count"), ("us", "min"), ("us", "max")]).to_pylist()
    return {row["credential"]: Seen(row["us_count"], row["us_min"], row["us_max"]) for row in sums}


def scan(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    """Define the view `texts` over the newest version of the table."""
    duck.scan(con, PAYLOADS.name, lake.files(PAYLOADS), PAYLOADS)


def again() -> Retrying:
    """Retries for what a concurrent erasure may disturb: a commit, or reading files that were deleted.

    They are bounded.
    """
    return Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=_WAIT_FIRST_S, max=_WAIT_MAX_S),
        retry=retry_if_exception_type((Fenced, Damaged, duckdb.IOException)),
        reraise=True,
    )
