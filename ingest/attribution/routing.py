"""The routes of a source: one name for routes that are logged differently, and which lines are own traffic.

Runs after attribution, once per distinct method and route of a block. A line with a credential is never claimed as own
traffic: a known credential has an owner, and an unknown one stays refused.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog.routes import Calls
from schemas.reasons import Reason
from schemas.tables import CODED


class Routing:
    """The routes of one source.

    `names`: pairs of pattern and name, of which the first match wins. `own`: the owner of lines without a credential.
    """

    def __init__(
        self, names: Sequence[tuple[str, str]], own: str | None, own_routes: Sequence[str] | None = None
    ) -> None:
        """`own_routes`: patterns of the named routes that `own` claims; None: every line."""
        self._names = names
        self._own = own
        self._own_routes = own_routes

    def applied(self, rows: pa.Table) -> pa.Table:
        """Rows of ingest/decode/sql/events.sql with named routes; claimed rows are no longer refused."""
        if not self._names and self._own is None:
            return rows
        unclaimed = pc.equal(rows["reason"], Reason.NO_PARTNER.value).fill_null(False).to_numpy()  # noqa: FBT003
        claiming = self._own is not None and bool(unclaimed.any())
        if not self._names and not (claiming and self._own_routes is not None):
            return self._claimed(rows, unclaimed) if claiming else rows
        methods, routes, pair = _pairs(rows)
        named = self._named(methods, routes)
        if self._names:
            rows = _set(rows, "route", _coded(named, pair))
        if claiming and self._own_routes is not None:
            unclaimed &= Calls(methods, named).matching_any(self._own_routes)[pair]
        return self._claimed(rows, unclaimed) if claiming else rows

    def _named(self, methods: list[str | None], routes: list[str | None]) -> list[str | None]:
        """The name of each distinct route: that of the first matching pattern, else the route itself."""
        named, calls = list(routes), Calls(methods, routes)
        for pattern, name in reversed(self._names):
            for at in np.flatnonzero(calls.matching(pattern)):
                named[at] = name
        return named

    def _claimed(self, rows: pa.Table, mine: npt.NDArray[np.bool_]) -> pa.Table:
        """Attribute the rows `mine` to the own partner."""
        mask = pa.array(mine)
        for name, value in (("partner_id", self._own), ("reason", None)):
            column = rows[name].combine_chunks()
            rows = _set(rows, name, pc.if_else(mask, pa.scalar(value, column.type), column))
        return rows


def _pairs(rows: pa.Table) -> tuple[list[str | None], list[str | None], npt.NDArray[np.int64]]:
    """The distinct (method, route) pairs of `rows`, and the pair of each row."""
    methods, method = _encoded(rows["method"])
    routes, route = _encoded(rows["route"])
    found, pair = np.unique(method * len(routes) + route, return_inverse=True)
    at_method, at_route = np.divmod(found, len(routes))
    return [methods[i] for i in at_method], [routes[i] for i in at_route], pair


def _encoded(column: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """The values of a column plus null, and the index of each row's value."""
    coded = column.combine_chunks()
    if not pa.types.is_dictionary(coded.type):
        coded = pc.dictionary_encode(coded)
    values = coded.dictionary.to_pylist()
    places = pc.fill_null(coded.indices.cast(pa.int64()), len(values)).to_numpy()
    return [*values, None], places


def _coded(named: Sequence[str | None], pair: npt.NDArray[np.int64]) -> pa.DictionaryArray:
    """The name of each row's pair, dictionary-coded."""
    names = list(dict.fromkeys(name for name in named if name is not None))
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([-1 if name is None else place[name] for name in named], np.int32)[pair]
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string())).cast(CODED)


def _set(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, column)
