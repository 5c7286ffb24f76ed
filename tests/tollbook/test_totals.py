"""Running totals: each quota period of each zone gets what was counted in it, by partition, however it was
committed.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.periods import quota_period
from schemas.catalog.records import Catalog
from schemas.quotas import ALWAYS
from schemas.tables import ROLLUPS
from tests.long import amount
from tollbook.workers.quota_feed import Totals

ZONES = {"acme": "Europe/Berlin", "cato": "Asia/Kathmandu"}
START = datetime(2026, 10, 20, tzinfo=UTC)  # over Europe's change of clocks and a month's end
CATALOG = Catalog.model_validate(
    {
        "legal_entities": [{"id": "toll", "name": "Toll", "invoice_prefix": "T"}],
        "meters": [{"id": "requests", "aggregate": "count", "unit": "requests"}],
        "rate_cards": [
            {"id": "card", "currency": "EUR", "versions": [{"valid_from": "2020-01-01", "rates": [{"price": {"model": "flat", "amount": "1"}}]}]}
        ],
        "plans": [
            {
                "id": "all", "rate_card": "card",
                "quotas": [{"meter": "requests", "period": kind, "limit": "100"} for kind in ("DAY", "WEEK", "MONTH")],
            }
        ],
        "partners": [
            {"id": name, "name": name, "legal_entity": "toll", "time_zone": zone, "plans": [{"plan": "all", "valid_from": "2020-01-01"}]}
            for name, zone in ZONES.items()
        ],
    }
)  # fmt: skip
SINCE = {("all", "requests", kind): ALWAYS for kind in ("DAY", "WEEK", "MONTH")}
CELLS = st.tuples(st.sampled_from(sorted(ZONES)), st.integers(0, 96 * 20), st.integers(0, 2), st.integers(1, 9))


def fold(cells: list[tuple[str, int, int, int]]) -> pa.Table:
    rows = [
        {
            "partner_id": partner, "window_start": START + timedelta(minutes=15 * window), "events_partition": partition,
            "status": 200, "requests": requests, "request_bytes": 0, "response_bytes": 0, "latency_us": 0,
        }
        for partner, window, partition, requests in cells
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, ROLLUPS.schema)


@settings(max_examples=amount(8, 20), deadline=None)
@given(commits=st.lists(st.lists(CELLS, max_size=30), min_size=1, max_size=3))
def test_totals_are_the_sums_of_their_periods(commits: list[list[tuple[str, int, int, int]]]) -> None:
    """An alert rests on them: a window in the wrong day, or a commit that forgets the one before, alerts early or
    never.
    """
    totals = Totals(CATALOG, SINCE)
    newest = {}
    for version, cells in enumerate(commits, 1):
        for total in totals.add(fold(cells), version):
            assert total.events_version == version
            newest[total.partner_id, total.kind, total.start, total.events_partition] = total
    expected: dict[tuple[str, str, datetime, int], int] = defaultdict(int)
    seen: dict[tuple[str, str, datetime, int], datetime] = {}
    for partner, window, partition, requests in (cell for cells in commits for cell in cells):
        at = START + timedelta(minutes=15 * window)
        for kind in ("DAY", "WEEK", "MONTH"):
            key = (partner, kind, quota_period(kind, at, ZONES[partner]).start, partition)
            expected[key] += requests
            seen[key] = max(seen.get(key, at), at + timedelta(minutes=15))
    assert {key: total.used for key, total in newest.items()} == {key: Decimal(n) for key, n in expected.items()}
    assert {key: total.seen_until for key, total in newest.items()} == seen
    for (partner, kind, start, _), total in newest.items():
        assert (total.start, total.end) == quota_period(kind, start, ZONES[partner])
