"""Coverage: which entries of an origin a log partition has brought already. What ingest sends again is no entry.

Ingest reads a partition of `gateway.access` in order, and sends to each partition of `usage.events`, in order, everything
of a range that belongs there. Killed, it begins again at an earlier offset and cuts other ranges. So what was taken in is
known by one number for each log partition and origin: all below it. Files are their own origin, and never begin again.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from aggregate import engine
from schemas import lake
from schemas.lake import LakeError
from schemas.log import Fetched, Partition
from schemas.tables import READS

Covered = MutableMapping[tuple[str, str], int]


def covered(root: Path, con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """(app id of the log partition, origin) → the offset below which everything was taken in. `reads` must be up to date."""
    engine.scan(con, "reads", lake.pinned_files(root, READS), READS.schema)
    rows = engine.run(con, "covered").to_pylist()
    return {(Partition(r["source"], r["generation"], "").app_id, r["origin"]): r["covered_to"] for r in rows}


def fresh(batch: Sequence[Fetched], known: Mapping[tuple[str, str], int]) -> list[Fetched]:
    """The batch without entries that were taken in before. Raises LakeError where a range is missing in between."""
    reached = dict(known)
    taken = []
    for fetched in batch:
        begun = reached.get(_key(fetched))
        origin = fetched.origin
        if begun is not None and origin.from_offset > begun:
            raise LakeError(
                f"{fetched.partition.file} at {fetched.from_offset}: ingest passed over {origin.generation} from {begun} to "
                f"{origin.from_offset}. Was its group's offset moved forward? Set it back to {begun} or below, and give the "
                f"land workers a new topic of events that begins there"
            )
        taken.append(fetched if begun is None or begun == origin.from_offset else _from(fetched, begun))
        extend(reached, fetched)
    return taken


def extend(known: Covered, fetched: Fetched) -> None:
    """Take note that `fetched` was taken in."""
    key = _key(fetched)
    known[key] = max(known.get(key, 0), fetched.origin.to_offset)


def _from(fetched: Fetched, offset: int) -> Fetched:
    """`fetched` without what lies below `offset` of its origin."""
    runs = fetched.ingested.to_pylist()
    runs = [r | {"from_offset": max(r["from_offset"], offset)} for r in runs if r["to_offset"] > offset]
    runs = [r | {"records": min(r["records"], r["to_offset"] - r["from_offset"])} for r in runs]
    return fetched._replace(
        events=_rows_from(fetched.events, offset),
        refused=_rows_from(fetched.refused, offset),
        ingested=pa.Table.from_pylist(runs, fetched.ingested.schema),
    )


def _rows_from(rows: pa.Table, offset: int) -> pa.Table:
    return rows.filter(pa.compute.greater_equal(rows["position"], offset))


def _key(fetched: Fetched) -> tuple[str, str]:
    return fetched.partition.app_id, fetched.origin.generation
