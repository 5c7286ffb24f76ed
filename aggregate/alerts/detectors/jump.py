"""Hours in which a partner sends far more, or far fewer, requests than in the same hour of earlier weeks.

An hour is compared with the same hour (UTC) of the four weeks before; those without a request are left out, and at
least WEEKS_MIN must be left. It is *above* if it has more than FACTOR times the requests of the greatest of them, and
at least DIFFERENCE more. It is *below* if FACTOR times its requests are fewer than those of the least of them, and it
has at least DIFFERENCE fewer. An hour without any request is silence, and not below.

An hour can be above before it is over. It can be below only once all logs that the partner uses at that hour of the
week have events after it, so a log that is late makes nothing fall. One alert for each partner, direction and UTC day:
it begins with the first such hour and ends with the day.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from schemas.alerts import Alert, Kind
from schemas.windows import from_us

FACTOR = 3
DIFFERENCE = 100  # a partner with few requests may send three times as many by chance
WEEKS_MIN = 3
HOUR_US = 3_600_000_000
_DAY = timedelta(days=1)


def alerts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Alert]:
    """The alerts of the rows of aggregate/sql/jumps.sql, which ascend by partner, direction and hour."""
    for (partner_id, direction, _), found in groupby(
        rows, lambda row: (row["partner_id"], row["direction"], row["hour"] // 24)
    ):
        hours = list(found)
        first = hours[0]
        at = from_us(first["hour"] * HOUR_US)
        yield Alert(
            Kind.JUMP,
            partner_id,
            {"day": at.date().isoformat(), "direction": direction},
            at,
            {
                "requests": int(first["requests"]),
                "earlier_most": int(first["most"]),
                "earlier_least": int(first["least"]),
                "earlier_weeks": first["weeks"],
                "hours": [from_us(row["hour"] * HOUR_US).isoformat() for row in hours],
            },
            partner_id,
            at.replace(hour=0) + _DAY,
        )


def material(alert: Alert) -> object:
    """The part whose change is stated: the hour in which it began."""
    return alert.at
