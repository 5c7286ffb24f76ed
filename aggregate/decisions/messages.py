"""A decision as gateways read it: the headers and the JSON body of the HTTP answer.

Numbers in JSON are text, as everywhere, so that every reader gets exact values.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from aggregate.decisions.rule import Decision, LimitStanding, seconds_until
from schemas.money import plain
from schemas.zones import utc_text

SCHEMA = "tollbook.decision/1"
_SECOND = timedelta(seconds=1)
_SHOWN_CHARACTERS = 2048  # a credential of the catalog is not longer


def headers(decided: Decision) -> Iterator[tuple[str, str]]:
    """The headers of an answer. `RateLimit` has the names of draft-ietf-httpapi-ratelimit-headers.

    Both forms have whole units, rounded down, and whole seconds until the period ends.
    """
    yield "X-Tollbook-Decision", word(decided)
    if decided.reason is not None:
        yield "X-Tollbook-Reason", decided.reason
    if decided.is_stale:
        yield "X-Tollbook-Stale", "true"
    if (shown := decided.shown) is not None:
        limit, left = int(shown.limit), int(max(Decimal(0), shown.limit - shown.used))
        resets_s = seconds_until(shown.resets_at, decided.now)
        yield "X-RateLimit-Limit", str(limit)
        yield "X-RateLimit-Remaining", str(left)
        yield "X-RateLimit-Reset", str(resets_s)
        yield "RateLimit-Policy", f'"{_policy(shown)}";q={limit};w={(shown.end - shown.start) // _SECOND}'
        yield "RateLimit", f'"{_policy(shown)}";r={left};t={resets_s}'
    if (retry_after_s := decided.retry_after_s) is not None:
        yield "Retry-After", str(retry_after_s)


def body(decided: Decision) -> bytes:
    """The JSON body of an answer."""
    head = json.dumps({**_head(decided), "standings": None})
    return f"{head.removesuffix('null}')}{_standings(decided.standings)}}}\n".encode()


def document(decided: Decision) -> dict[str, Any]:
    """The fields of a decision. Those of the quota or budget that is shown are repeated at the top."""
    return {**_head(decided), "standings": [_standing(standing) for standing in decided.standings]}


def state(decided: Decision, *, events_version: int) -> dict[str, Any]:
    """A decision as a value of `quota.state` (schemas/quota.state.schema.json).

    What depends on the time of reading is left out: the reader compares `as_of` with its own clock.
    """
    fields = document(decided)
    for name in ("lag_s", "stale"):
        del fields[name]
    return {"schema": SCHEMA, **fields, "events_version": events_version}


def word(decided: Decision) -> str:
    """`allow` or `deny`."""
    return "allow" if decided.allows else "deny"


def _head(decided: Decision) -> dict[str, Any]:
    shown = decided.shown
    return {
        "credential": decided.credential[:_SHOWN_CHARACTERS],
        "partner": decided.partner_id,
        "decision": word(decided),
        "reason": decided.reason,
        "used": shown and plain(shown.used),
        "limit": shown and plain(shown.limit),
        "resets_at": shown and utc_text(shown.resets_at),
        "as_of": decided.as_of and utc_text(decided.as_of),
        "lag_s": decided.lag_s,
        "max_lag_s": decided.terms.max_lag_s,
        "when_stale": decided.terms.when_stale,
        "stale": decided.is_stale,
    }


@lru_cache(maxsize=16_384)
def _standings(standings: tuple[LimitStanding, ...]) -> str:
    return json.dumps([_standing(standing) for standing in standings])


def _standing(standing: LimitStanding) -> dict[str, Any]:
    return {
        "kind": standing.reason,
        "meter": standing.meter,
        "unit": standing.unit,
        "plan": standing.plan,
        "period": {"kind": standing.period, "start": utc_text(standing.start), "end": utc_text(standing.end)},
        "resets_at": utc_text(standing.resets_at),
        "used": plain(standing.used),
        "limit": plain(standing.limit),
        "grace_percent": plain(standing.grace_percent),
        "enforce": "block" if standing.blocks else "alert",
        "used_up": standing.is_used_up,
    }


def _policy(standing: LimitStanding) -> str:
    return f"{standing.meter or 'budget'}-{standing.period}".lower()
