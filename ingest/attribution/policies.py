"""The policies of credentials, compiled for SQL, and the check that marks entries outside them.

A marked entry is counted like any other (docs/decisions/011-marked-not-dropped.md). Networks become ranges of text that
sorts like addresses, and wildcards become LIKE patterns. No Python runs per entry.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.attribution import calls
from ingest.decode import statements
from ingest.decode.statements import Statements
from schemas.catalog.credentials import Credential

OUTSIDE = ("ACTION", "RESOURCE", "NETWORK", "UNKNOWN")
_OWN = -1  # in the place of a grant's number: the networks of the credential itself
_RULE = [("policy", pa.int32()), ("grant_no", pa.int32())]
_PATTERNS = pa.schema([*_RULE, ("pattern", pa.string())])
_POLICIES = pa.schema([("policy", pa.int32()), ("bound", pa.bool_()), ("granted", pa.bool_())])
_GRANTS = pa.schema([*_RULE, ("any_action", pa.bool_()), ("any_resource", pa.bool_()), ("any_network", pa.bool_())])
_NETWORKS = pa.schema([*_RULE, ("first_key", pa.string()), ("last_key", pa.string())])
_JUDGED = pa.schema([("entry", pa.int64()), ("policy", pa.int32()), ("client_ip", pa.string()), ("line", pa.string())])
_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})


class Policies(NamedTuple):
    """The tables that ingest/decode/sql/outside.sql reads."""

    policies: pa.Table = _POLICIES.empty_table()
    grants: pa.Table = _GRANTS.empty_table()
    networks: pa.Table = _NETWORKS.empty_table()
    actions: pa.Table = _PATTERNS.empty_table()
    resources: pa.Table = _PATTERNS.empty_table()


NO_POLICIES = Policies()


def compile_policies(credentials: Sequence[Credential]) -> Policies:
    """The policies of all credentials that have one, numbered by the position of the credential."""
    ruled = [(number, c) for number, c in enumerate(credentials) if has_policy(c)]
    granted = [(p, g, grant) for p, c in ruled for g, grant in enumerate(c.allow or ())]
    networks = [*((p, _OWN, c.networks) for p, c in ruled), *((p, g, grant.networks) for p, g, grant in granted)]
    return Policies(
        _table(_POLICIES, ((p, c.networks is not None, c.allow is not None) for p, c in ruled)),
        _table(
            _GRANTS,
            ((p, g, "*" in grant.actions, "*" in grant.resources, grant.networks is None) for p, g, grant in granted),
        ),
        _table(_NETWORKS, ((p, g, *_range(n)) for p, g, found in networks for n in found or ())),
        _table(_PATTERNS, ((p, g, _pattern(a.lower())) for p, g, grant in granted for a in grant.actions)),
        _table(_PATTERNS, ((p, g, _pattern(r)) for p, g, grant in granted for r in grant.resources)),
    )


def has_policy(credential: Credential) -> bool:
    """Whether a credential has networks or grants."""
    return credential.networks is not None or credential.allow is not None


class PolicyCheck:
    """Marks the entries of one format, on the connection of its decoder."""

    def __init__(self, con: duckdb.DuckDBPyConnection, format_name: str, policies: Policies) -> None:
        self._statements = Statements(con)
        con.execute(calls.macros())
        self._statements.bind(**policies._asdict(), judged=_JUDGED.empty_table())
        con.execute(f"CREATE TEMP VIEW calls AS {calls.statement(format_name)}")
        con.execute(f"CREATE TEMP VIEW addresses AS {statements.text('addresses')}")

    def marks(self, rows: pa.Table, accepted: pa.ChunkedArray) -> pa.DictionaryArray:
        """One of OUTSIDE for each row outside its policy, else null. `rows`: policy, client_ip, line of events.sql."""
        codes = np.full(rows.num_rows, -1, np.int32)
        here = np.flatnonzero(pc.and_(pc.is_valid(rows["policy"]), accepted).to_numpy(zero_copy_only=False))
        if len(here):
            judged = rows.take(pa.array(here))
            columns = [pa.array(here), *(judged[n] for n in _JUDGED.names[1:])]
            self._statements.bind(judged=pa.table(columns, schema=_JUDGED))
            found = self._statements.run("outside")
            codes[found["entry"].to_numpy()] = pc.index_in(found["outside"], pa.array(OUTSIDE)).to_numpy()
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(OUTSIDE, pa.string()))


def _table(schema: pa.Schema, rows: Iterable[Sequence[object]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def _pattern(wildcards: str) -> str:
    """IAM's `*` and `?` as LIKE's `%` and `_`, with backslash as escape."""
    return wildcards.translate(_LIKE)


def _range(network: str) -> tuple[str, str]:
    """The first and the last address of a network, as ingest/decode/sql/addresses.sql writes them."""
    found = ip_network(network)
    return _key(found[0]), _key(found[-1])


def _key(address: IPv4Address | IPv6Address) -> str:
    return f"{address.version}{address.packed.hex()}"
