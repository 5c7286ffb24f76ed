"""Small lakes for the tests of billing: requests of partners, landed as the product lands them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aggregate.landing.land import Land
from aggregate.verify import prove
from lake.lake import Lake
from schemas.windows import to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog


def request(at: str, partner: str = "acme", *, name: str = "", **changes: Any) -> dict[str, Any]:
    """One request at an instant such as 2026-10-01T00:00+02:00; its id is the partner, the instant and `name`."""
    instant = to_us(datetime.fromisoformat(at))
    return event(f"{partner}-{instant}-{name}", instant, partner_id=partner, **changes)


def requests(count: int, at: str, partner: str = "acme", **changes: Any) -> list[dict[str, Any]]:
    """So many requests at one instant."""
    return [request(at, partner, name=str(n), **changes) for n in range(count)]


NOW = datetime(2026, 11, 5, tzinfo=UTC)
# October 2026 of both partners of tests.billing.catalogs: the first instant of one, the last of the other, something
# between.
OCTOBER = [
    *requests(12, "2026-10-01T00:00+02:00", response_bytes=10**8),
    request("2026-10-15T12:00Z", "zeta", response_bytes=4 * 10**8),
    request("2026-10-31T23:59:59.999999-04:00", "zeta", response_bytes=10**9),
]


def land(root: Path, rows: list[dict[str, Any]], generation: str = "g") -> Path:
    """Land rows, as one log file of that generation; the lake is made if it is not there."""
    Lake(root).create()
    worker = Land(Lake(root), MemoryLog(partition(rows, generation)), catalog_sha256="c", now=now)
    for _ in worker.run():
        pass
    return root


def books(root: Path) -> Any:
    """The proof that a close asks for, as the command gives it."""

    def proved(versions: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        return prove(Lake(root), versions, start=start, end=end).problems

    return proved
