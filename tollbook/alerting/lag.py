"""Alerts on sources that are behind the clock: rows from the lake, the rule from `aggregate.alerts.detectors.lag`."""

from datetime import UTC

from aggregate import engine
from aggregate.alerts.detectors import lag
from schemas.alerts import Alert, Kind
from tollbook.alerting.scene import Detector, Scene


def evaluate(scene: Scene) -> list[Alert]:
    """The alerts that go on or end now. A process that does not follow its logs has none."""
    if not scene.follows:
        return []
    now = scene.now.astimezone(UTC)
    # A week before the newest event of a source, which is at most a week old when it is first judged.
    params = {"first_day": (now - 2 * lag.OLDEST).date()}
    rows = engine.run(scene.house.con, "standstills", params).to_pylist()
    return lag.alerts(rows, scene.statements.values(), now)


# An alert ends, and nothing that happens later withdraws it.
DETECTOR = Detector(kind=Kind.LAG, evaluate=evaluate, covers=lambda *_: False, material=lag.material)
