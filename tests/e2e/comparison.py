"""The lake, read without the product, beside the ledger of the oracle."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests.e2e import alert_oracle, oracle
from tests.e2e.oracle import WINDOW_US
from tollbook.__main__ import main


def tollbook(*args: object, check: int = 0) -> str:
    """What a command prints, run within this process; it must end with the code `check`."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(word) for word in args])
    code = ended.value.code
    assert code == check, f"tollbook {args}: exit {code}\n{out.getvalue()[-2000:]}\n{err.getvalue()[-3000:]}"
    return out.getvalue()


def rows(lake: Path, table: str, query: str, version: int | None = None) -> list[tuple[object, ...]]:
    files = [uri.removeprefix("file://") for uri in DeltaTable(lake / table, version=version).file_uris()]
    if not files:
        return []
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.read_parquet(files).create_view("t")
    return con.execute(query).fetchall()


def recorded(lake: Path) -> list[dict[str, Any]]:
    """All statements about alerts in the lake, as the `data` of messages."""
    columns = "alert_id, kind, withdraws, restates, number, subject, key, began_at, ends_at, evidence, events_version"
    return alert_oracle.statements(rows(lake, "alerts", f"SELECT {columns} FROM t"))


def cells(lake: Path, table: str, where: str = "true") -> dict[tuple[str, int], int]:
    query = f"SELECT partner_id, epoch_us(occurred_at) // {WINDOW_US}, count(*) FROM t WHERE {where} GROUP BY ALL"
    return {(str(p), int(str(w))): int(str(n)) for p, w, n in rows(lake, table, query)}


def differences(ledger: oracle.Ledger, lake: Path) -> list[str]:
    """Where the lake and the ledger disagree; empty when they agree on every cell."""
    found = []
    seen = {
        "counted": (ledger.counted, cells(lake, "events")),
        "duplicates": (ledger.duplicates, cells(lake, "duplicates")),
        "conflicts": (ledger.conflicts, cells(lake, "dead", "outcome = 'conflict'")),
    }
    for name, (expected, got) in seen.items():
        found += [
            f"{name} {cell}: ledger {expected[cell]}, lake {got.get(cell, 0)}"
            for cell in {*expected, *got}
            if expected[cell] != got.get(cell, 0)
        ]
    refused = {
        (str(s), str(r)): n
        for s, r, n in rows(
            lake, "dead", "SELECT source, reason, count(*) FROM t WHERE outcome = 'refused' GROUP BY ALL"
        )
    }
    found += [
        f"refused {k}: ledger {ledger.refused[k]}, lake {refused.get(k, 0)}"
        for k in {*ledger.refused, *refused}
        if ledger.refused[k] != refused.get(k, 0)
    ]
    window = f"SELECT partner_id, epoch_us(window_start) // {WINDOW_US}, sum(requests) FROM t GROUP BY ALL"
    rollups = {(str(p), int(str(w))): int(str(n)) for p, w, n in rows(lake, "rollups", window)}
    found += [
        f"rollup {c}: ledger {ledger.counted[c]}, lake {rollups.get(c, 0)}"
        for c in {*ledger.counted, *rollups}
        if ledger.counted[c] != rollups.get(c, 0)
    ]
    return found
