"""Alerts on quotas that will be used up before they end: usage as for thresholds, the rule from `aggregate.quota`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aggregate.quota import exhaustion
from schemas.alerts import Alert, Kind
from schemas.money import plain
from schemas.zones import zone
from tollbook.alerting import quotas
from tollbook.alerting.scene import Detector, Scene


def evaluate(scene: Scene) -> list[Alert]:
    """The quotas that will be used up at their average rate so far."""
    found = []
    for rule, usage in quotas.standings(scene).items():
        partner = scene.catalog.partner(rule.partner_id)
        assert partner is not None, "standings are of partners of the catalog"
        alert = exhaustion.ahead(
            rule, usage.used, unit=scene.catalog.meter(rule.meter).unit, as_of=_as_of(scene, usage.seen_until),
            zone=zone(partner.time_zone),
        )  # fmt: skip
        if alert is not None:
            found.append(alert)
    return found


def covers(scene: Scene, alert: Alert) -> bool:
    """Whether the quota lasts after all, or its limit has changed since."""
    present = quotas.present(scene, alert)
    if present is None:
        return False
    rule, used = present
    as_of = _as_of(scene, rule.start)
    if exhaustion.key_of(rule) != dict(alert.key):
        return as_of < rule.end
    return exhaustion.is_averted(rule, used, as_of=as_of)


def refuted_by(scene: Scene, alert: Alert) -> Mapping[str, Any]:
    """The usage and limit by which the quota lasts."""
    present = quotas.present(scene, alert)
    assert present is not None, "only alerts that are covered are withdrawn"
    rule, used = present
    return {
        **alert.evidence,
        "used": plain(used),
        "limit": plain(rule.limit),
        "limit_since": rule.limit_since and rule.limit_since.isoformat(),
        "projected_exhaustion_at": None,
        "projected_day": None,
    }


def _as_of(scene: Scene, own: datetime) -> datetime:
    """The newest usage of the lake: `own` is that of the quota."""
    return own if scene.seen_until is None else max(own, scene.seen_until)


DETECTOR = Detector(
    kind=Kind.EXHAUSTION,
    evaluate=evaluate,
    covers=covers,
    material=lambda alert: alert.evidence["projected_day"],
    refuted_by=refuted_by,
)
