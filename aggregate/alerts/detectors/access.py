"""Alerts about who sends: known credentials outside of what was agreed, unknown ones, and entries that conflict.

Each function gets all rows of what it examines, and returns all alerts that hold there.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from schemas.alerts import Alert, Kind
from schemas.zones import utc_midnight, utc_text

TRIES_MIN = 10  # requests of an unknown credential below which it is a typing error, or a scanner that tries keys
CONFLICTS_MIN = 10  # entries of a source and day; a resend with another latency now and then is in the books, not news
CREDENTIALS_MAX = 20  # alerts on single credentials a UTC day; the others share one, so that nobody can flood on-call
_MANY = "credentials"
_DAY = timedelta(days=1)


def outside(rows: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """One alert for each credential, mark and UTC day with requests outside of what was agreed.

    rows: those of aggregate/sql/outside_by_day.sql. The alert ends with its day. Further requests from the same
    networks do not restate it, those from another network do.
    """
    return [
        Alert(
            Kind.NETWORK,
            f"{row['credential_kind']}:{row['credential']}",
            {"partner": row["partner_id"], "outside": row["outside"], "day": row["event_day"].isoformat()},
            row["first_at"].astimezone(UTC),
            {
                "outside": row["outside"],
                "requests": row["requests"],
                "last_at": utc_text(row["last_at"]),
                "networks": row["networks"],
                "routes": row["routes"],
            },
            row["partner_id"],
            utc_midnight(row["event_day"]) + _DAY,
        )
        for row in rows
    ]


def outside_material(alert: Alert) -> object:
    """What restates an alert of `outside`."""
    return alert.at, tuple(alert.evidence["networks"])


def unknown(rows: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """One alert for each unknown or invalid credential with at least TRIES_MIN requests that were not counted.

    rows: those of aggregate/sql/unknown_credentials.sql, all of the lake. Of the credentials that were first seen on
    one UTC day, the first CREDENTIALS_MAX have alerts of their own, in the order of their first requests; one alert
    stands for the others of the day.
    """
    by_day: dict[date, list[Alert]] = {}
    for row in sorted(rows, key=lambda row: (row["first_at"], row["credential_hash"])):
        if row["entries"] >= TRIES_MIN:
            first = row["first_at"].astimezone(UTC)
            evidence = {"requests": row["entries"], "last_at": utc_text(row["last_at"])}
            evidence |= {"sources": row["sources"], "reasons": row["reasons"]}
            by_day.setdefault(first.date(), []).append(
                Alert(Kind.CREDENTIAL, row["credential_hash"], {"credential": row["credential_hash"]}, first, evidence)
            )
    return [alert for day, alerts in by_day.items() for alert in _capped(day, alerts)]


def unknown_material(alert: Alert) -> object:
    """What restates an alert of `unknown`: an earlier first request, a source more, ten times as many credentials."""
    count = alert.evidence.get("credentials")
    return alert.at, tuple(alert.evidence["sources"]), None if count is None else len(str(count))


def conflicts(rows: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """One alert for each source and UTC day with at least CONFLICTS_MIN entries that conflict with counted events.

    rows: those of aggregate/sql/conflicts_by_day.sql. The alert ends with its day, and is restated if the first of
    them changes.
    """
    return [
        Alert(
            Kind.CONFLICT,
            row["source"],
            {"day": row["first_at"].astimezone(UTC).date().isoformat()},
            row["first_at"].astimezone(UTC),
            {"entries": row["entries"], "last_at": utc_text(row["last_at"]), "partners": row["partners"]},
            None,
            utc_midnight(row["first_at"].astimezone(UTC).date()) + _DAY,
        )
        for row in rows
        if row["entries"] >= CONFLICTS_MIN
    ]


def conflict_material(alert: Alert) -> object:
    """What restates an alert of `conflicts`."""
    return alert.at


def _capped(day: date, alerts: Sequence[Alert]) -> list[Alert]:
    rest = alerts[CREDENTIALS_MAX:]
    if not rest:
        return list(alerts)
    evidence = {
        "credentials": len(rest),
        "requests": sum(alert.evidence["requests"] for alert in rest),
        "last_at": max(alert.evidence["last_at"] for alert in rest),
        "sources": sorted({source for alert in rest for source in alert.evidence["sources"]}),
        "reasons": sorted({reason for alert in rest for reason in alert.evidence["reasons"]}),
    }
    return [*alerts[:CREDENTIALS_MAX], Alert(Kind.CREDENTIAL, _MANY, {"day": day.isoformat()}, rest[0].at, evidence)]
