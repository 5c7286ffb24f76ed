"""Redelivery: drops rows that ingest sends again after a crash. They were landed before and do not count as entries.

Ingest reads a partition of `gateway.access` in order, and sends the entries of a range to each partition of
`usage.events` in order. After a crash, it begins again at an earlier offset with different ranges. One offset per log
partition and origin therefore describes what was landed: everything below it. A file is its own origin, and is never
redelivered.
"""

from collections.abc import Mapping, MutableMapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from lake import duck
from lake.errors import LakeError
from lake.lake import Lake
from schemas.log import Fetched, Partition
from schemas.tables import READS

Covered = MutableMapping[tuple[str, str], int]


def covered(lake: Lake, con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """(app id of the log partition, origin) → the offset below which everything was landed.

    `reads` must be up to date.
    """
    duck.scan(con, "reads", lake.files(READS), READS)
    rows = engine.run(con, "covered").to_pylist()
    return {(Partition(r["source"], r["generation"], "").app_id, r["origin"]): r["covered_to"] for r in rows}


def fresh(batch: Sequence[Fetched], known: Mapping[tuple[str, str], int]) -> list[Fetched]:
    """The batch without redelivered entries. Raises LakeError if a range is missing."""
    reached = dict(known)
    taken = []
    for fetched in batch:
        for origin in fetched.origins:
            begun = reached.get((fetched.partition.app_id, origin.generation), origin.from_offset)
            if origin.from_offset > begun:
                raise LakeError(
                    f"{fetched.partition.file} at {fetched.from_offset}: ingest skipped {origin.generation} from {begun} to "
                    f"{origin.from_offset}. Its group's offset may have been moved forward: set it back to {begun} or below, and "
                    f"give the land workers a new topic of events that begins there"
                )
            if begun > origin.from_offset:
                fetched = _from(fetched, origin.generation, begun)  # noqa: PLW2901  # the same batch with fewer rows
        taken.append(fetched)
        extend(reached, fetched)
    return taken


def extend(known: Covered, fetched: Fetched) -> None:
    """Record that `fetched` was landed."""
    for origin in fetched.origins:
        key = (fetched.partition.app_id, origin.generation)
        known[key] = max(known.get(key, 0), origin.to_offset)


def _from(fetched: Fetched, generation: str, offset: int) -> Fetched:
    """`fetched` without the entries below `offset` of one origin."""
    runs = []
    for run in fetched.ingested.to_pylist():
        if run["generation"] == generation:
            start = max(run["from_offset"], offset)
            run |= {"from_offset": start, "records": min(run["records"], run["to_offset"] - start)}
        if run["to_offset"] > run["from_offset"]:
            runs.append(run)
    return fetched._replace(
        events=_rows_from(fetched.events, generation, offset),
        refused=_rows_from(fetched.refused, generation, offset),
        ingested=pa.Table.from_pylist(runs, fetched.ingested.schema),
    )


def _rows_from(rows: pa.Table, generation: str, offset: int) -> pa.Table:
    elsewhere = pc.not_equal(rows["generation"].cast(pa.string()), generation)
    return rows.filter(pc.or_(elsewhere, pc.greater_equal(rows["position"], offset)))
