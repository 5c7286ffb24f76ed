"""The metrics of workers in one list, by Prometheus' conventions (base units, `_total`), and the server for them.

`/metrics` and `/healthz` listen on loopback by default. A worker is healthy if nothing is halted and its last step is
recent enough for the watchdog.
"""

import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

REGISTRY = CollectorRegistry()

RECORDS = Counter("tollbook_ingest_records", "Records of gateway.access that were read.", registry=REGISTRY)
INGESTED = Counter("tollbook_ingest_entries", "Entries that were read, whatever became of them.", registry=REGISTRY)
INGEST_REFUSED = Counter("tollbook_ingest_refused", "Entries refused by ingest.", ["reason"], registry=REGISTRY)
HTTP_REQUESTS = Counter("tollbook_http_requests", "Requests answered.", ["status"], registry=REGISTRY)
HTTP_SECONDS = Histogram(
    "tollbook_http_request_seconds", "From a request's head to its answer.", registry=REGISTRY,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)  # fmt: skip
HTTP_ACCEPTED = Counter("tollbook_http_accepted", "Events that Kafka has confirmed.", ["producer"], registry=REGISTRY)
HTTP_REFUSED = Counter("tollbook_http_refused", "Events that were refused.", ["reason"], registry=REGISTRY)
HTTP_HELD = Gauge("tollbook_http_held_bytes", "Bytes of requests that are read, decoded or sent.", registry=REGISTRY)
COUNTED = Counter("tollbook_land_events", "Events counted.", registry=REGISTRY)
DUPLICATES = Counter("tollbook_land_duplicates", "Resends that were dropped.", registry=REGISTRY)
CONFLICTS = Counter("tollbook_land_conflicts", "Entries that contradict a counted event.", registry=REGISTRY)
OUTSIDE = Counter(
    "tollbook_land_outside",
    "Events counted outside of what was agreed for their credential.",
    ["mark"],
    registry=REGISTRY,
)
REFUSED = Counter("tollbook_land_refused", "Refused entries taken into the lake.", registry=REGISTRY)
# Unknown callers choose the credentials. This many have their own series; the others share one.
CREDENTIALS_MAX = 100
UNKNOWN = Counter(
    "tollbook_land_unknown_credentials",
    "Refused entries of credentials that are unknown or were not valid, by the beginning of the credential's hash.",
    ["credential"],
    registry=REGISTRY,
)
UNKNOWN_FIRST = Gauge(
    "tollbook_land_unknown_first_timestamp_seconds",
    "Time of the earliest such request that this worker has met.",
    ["credential"],
    registry=REGISTRY,
)
UNKNOWN_LAST = Gauge(
    "tollbook_land_unknown_last_timestamp_seconds",
    "Time of the latest such request that this worker has met.",
    ["credential"],
    registry=REGISTRY,
)
REDELIVERED = Counter("tollbook_land_redelivered", "Entries that ingest sent again and land knew.", registry=REGISTRY)
COMMITS = Histogram(
    "tollbook_land_commit_seconds", "Reading, dedup and commit of one batch.", registry=REGISTRY,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)  # fmt: skip
IDENTITIES = Gauge("tollbook_land_open_identities", "Identities held in memory.", registry=REGISTRY)
LAG = Gauge(
    "tollbook_land_lag_messages", "Messages behind the lake's offset.", ["topic", "partition"], registry=REGISTRY
)
HALTED = Gauge("tollbook_halted_partitions", "Partitions that are not read on.", ["reason"], registry=REGISTRY)
FENCED = Counter(
    "tollbook_land_fenced", "Commits refused because another worker owns the partition.", registry=REGISTRY
)
TOTALS = Counter("tollbook_land_totals_published", "Messages of usage.totals.", registry=REGISTRY)
ALERTS = Counter("tollbook_quota_alerts", "Alerts sent.", ["kind"], registry=REGISTRY)
QUOTA_LAG = Gauge("tollbook_quota_lag_messages", "Totals that wait for the quota worker.", registry=REGISTRY)
WEBHOOKS = Counter(
    "tollbook_quota_webhooks", "Attempts to deliver an alert to a webhook.", ["webhook", "outcome"], registry=REGISTRY
)
# Quotas and partners, as tollbook/workers/partner_metrics.py computes them from the lake. Their number is bounded:
# partners near their limits have series of their own, and all others share the partner `other`.
_QUOTA = ["partner", "meter", "period"]
QUOTA_USED = Gauge(
    "tollbook_quota_used", "Usage of a quota in its current period, in the meter's unit.", _QUOTA, registry=REGISTRY
)
QUOTA_LIMIT = Gauge("tollbook_quota_limit", "Limit of a quota, in the meter's unit.", _QUOTA, registry=REGISTRY)
QUOTA_RATIO = Gauge("tollbook_quota_used_ratio", "Usage by limit.", _QUOTA, registry=REGISTRY)
QUOTA_BURN = Gauge(
    "tollbook_quota_burn_per_hour", "Usage of the last four quarters of an hour.", _QUOTA, registry=REGISTRY
)
QUOTA_PROJECTED = Gauge(
    "tollbook_quota_projected_ratio",
    "Usage by limit at the end of the period, at the average rate so far.",
    _QUOTA,
    registry=REGISTRY,
)
PARTNER_REQUESTS = Gauge("tollbook_partner_requests", "Requests of the last hour.", ["partner"], registry=REGISTRY)
PARTNER_BYTES = Gauge(
    "tollbook_partner_response_bytes", "Bytes of responses of the last hour.", ["partner"], registry=REGISTRY
)
PARTNER_THROTTLED = Gauge(
    "tollbook_partner_throttled_ratio", "Share of 429 in the requests of the last hour.", ["partner"], registry=REGISTRY
)
PARTNER_ERRORS = Gauge(
    "tollbook_partner_errors_ratio", "Share of 5xx in the requests of the last hour.", ["partner"], registry=REGISTRY
)
PARTNER_P95 = Gauge(
    "tollbook_partner_latency_p95_seconds",
    "The 95th percentile of the latency of the last hour.",
    ["partner"],
    registry=REGISTRY,
)
PARTNERS_AT = Gauge(
    "tollbook_partner_metrics_timestamp_seconds",
    "Time of the last such computation. 0: there is none.",
    registry=REGISTRY,
)
OF_PARTNERS = (
    QUOTA_USED, QUOTA_LIMIT, QUOTA_RATIO, QUOTA_BURN, QUOTA_PROJECTED, PARTNER_REQUESTS, PARTNER_BYTES, PARTNER_THROTTLED,
    PARTNER_ERRORS, PARTNER_P95, PARTNERS_AT,
)  # fmt: skip
DECISIONS = Counter("tollbook_decide_decisions", "Answers to gateways.", ["decision", "reason"], registry=REGISTRY)
DECIDE_AGE = Gauge(
    "tollbook_decide_state_age_seconds", "Age of the state that answers are based on.", registry=REGISTRY
)
ALL = (
    RECORDS, INGESTED, INGEST_REFUSED, HTTP_REQUESTS, HTTP_SECONDS, HTTP_ACCEPTED, HTTP_REFUSED, HTTP_HELD,
    COUNTED, DUPLICATES, CONFLICTS, OUTSIDE, REFUSED, UNKNOWN, UNKNOWN_FIRST, UNKNOWN_LAST, REDELIVERED, COMMITS, IDENTITIES, LAG, HALTED,
    FENCED, TOTALS, ALERTS, QUOTA_LAG, WEBHOOKS, *OF_PARTNERS, DECISIONS, DECIDE_AGE,
)  # fmt: skip


class _MetricsServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Do not log scrapes."""


def serve(address: str, health: Callable[[], list[str]]) -> int:
    """Serve on `host:port` (port 0: any free port) from a thread, and return the port.

    `health` returns what is wrong.
    """
    host, _, port = address.rpartition(":")
    metrics = make_wsgi_app(REGISTRY)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/healthz":
            wrong = health()
            start("503 Service Unavailable" if wrong else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
            return ["".join(f"{line}\n" for line in wrong or ["ok"]).encode()]
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there are /metrics and /healthz\n"]

    server = make_server(host or "127.0.0.1", int(port), app, _MetricsServer, _Silent)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)
