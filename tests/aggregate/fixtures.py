"""Events for the tests of aggregate, as tables."""

from datetime import datetime
from typing import Any

import pyarrow as pa

from schemas.log import Partition
from schemas.tables import DEAD, EVENTS, FRESH_EVENTS
from schemas.windows import from_us

T0_US = 1_790_812_800_000_000  # 2026-10-01T00:00Z
DAY_US = 86_400_000_000
LANDED_AT = from_us(T0_US + 40 * DAY_US)
PLAIN = pa.schema([f for f in EVENTS.schema if f.name in FRESH_EVENTS.names])


def event(event_id: str, at_us: int = T0_US, **changes: Any) -> dict[str, Any]:
    return {
        "source": "edge", "event_id": event_id, "partner_id": "acme", "credential_kind": "api_key", "credential": "k", "occurred_at": from_us(at_us),
        "service": "svc", "method": "GET", "route": "orders", "status": 200, "request_bytes": None, "response_bytes": 100, "latency_us": 5,
        "client_network": None, "suspended": False, "generation": "g", "position": 0, "item": 0, **changes,
    }  # fmt: skip


def refusal(**changes: Any) -> dict[str, Any]:
    return {
        "outcome": "refused",
        "reason": "NOT_JSON",
        "source": "edge",
        "generation": "g",
        "position": 0,
        "item": 0,
        "raw": b"x",
        **changes,
    }


def now() -> datetime:
    """A clock that stands still, after all events."""
    return LANDED_AT


def partition(
    rows: list[dict[str, Any]], generation: str = "g", source: str = "edge", number: int = 0
) -> dict[Partition, tuple[pa.Table, pa.Table]]:
    """Rows in log order, as a memory log wants them: positions are counted up, refusals go apart."""
    placed = [{**row, "position": i, "generation": generation, "source": source} for i, row in enumerate(rows)]
    events = [row for row in placed if "reason" not in row]
    refused = [row for row in placed if "reason" in row]
    return {
        Partition(source, generation, f"{generation}.log", number): (
            pa.Table.from_pylist(events, PLAIN).cast(FRESH_EVENTS),
            pa.Table.from_pylist(refused, DEAD.schema),
        )
    }
