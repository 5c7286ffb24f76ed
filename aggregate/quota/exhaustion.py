"""The detector of projected exhaustion: at its average rate so far, a quota will be used up before it ends.

It ends with the period or with the plan, whichever is first. Pure, like the rule of thresholds. The projection is made
as of the newest usage of the whole lake, so a partner that has stopped is not projected as if it went on.
"""

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction

from aggregate.quota.rule import AlertRule, projection, time_held
from schemas.alerts import Alert, Kind
from schemas.money import plain
from schemas.zones import utc_text

# A projection from less than a twentieth of the time with the plan says little: 36 hours of a month.
_ELAPSED_MIN = Fraction(1, 20)
# A projection that wavers around the end is withdrawn only when it falls this far below the limit.
_AVERTED = Fraction(19, 20)
_US = timedelta(microseconds=1)


def ahead(rule: AlertRule, used: Decimal, *, unit: str, as_of: datetime, zone: tzinfo) -> Alert | None:
    """The alert that a quota will be used up, or None. `zone` decides the day that the alert names."""
    elapsed = time_held(rule, as_of) // _US
    if as_of >= rule.end or elapsed < _ELAPSED_MIN * (time_held(rule, rule.end) // _US):
        return None
    exhausted = projection(rule, used, as_of)
    if exhausted is None:
        return None
    evidence = {
        "unit": unit,
        "used": plain(used),
        "limit": plain(rule.limit),
        "limit_since": rule.limit_since and utc_text(rule.limit_since),
        "projected_exhaustion_at": utc_text(exhausted),
        "projected_day": exhausted.astimezone(zone).date().isoformat(),
        "quota_ends_at": utc_text(rule.held[-1][1]),
    }
    return Alert(Kind.EXHAUSTION, rule.partner_id, key_of(rule), as_of, evidence, rule.partner_id, rule.end)


def is_averted(rule: AlertRule, used: Decimal, *, as_of: datetime) -> bool:
    """Whether an alert is withdrawn: the quota will last. If it is used up, or has ended, the alert stays on record."""
    if used >= rule.limit or as_of >= rule.end:
        return False
    elapsed, whole = time_held(rule, as_of) // _US, time_held(rule, rule.end) // _US
    return Fraction(used) * whole < Fraction(rule.limit) * _AVERTED * elapsed


def key_of(rule: AlertRule) -> dict[str, str]:
    """The key of the alert on a quota in a period, under one limit."""
    key = {
        "meter": rule.meter,
        "plan": rule.plan,
        "quota_period": rule.kind,
        "period_start": utc_text(rule.start),
        "limit": plain(rule.limit),
    }
    if rule.limit_since is not None:
        key["limit_since"] = utc_text(rule.limit_since)
    return key
