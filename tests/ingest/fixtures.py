"""Log lines of our own, and a small catalog of credentials for them."""

import json
from typing import Any

import pyarrow as pa

from ingest.decode.pipeline import CREDENTIALS, PARTNERS, Attribution

T0_MS = 1_790_812_800_000  # 2026-10-01T00:00Z
FOREVER = (0, 1 << 62)
OWNERS = Attribution(
    pa.Table.from_pylist(
        [
            {
                "kind": kind,
                "value": value,
                "partner_id": partner,
                "suspended": partner == "sleepy",
                "from_us": start,
                "to_us": end,
            }
            for kind, value, partner, (start, end) in [
                ("consumer", "c-acme", "acme", FOREVER),
                ("consumer", "c-sleepy", "sleepy", FOREVER),
                ("consumer", "c-moved", "acme", (0, T0_MS * 1000)),
                ("consumer", "c-moved", "bolt", (T0_MS * 1000, 1 << 62)),
                ("consumer", "c-ended", "acme", (0, T0_MS * 1000)),
                ("api_key", "k-acme", "acme", FOREVER),
                ("oidc", "https://id.example#client-1", "acme", FOREVER),
                ("oidc", "https://all.example", "bolt", FOREVER),
                ("oidc", "https://all.example#special", "acme", FOREVER),
            ]
        ],
        CREDENTIALS,
    ),
    pa.Table.from_pylist([{"partner_id": p, "suspended": p == "sleepy"} for p in ("acme", "bolt", "sleepy")], PARTNERS),
)


def changed(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of `record`; a dotted name (with __) changes or, by None, drops a field."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    for name, value in changes.items():
        *path, last = name.split("__")
        place = copy
        for step in path:
            place = place[step]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return copy


def kong(event_id: str | None = "id-1", **changes: Any) -> dict[str, Any]:
    """A Kong record; dotted names change or (None) drop a field."""
    record: dict[str, Any] = {
        "request": {
            "id": event_id,
            "method": "GET",
            "uri": "/v1/orders?page=2",
            "size": 200,
            "headers": {"host": "api.example:8443"},
        },
        "response": {"status": 200, "size": 900},
        "latencies": {"request": 12},
        "started_at": T0_MS,
        "client_ip": "203.0.113.77",
        "route": {"name": "orders"},
        "service": {"name": "svc"},
        "consumer": {"id": "c-acme"},
    }
    if event_id is None:
        del record["request"]["id"]
    return changed(record, **changes)


def line(record: object) -> bytes:
    return json.dumps(record).encode() + b"\n"
