"""Metrics and health: names by the conventions, all in one list, and pages that scrapers and supervisors can read."""

import http.client
import re
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from aggregate.landing.payloads import Seen
from tollbook.workers import metrics
from tollbook.workers.loop import WorkerOptions
from tollbook.workers.unknown_metrics import UnknownCredentials

BASE_UNITS = ("seconds", "bytes", "ratio", "celsius")
OTHER_UNITS = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "mb", "percent", "us", "micros")
NAMES = [metric.describe()[0].name for metric in metrics.ALL]


class Answer(NamedTuple):
    status: int
    kind: str
    text: str


Get = Callable[[str], Answer]


@pytest.fixture(scope="module")
def wrong() -> list[str]:
    """What the health of the server in this module complains of."""
    return []


@pytest.fixture(scope="module")
def get(wrong: list[str]) -> Get:
    """Ask the server of this module, which lives as long as the tests: there is one for each process."""
    port = metrics.serve("127.0.0.1:0", lambda: list(wrong))

    def ask(path: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read().decode())
        finally:
            connection.close()

    return ask


@pytest.mark.parametrize("metric", metrics.ALL, ids=NAMES)
def test_a_name_follows_the_conventions(metric: MetricWrapperBase) -> None:
    """One prefix, the stage, base units at the end: whoever writes a query guesses the name right."""
    (family,) = metric.describe()
    assert re.fullmatch(r"tollbook_(ingest|http|land|quota|partner|decide|halted)_[a-z0-9_]+[a-z0-9]", family.name)
    assert not any(re.search(rf"_{unit}(_|$)", family.name) for unit in OTHER_UNITS)
    if isinstance(metric, Histogram):
        assert family.name.endswith(BASE_UNITS)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))  # the library adds them
    assert re.fullmatch(r"[A-Z].*[^.]\.", family.documentation)


def test_every_metric_is_in_the_list_and_every_one_in_the_list_is_served() -> None:
    """The list is what tests, rules and pages go by; a metric beside it would be known to nobody."""
    made = [value for value in vars(metrics).values() if isinstance(value, (Counter, Gauge, Histogram))]
    assert sorted(map(id, made)) == sorted(map(id, metrics.ALL))
    assert {family.name for family in metrics.REGISTRY.collect()} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_the_page_is_read_by_prometheus_own_parser(get: Get) -> None:
    """Counters end in _total there; what a worker counts stands there at once, labels and all."""

    def sample(name: str, **labels: str) -> float:
        page = text_string_to_metric_families(get("/metrics").text)
        return sum(s.value for family in page for s in family.samples if s.name == name and s.labels == labels)

    before = sample("tollbook_land_events_total")
    refused = sample("tollbook_ingest_refused_total", reason='odd "reason"\n')
    metrics.COUNTED.inc(3)
    metrics.INGEST_REFUSED.labels('odd "reason"\n').inc()
    assert sample("tollbook_land_events_total") == before + 3
    assert sample("tollbook_ingest_refused_total", reason='odd "reason"\n') == refused + 1
    page = get("/metrics")
    assert page.status == 200
    assert page.kind.startswith("text/plain")
    for family in text_string_to_metric_families(page.text):
        for each in family.samples:
            assert family.type != "counter" or each.name.endswith("_total")


def test_health_is_what_is_wrong_now(get: Get, wrong: list[str]) -> None:
    """200 while nothing is wrong; 503 with a line for each trouble; and well again when they have passed."""
    assert get("/healthz") == Answer(200, "text/plain; charset=utf-8", "ok\n")
    wrong += ["RETENTION_GAP: usage.events/0: 2 messages are gone", "no progress for 31 s"]
    assert get("/healthz") == (503, "text/plain; charset=utf-8", "".join(f"{line}\n" for line in wrong))
    wrong.clear()
    assert get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/../etc/passwd"])
def test_there_are_two_pages(get: Get, path: str) -> None:
    """A typing error in a check must not look like health."""
    assert get(path).status == 404


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is nobody's address")
def test_it_is_open_to_this_machine_alone_unless_told_otherwise() -> None:
    """An address without a host is loopback, not everybody; a port that is taken is an error, not another port."""
    assert WorkerOptions().metrics == "127.0.0.1:0"
    port = metrics.serve(":0", list)
    with pytest.raises(ConnectionRefusedError):  # what listens everywhere answers there, too
        socket.create_connection(("127.0.0.2", port), timeout=5)
    with pytest.raises(OSError, match="in use"):
        metrics.serve(f"127.0.0.1:{port}", list)


def test_unknown_clients_cannot_create_unbounded_series() -> None:
    """Each credential of the first ones has its own series, with how often and when; the rest are one."""
    unknown = UnknownCredentials(limit=2)
    unknown.add({"aa" * 32: Seen(3, 5_000_000, 9_000_000)})
    unknown.add({"aa" * 32: Seen(1, 4_999_999, 6_000_000), "bb" * 32: Seen(1, 1_000_000, 1_000_000)})
    unknown.add({f"{n:064x}": Seen(1, n * 1_000_000, n * 1_000_000) for n in range(2, 1000)})
    value = metrics.REGISTRY.get_sample_value
    names = {sample.labels["credential"] for family in metrics.UNKNOWN.collect() for sample in family.samples}
    assert names == {"a" * 12, "b" * 12, "other"}
    labels = {name: {"credential": name} for name in names}
    assert value("tollbook_land_unknown_credentials_total", labels["a" * 12]) == 4
    assert value("tollbook_land_unknown_credentials_total", labels["other"]) == 998
    assert value("tollbook_land_unknown_first_timestamp_seconds", labels["a" * 12]) == 4
    assert value("tollbook_land_unknown_last_timestamp_seconds", labels["a" * 12]) == 9
    assert value("tollbook_land_unknown_last_timestamp_seconds", labels["other"]) == 999
