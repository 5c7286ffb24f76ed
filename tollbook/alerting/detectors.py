"""The registry of detectors, one for each kind of alert, in the order in which their alerts are shown."""

from tollbook.alerting import access, budgets, exhaustion, neighbour, presence, quotas, throttle
from tollbook.alerting.scene import Detector

DETECTORS: tuple[Detector, ...] = (
    quotas.DETECTOR,
    exhaustion.DETECTOR,
    budgets.DETECTOR,
    throttle.DETECTOR,
    neighbour.DETECTOR,
    access.NETWORK,
    access.CREDENTIAL,
    access.CONFLICT,
    presence.SILENCE,
    presence.JUMP,
    presence.LAG,
)
