"""tollbook.analysis: the one function through which an analyst opens a lake."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb
import pytest

from aggregate.quota import thresholds
from billing.catalog import loading as catalogs
from lake.errors import LakeError
from lake.lake import Lake
from schemas.alerts import Kind
from tests.aggregate.fixtures import now
from tests.notebooks.conftest import DemoLake
from tollbook.alerting import evaluation
from tollbook.analysis import Analysis, NotAnalysis, open_lake
from tollbook.local_run import run

LATE = (
    '{"requestId":"late-1","extendedRequestId":"late-1","ip":"203.0.113.1","userArn":"-","apiKeyId":"k9x2m4p6q8","requestTimeEpoch":"1791849600000",'
    '"httpMethod":"GET","resourcePath":"/v1/orders","path":"/prod/v1/orders","status":"200","responseLength":"1000","responseLatency":"5"}\n'
)


@pytest.fixture(scope="module")
def analysis(demo_lake: DemoLake) -> Analysis:
    return open_lake(*demo_lake)


def fingerprint(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_events_and_rollups_tell_the_same_usage(analysis: Analysis) -> None:
    """metered_events repeats the filters of metered.sql over another table: were they to differ, a line would not
    lead to its events.
    """
    by_window = "SELECT partner_id, meter, unit, window_start, sum(quantity) AS quantity FROM {} GROUP BY ALL"
    usage, events = by_window.format("usage"), by_window.format("metered_events")
    assert analysis.frame(f"({usage}) EXCEPT ({events})").empty
    assert analysis.frame(f"({events}) EXCEPT ({usage})").empty
    meters = analysis.frame("SELECT DISTINCT meter FROM usage ORDER BY meter")["meter"].tolist()
    assert meters == ["busy", "egress", "exports", "refused", "requests", "writes"]


def test_decimals_stay_decimals_and_can_be_calculated_with(analysis: Analysis) -> None:
    """The first thing an analyst does is to multiply by a price; pandas cannot do that with 38 digits."""
    frame = analysis.frame(
        "SELECT sum(quantity) AS gb, count(*) AS rows, sum(status) AS sums FROM usage WHERE meter = 'egress'"
    )
    assert str(frame["gb"].dtype) == "decimal128(18, 9)[pyarrow]"
    assert str(frame["sums"].dtype) == "int64[pyarrow]"
    gb = frame["gb"].iloc[0]
    assert (frame["gb"] * Decimal("0.12")).iloc[0] == gb * Decimal("0.12")
    assert gb * 10**9 == analysis.frame(
        "SELECT sum(response_bytes) AS n FROM traffic WHERE status < 500 AND status != 429"
    )["n"].iloc[0]  # fmt: skip


@pytest.mark.parametrize(
    ("digits", "kind"),
    [
        pytest.param("999999999999999999", "int64[pyarrow]", id="18 digits, whole"),
        pytest.param("1000000000000000000", "decimal128(19, 0)[pyarrow]", id="19 digits, whole"),
        pytest.param("999999999.999999999", "decimal128(18, 9)[pyarrow]", id="18 digits"),
        pytest.param("-1000000000.999999999", "decimal128(19, 9)[pyarrow]", id="19 digits, negative"),
    ],
)
def test_no_digit_is_lost_when_columns_are_narrowed(analysis: Analysis, digits: str, kind: str) -> None:
    """Narrow types are a convenience; a value must come through them unchanged."""
    scale = len(digits.partition(".")[2])
    frame = analysis.frame(f"SELECT {digits}::DECIMAL(38, {scale}) AS n UNION ALL SELECT NULL")
    assert str(frame["n"].dtype) == kind
    assert frame["n"].dropna().tolist() == [Decimal(digits)]


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("COPY (SELECT 1) TO '{file}'", id="writing over a file of the lake"),
        pytest.param("SELECT 1; SELECT 2", id="two statements"),
        pytest.param("SET threads = 1", id="a setting"),
        pytest.param("EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'", id="a write inside an explanation"),
        pytest.param("CREATE TABLE t (a INTEGER)", id="a table"),
        pytest.param("", id="nothing"),
    ],
)
def test_an_analysis_only_reads(demo_lake: DemoLake, sql: str) -> None:
    """The lake is the truth: a slip in a notebook must not be able to change it."""
    before = fingerprint(demo_lake.lake)
    file = next(demo_lake.lake.glob("rollups/*/*.parquet"))
    with pytest.raises(NotAnalysis, match="one SELECT"):
        open_lake(*demo_lake).frame(sql.format(file=file))
    assert fingerprint(demo_lake.lake) == before


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    "sql", ["FROM read_parquet('{lake}/events/*/*.parquet')", "FROM read_text('{catalog}/seller.yaml')"]
)
def test_only_pinned_files_are_read(demo_lake: DemoLake, sql: str) -> None:
    """A folder holds files of commits that did not happen; reading it would count them."""
    with pytest.raises(duckdb.PermissionException):
        open_lake(*demo_lake).frame(sql.format(lake=demo_lake.lake, catalog=demo_lake.catalog))


def test_an_open_lake_does_not_move_and_an_invoice_keeps_its_own(demo_lake: DemoLake, tmp_path: Path) -> None:
    """Usage that lands later is seen by who opens the lake anew, and never by what an issued invoice rests on."""
    shutil.copytree(demo_lake.lake, tmp_path / "lake")
    (tmp_path / "late.log").write_text(LATE)
    count = "SELECT sum(quantity)::BIGINT AS n FROM usage WHERE partner_id = 'northwind' AND meter = 'requests' AND month = '2026-10'"
    opened = open_lake(tmp_path / "lake", demo_lake.catalog)
    before = opened.frame(count)["n"].iloc[0]
    report = run.run(
        Lake(tmp_path / "lake"), catalogs.load(demo_lake.catalog), [tmp_path / "late.log"], format_name="aws_apigw", source="rest", now=now,
    )  # fmt: skip
    assert report.counts.counted == 1
    newest = open_lake(tmp_path / "lake", demo_lake.catalog)
    assert opened.frame(count)["n"].iloc[0] == before
    assert newest.frame(count)["n"].iloc[0] == before + 1
    invoiced = newest.as_invoiced("TW-2026-000003")
    assert invoiced.frame(count)["n"].iloc[0] == before
    assert invoiced.versions["rollups"] < newest.versions["rollups"]


def test_the_burn_down_ends_at_the_invoice_and_crosses_with_the_alert(analysis: Analysis) -> None:
    """Alert, plot and invoice show one number, and one moment."""
    end = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
    burn = analysis.burn_down("northwind", "requests", end)
    assert burn.used >= burn.rule.limit == 15_000
    assert burn.exhausted_at is None
    lines = analysis.frame("SELECT quantity FROM invoice_lines WHERE partner_id = 'northwind' AND meter = 'requests'")
    assert Decimal(burn.windows["used"].iloc[-1]) == lines["quantity"].iloc[0]
    crossed = analysis.frame(
        "SELECT crossed_at FROM alerts WHERE partner_id = 'northwind' AND threshold_percent = 100 AND events_version = $newest",
        newest=analysis.versions["events"],
    )["crossed_at"].iloc[0]
    first = burn.windows[burn.windows["used"] >= burn.rule.limit]["used_until"].iloc[0]
    assert first - timedelta(minutes=15) <= crossed < first


@pytest.mark.slow
def test_a_quota_counts_while_its_plan_holds(demo_lake: DemoLake, tmp_path: Path) -> None:
    """A plan that began within the month, was left and taken up again: the alert counts its days alone, and so does
    the plot.
    """
    lake = Path(shutil.copytree(demo_lake.lake, tmp_path / "lake"))
    catalog = Path(shutil.copytree(demo_lake.catalog, tmp_path / "catalog"))
    once = "{plan: wholesale-1m, valid_from: 2026-01-01}"
    parts = [("wholesale-1m", "10-06", "10-12"), ("trial", "10-12", "10-15"), ("wholesale-1m", "10-15", "11-01")]
    plans = ", ".join(f"{{plan: {p}, valid_from: 2026-{s}, valid_to: 2026-{e}}}" for p, s, e in parts)
    partners = (catalog / "partners.yaml").read_text()
    (catalog / "partners.yaml").write_text(partners.replace(f"- {once}", f"[{plans}]", 1))
    (catalog / "trial.yaml").write_text("plans: [{id: trial, rate_card: wholesale}]")
    prices = (catalog / "prices.yaml").read_text()
    (catalog / "prices.yaml").write_text(prices.replace("limit: 15000", "limit: 6000"))
    burn = open_lake(lake, catalog).burn_down("northwind", "requests", datetime(2026, 10, 31, 23, tzinfo=UTC))
    raised = evaluation.alert(Lake(lake), catalogs.load(catalog), now=datetime(2026, 11, 5, tzinfo=UTC))
    place = thresholds.place_of_rule(burn.rule)
    fired = [
        s.alert for s in raised if s.holds and s.alert.kind is Kind.QUOTA and thresholds.place_of(s.alert) == place
    ]
    assert fired
    assert {Decimal(alert.evidence["used"]) for alert in fired} == {Decimal(burn.windows["used"].iloc[-1])}
    assert burn.windows["used_until"].min() == datetime(2026, 10, 5, 23, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "until"),
    [
        pytest.param(17, "2026-10-27", id="on the way to the quota: the line ends there"),
        pytest.param(31, None, id="used up already: it goes on to the end"),
    ],
)
def test_the_line_ahead_goes_where_the_rule_says(analysis: Analysis, day: int, until: str | None) -> None:
    """The dashed line is the alert's projection, drawn."""
    burn = analysis.burn_down("northwind", "requests", datetime(2026, 10, day, tzinfo=UTC))
    assert burn.ahead["used_until"].iloc[0] == burn.seen_until
    assert Decimal(burn.ahead["used"].iloc[0]) == burn.used
    if until:
        assert burn.ahead["used"].iloc[1] == burn.rule.limit
        assert burn.ahead["used_until"].iloc[1] == burn.exhausted_at
        assert str(burn.exhausted_at).startswith(until)
    else:
        assert burn.ahead["used_until"].iloc[1] == burn.rule.end
        assert Decimal(burn.ahead["used"].iloc[1]) > burn.used > burn.rule.limit


def test_a_quota_that_lasts_is_drawn_to_the_end_of_its_period(analysis: Analysis) -> None:
    """Below the quota the line goes on at the average rate: half the time, about half the usage."""
    burn = analysis.burn_down("initech", "requests", datetime(2026, 10, 17, tzinfo=UTC))
    assert burn.exhausted_at is None
    assert burn.ahead["used_until"].iloc[1] == burn.rule.end
    passed, whole = burn.seen_until - burn.rule.start, burn.rule.end - burn.rule.start
    expected = Fraction(burn.used) * (whole // timedelta(seconds=1)) / (passed // timedelta(seconds=1))
    assert abs(Fraction(burn.ahead["used"].iloc[1]) - expected) < Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("partner", "meter", "day", "message"),
    [
        ("nobody", "requests", datetime(2026, 10, 17, tzinfo=UTC), "known ids: northwind, globex, initech"),
        ("northwind", "egress", datetime(2026, 10, 17, tzinfo=UTC), "no quota of 'egress'"),
        ("northwind", "requests", datetime(2025, 10, 17, tzinfo=UTC), "no quota of 'requests' at 2025"),
        ("northwind", "requests", datetime(2026, 12, 17, tzinfo=UTC), "has no usage of requests"),
    ],
)
def test_a_burn_down_of_nothing_says_why(
    analysis: Analysis, partner: str, meter: str, day: datetime, message: str
) -> None:
    """An empty plot would be taken for no usage."""
    with pytest.raises(NotAnalysis, match=message):
        analysis.burn_down(partner, meter, day)


def test_an_unknown_invoice_is_answered_with_the_known_ones(analysis: Analysis) -> None:
    """A mistyped number must not open the newest lake instead."""
    with pytest.raises(NotAnalysis, match="TW-2026-000001, TW-2026-000002, TW-2026-000003"):
        analysis.as_invoiced("TW-2026-000009")


def test_a_folder_that_is_no_lake_is_refused(tmp_path: Path, demo_lake: DemoLake) -> None:
    """DuckDB would read Parquet files from anywhere; a lake says of itself that it is one."""
    with pytest.raises(LakeError, match="is not a Tollbook lake"):
        open_lake(tmp_path, demo_lake.catalog)
