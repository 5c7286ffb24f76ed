"""Alerts about who sends: rows from the lake, the rules from `aggregate.alerts.detectors.access`."""

from collections.abc import Sequence
from datetime import date

from aggregate import engine
from aggregate.alerts.detectors import access
from schemas.alerts import Alert, Kind
from tollbook.alerting.scene import Detector, Scene

_EPOCH_DAY = date(1970, 1, 1)


def outside(scene: Scene) -> Sequence[Alert]:
    """Requests outside of what was agreed, on the days that changed."""
    return access.outside(engine.run(scene.house.con, "outside_by_day", {"days": list(scene.days)}).to_pylist())


def unknown(scene: Scene) -> Sequence[Alert]:
    """Unknown credentials of the whole lake."""
    return access.unknown(engine.run(scene.house.con, "unknown_credentials").to_pylist())


def conflicts(scene: Scene) -> Sequence[Alert]:
    """Conflicts on the days that changed."""
    days = [(day - _EPOCH_DAY).days for day in scene.days]
    return access.conflicts(engine.run(scene.house.con, "conflicts_by_day", {"days": days}).to_pylist())


NETWORK = Detector(kind=Kind.NETWORK, evaluate=outside, material=access.outside_material)
CREDENTIAL = Detector(kind=Kind.CREDENTIAL, evaluate=unknown, covers=lambda *_: True, material=access.unknown_material)
CONFLICT = Detector(kind=Kind.CONFLICT, evaluate=conflicts, material=access.conflict_material)
