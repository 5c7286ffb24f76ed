"""The logs of the story: few requests, so that each amount of the page can be worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.windows import to_us
from tests.ingest.fixtures import kong, line
from tests.reckoning.reckoning import Event


class Requests(NamedTuple):
    """So many requests of a partner, one each hour from `begin`."""

    partner: str
    begin: str
    count: int

    @property
    def times(self) -> list[datetime]:
        """The instant of each request."""
        first = datetime.fromisoformat(self.begin).astimezone(UTC)
        return [first + timedelta(hours=n) for n in range(self.count)]


LOGS = {
    "october.log": (
        Requests("nordlicht", "2026-10-05T08:00Z", 40), Requests("nordlicht", "2026-10-20T08:00Z", 60),
        Requests("pacific", "2026-10-07T16:00Z", 100), Requests("hikari", "2026-10-09T01:00Z", 30),
    ),
    "late.log": (Requests("nordlicht", "2026-10-12T06:00Z", 4), Requests("nordlicht", "2026-10-28T06:00Z", 10)),
    "november.log": (
        Requests("nordlicht", "2026-11-10T08:00Z", 80), Requests("pacific", "2026-11-11T16:00Z", 120),
        Requests("hikari", "2026-11-12T01:00Z", 50),
    ),
    "december.log": (
        Requests("nordlicht", "2026-12-01T08:00Z", 50), Requests("pacific", "2026-12-02T16:00Z", 110),
        Requests("hikari", "2026-12-03T01:00Z", 20),
    ),
}  # fmt: skip


def content(name: str) -> bytes:
    """A log in the format of Kong."""
    records = [(some.partner, at) for some in LOGS[name] for at in some.times]
    return b"".join(
        line(
            kong(
                f"{partner}-{at:%m%dT%H}", started_at=to_us(at) // 1000, consumer={"id": f"c-{partner}"}
            )
        )
        for partner, at in records
    )  # fmt: skip


def events() -> list[Event]:
    """All requests of the story, as the reckoning counts them."""
    return [Event(some.partner, to_us(at)) for parts in LOGS.values() for some in parts for at in some.times]
