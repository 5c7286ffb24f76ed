"""The methods and routes that the filters of meters count, found among the few distinct ones of the usage."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog.meters.meter import Meter
from schemas.catalog.routes import Calls

CALLS = pa.schema([("meter", pa.string()), ("method", pa.string()), ("route", pa.string())])


def counted_calls(meters: Sequence[Meter], calls: pa.Table) -> pa.Table:
    """The `calls` (method, route) that each meter counts by its filter, as rows of meter, method and route."""
    compared = Calls(
        *(pc.if_else(pc.equal(calls[name], ""), None, calls[name]).to_pylist() for name in ("method", "route"))
    )
    chosen = [CALLS.empty_table()]
    for meter in meters:
        counted = np.ones(calls.num_rows, bool)
        if meter.filter.methods is not None:
            counted &= compared.of_methods(meter.filter.methods)
        if meter.filter.routes is not None:
            counted &= compared.matching_any(meter.filter.routes)
        mine = calls.select(["method", "route"]).filter(pa.array(counted))
        chosen.append(mine.add_column(0, "meter", pa.repeat(meter.id, mine.num_rows)).cast(CALLS))
    return pa.concat_tables(chosen)
