"""Sets the metrics of quotas and partners from the lake: at most once a minute, with at most a twentieth of a core."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from prometheus_client import Gauge

from lake.lake import Lake
from schemas.catalog.records import Catalog
from tollbook.partner_figures import Figures, figures
from tollbook.workers import metrics

INTERVAL_S = 60.0
_REST = 20  # rests this many times as long as a computation took
_US = 1_000_000


class PartnerMetrics:
    """Computes and sets the metrics until it is stopped. `run` is for a thread."""

    def __init__(
        self, lake: Lake, catalog: Catalog, *, top: int, clock: Callable[[], datetime], stop: threading.Event
    ) -> None:
        """`top` is the number of partners with series of their own."""
        self._lake = lake
        self._catalog = catalog
        self._top = top
        self._clock = clock
        self._stop = stop

    def run(self) -> None:
        """Compute and set the metrics again and again."""
        while not self._stop.is_set():
            begun = time.monotonic()
            self.refresh()
            self._stop.wait(max(INTERVAL_S, _REST * (time.monotonic() - begun)))

    def refresh(self) -> None:
        """Compute and set the metrics once. Raises LakeError."""
        now = self._clock()
        show(figures(self._lake, self._catalog, now=now, top=self._top), now)


def show(found: Figures, now: datetime) -> None:
    """Set the gauges, then remove the series of partners that are not among the figures any more."""
    quotas = {(q.partner, q.meter, q.period): q for q in found.quotas}
    _set(metrics.QUOTA_USED, {key: float(q.used) for key, q in quotas.items()})
    _set(metrics.QUOTA_LIMIT, {key: float(q.limit) for key, q in quotas.items()})
    _set(metrics.QUOTA_RATIO, {key: float(q.ratio) for key, q in quotas.items()})
    _set(metrics.QUOTA_BURN, {key: float(q.last_hour) for key, q in quotas.items()})
    _set(metrics.QUOTA_PROJECTED, {key: float(q.projected_ratio) for key, q in quotas.items()})
    traffic = {(t.partner,): t for t in found.traffic}
    _set(metrics.PARTNER_REQUESTS, {key: t.requests for key, t in traffic.items()})
    _set(metrics.PARTNER_BYTES, {key: t.response_bytes for key, t in traffic.items()})
    _set(metrics.PARTNER_THROTTLED, {key: t.throttled / t.requests for key, t in traffic.items()})
    _set(metrics.PARTNER_ERRORS, {key: t.errors / t.requests for key, t in traffic.items()})
    known = {key: t.latency_p95_us for key, t in traffic.items()}
    _set(metrics.PARTNER_P95, {key: p95 / _US for key, p95 in known.items() if p95 is not None})
    metrics.PARTNERS_AT.set(now.timestamp())


def _set(gauge: Gauge, values: dict[tuple[str, ...], float]) -> None:
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    for family in gauge.collect():
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in gauge._labelnames)
            if labels not in values:
                gauge.remove(*labels)
