"""Metrics of quotas and partners: compared with a count of the same lines, bounded in number, without stale series."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aggregate.quota import grants
from billing.catalog import loading as catalogs
from lake.lake import Lake
from tests.tollbook.fixtures import T0_MS, Here, requests, write_catalog
from tollbook.partner_figures import OTHER, Figures, QuotaFigures, TrafficFigures, figures
from tollbook.workers import metrics, partner_metrics

_HOUR_MS = 3_600_000
START = datetime(2026, 10, 1, tzinfo=UTC)
NOW = START + timedelta(days=10, hours=12, minutes=7)
NOW_MS = T0_MS + (NOW - START) // timedelta(milliseconds=1)
PARTNER = """
  - id: {name}
    name: {name}
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{{plan: small, valid_from: 2026-01-01}}]
    credentials: [{{kind: consumer, id: c-{name}}}]
"""
NAMES = ["acme", "busy", "calm", "deep", OTHER]


class Request(NamedTuple):
    """A request that was logged."""

    partner: str
    at_ms: int
    status: int
    latency_ms: int


def logged() -> list[Request]:
    """Each partner has more than the one before. Requests lie before, in and at the edges of the last hour."""
    found = []
    for rank, name in enumerate(NAMES, 1):
        found += [Request(name, T0_MS + n * 7 * _HOUR_MS, 200, 10) for n in range(5 * rank)]
        edges = [NOW_MS - _HOUR_MS - 1, NOW_MS - _HOUR_MS, NOW_MS - 1, NOW_MS]
        found += [Request(name, at, 200, 500 * rank) for at in edges]
        for n in range(20 * rank):
            status = (429, 503, 200, 200, 404)[n % 5]
            found.append(Request(name, NOW_MS - _HOUR_MS + 1 + n * 17_000, status, (n * 37) % (100 * rank)))
    return found


@pytest.fixture
def landed(here: Here) -> Here:
    """A lake with these requests."""
    write_catalog(here.catalog, partners="partners:" + "".join(PARTNER.format(name=name) for name in NAMES))
    lines = [
        requests(1, r.at_ms, consumer=f"c-{r.partner}", response__status=r.status, latencies__request=r.latency_ms, request__id=f"{r.partner}-{i}")[0]
        for i, r in enumerate(logged())
    ]  # fmt: skip
    done = here.run(here.log("a.log", *lines))
    assert done.code == 0, done.err
    return here


def found(here: Here, top: int = 100) -> Figures:
    return figures(Lake(here.lake), catalogs.load(here.catalog), now=NOW, top=top)


def expected_traffic(groups: dict[str, str]) -> list[TrafficFigures]:
    """What the lines of the last hour add up to, by the name that each partner has."""
    rows = []
    for name in sorted(set(groups.values())):
        mine = [r for r in logged() if groups[r.partner] == name and NOW_MS - _HOUR_MS <= r.at_ms < NOW_MS]
        latencies = sorted(r.latency_ms * 1000 for r in mine)
        p95 = latencies[-(-95 * len(latencies) // 100) - 1]  # the smallest value that 95 percent do not exceed
        count = {status: sum(r.status == status for r in mine) for status in (429, 503)}
        rows.append(TrafficFigures(name, len(mine), 900 * len(mine), count[429], count[503], p95))
    return rows


def test_traffic_is_that_of_the_last_hour(landed: Here) -> None:
    """Up to now, and not before an hour ago; a request an instant outside does not count."""
    assert found(landed).traffic == expected_traffic({name: name for name in NAMES})


def test_a_quota_is_that_of_the_month_so_far(landed: Here) -> None:
    """Usage by the filter of its meter, and the projection at the average rate since the first of the month."""
    by_partner = {quota.partner: quota for quota in found(landed).quotas}
    windows = [NOW_MS // 900_000 * 900_000 - _HOUR_MS, NOW_MS // 900_000 * 900_000]
    for name in NAMES:
        counted = [r.at_ms for r in logged() if r.partner == name and r.status in {200, 404}]
        quota = by_partner[name]
        assert (quota.meter, quota.period, quota.limit) == ("requests", "MONTH", 100)
        assert quota.used == len(counted)
        assert quota.last_hour == sum(windows[0] <= at < windows[1] for at in counted)
        assert quota.ratio == Decimal(len(counted)) / 100
        whole, passed = timedelta(days=31), NOW - START
        assert (
            abs(quota.projected - Decimal(len(counted)) * (whole // passed.resolution) / (passed // passed.resolution))
            < 1
        )


@pytest.mark.parametrize("top", [1, 3])
def test_only_so_many_partners_have_series_of_their_own(landed: Here, top: int) -> None:
    """Those closest to their limit; the rest is summed, with percentiles of all its requests together.

    A partner that is called like the rest is counted with it.
    """
    whole, cut = found(landed), found(landed, top)
    own = ["deep", "calm", "busy", "acme"][:top]
    groups = {name: name if name in own else OTHER for name in NAMES}
    assert cut.traffic == expected_traffic(groups)
    assert [quota.partner for quota in cut.quotas] == sorted({*own, OTHER})
    for name in ("used", "limit", "last_hour", "projected"):
        assert sum(getattr(q, name) for q in cut.quotas) == sum(getattr(q, name) for q in whole.quotas)


def test_a_grant_raises_the_limit_while_it_holds(landed: Here) -> None:
    """The ratio is the one by which the gateway decides, or the dashboard shows a partner as over that is not."""
    asked = grants.Asked("acme", "requests", "MONTH", Decimal(50), None, NOW + timedelta(hours=1), "launch")
    grants.record(Lake(landed.lake), asked, by="ops", now=NOW - timedelta(hours=1))
    limits = {quota.partner: quota.limit for quota in found(landed).quotas}
    assert limits == {name: Decimal(150 if name == "acme" else 100) for name in NAMES}
    later = figures(Lake(landed.lake), catalogs.load(landed.catalog), now=NOW + timedelta(hours=2))
    assert {quota.limit for quota in later.quotas} == {Decimal(100)}


def test_a_period_without_usage_has_a_quota_of_zero(landed: Here) -> None:
    """The month turned: the series says 0, and does not stay at the last value."""
    later = figures(Lake(landed.lake), catalogs.load(landed.catalog), now=datetime(2026, 11, 1, 0, 30, tzinfo=UTC))
    assert {(q.used, q.last_hour, q.projected, q.limit) for q in later.quotas} == {(0, 0, 0, 100)}
    assert later.traffic == []


def series(text: str) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, s.labels.get("partner", "")): s.value for family in families for s in family.samples}


def test_the_command_prints_them_and_writes_them_for_node_exporter(landed: Here) -> None:
    """One machine without workers has the same metrics, so the same rules and dashboards hold."""
    words: list[Any] = ["metrics", "--catalog", landed.catalog, "--lake", landed.lake, "--now", NOW.isoformat()]
    printed = landed.tollbook(*words)
    assert printed.code == 0, printed.err
    shown = series(printed.out)
    assert {name for name, _ in shown} == {gauge.describe()[0].name for gauge in metrics.OF_PARTNERS}
    assert shown["tollbook_quota_used_ratio", "acme"] == float(next(q.ratio for q in found(landed).quotas))
    assert shown["tollbook_partner_metrics_timestamp_seconds", ""] == NOW.timestamp()
    file = landed.folder / "tollbook.prom"
    assert landed.tollbook(*words, "--textfile", file, "--metrics-partners", "1").code == 0
    assert {partner for _, partner in series(Path(file).read_text())} == {"", "deep", OTHER}


def test_series_of_partners_that_left_are_removed() -> None:
    """A gauge that stays after its partner is gone fires forever."""
    quota = QuotaFigures("acme", "requests", "DAY", Decimal(5), Decimal(10), Decimal(1), Decimal(9))
    partner_metrics.show(Figures([quota], [TrafficFigures("acme", 4, 100, 1, 0, None)]), NOW)
    assert metrics.REGISTRY.get_sample_value("tollbook_partner_throttled_ratio", {"partner": "acme"}) == 0.25
    labels = {"partner": "acme", "meter": "requests", "period": "DAY"}
    assert metrics.REGISTRY.get_sample_value("tollbook_quota_projected_ratio", labels) == 0.9
    assert metrics.REGISTRY.get_sample_value("tollbook_partner_latency_p95_seconds", {"partner": "acme"}) is None
    partner_metrics.show(Figures([], []), NOW)
    assert metrics.REGISTRY.get_sample_value("tollbook_quota_projected_ratio", labels) is None
    assert metrics.REGISTRY.get_sample_value("tollbook_partner_throttled_ratio", {"partner": "acme"}) is None
