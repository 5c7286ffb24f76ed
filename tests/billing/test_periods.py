"""Periods: months and quota periods in every zone, over clock changes and a day that never was; and a month's
segments.
"""

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import (
    BadPeriod,
    BillingPeriod,
    Period,
    billing_period,
    interval,
    missing_month,
    month,
    period_between,
    quota_period,
)
from schemas import zones
from schemas.catalog.records import Catalog
from schemas.windows import WINDOW_US, to_us
from tests.billing.catalogs import book, document

ZONES = sorted(zones.names())
# The month behind the last one must be one, too, in any zone.
INSTANTS = st.datetimes(datetime(2000, 1, 3), datetime(2099, 11, 29), timezones=st.just(UTC))  # noqa: DTZ001
HOURS = {
    # zone, month: first instant, last instant (excluded), hours
    ("Europe/Berlin", "2026-03"): ("2026-02-28T23:00Z", "2026-03-31T22:00Z", 743),
    ("Europe/Berlin", "2026-10"): ("2026-09-30T22:00Z", "2026-10-31T23:00Z", 745),
    ("America/New_York", "2026-03"): ("2026-03-01T05:00Z", "2026-04-01T04:00Z", 743),
    ("America/New_York", "2026-11"): ("2026-11-01T04:00Z", "2026-12-01T05:00Z", 721),
    ("Asia/Kathmandu", "2026-02"): ("2026-01-31T18:15Z", "2026-02-28T18:15Z", 672),
    ("Pacific/Apia", "2011-12"): ("2011-12-01T10:00Z", "2011-12-31T10:00Z", 720),
    ("America/Sao_Paulo", "2018-11"): ("2018-11-01T03:00Z", "2018-12-01T02:00Z", 719),
    ("Australia/Lord_Howe", "2026-04"): ("2026-03-31T13:00Z", "2026-04-30T13:30Z", 720.5),
    ("UTC", "2028-02"): ("2028-02-01T00:00Z", "2028-03-01T00:00Z", 696),
}


@pytest.mark.parametrize(("zone", "label"), HOURS)
def test_a_month_begins_and_ends_at_local_midnight(zone: str, label: str) -> None:
    """Also where an hour is missing or doubled, and where 30 December 2011 did not take place."""
    start, end, hours = HOURS[zone, label]
    period = month(label, zone)
    assert period == Period(datetime.fromisoformat(start), datetime.fromisoformat(end))
    assert (period.end - period.start) / timedelta(hours=1) == hours


@pytest.mark.integration
@given(st.sampled_from(ZONES), INSTANTS)
def test_every_instant_is_in_exactly_one_period_of_each_kind(zone: str, instant: datetime) -> None:
    """[start, end): the first instant belongs, the last one does not, and both neighbours begin where this one ends."""
    for kind in ("DAY", "WEEK", "MONTH"):
        period = quota_period(kind, instant, zone)
        assert period.start <= instant < period.end
        assert quota_period(kind, period.start, zone) == period
        assert quota_period(kind, period.end - timedelta(microseconds=1), zone) == period
        assert quota_period(kind, period.end, zone).start == period.end


@pytest.mark.integration
@given(st.sampled_from(ZONES), INSTANTS)
def test_windows_and_days_sum_to_the_month(zone: str, instant: datetime) -> None:
    """Whole windows in every zone, so that a month is a sum of rollups; its days, one after the other, are the
    month.
    """
    label = f"{instant:%Y-%m}"
    period = month(label, zone)
    assert to_us(period.start) % WINDOW_US == to_us(period.end) % WINDOW_US == 0
    days = [quota_period("DAY", period.start, zone)]
    while days[-1].end < period.end:
        days.append(quota_period("DAY", days[-1].end, zone))
    assert (days[0].start, days[-1].end) == period
    assert all(one.end == other.start for one, other in itertools.pairwise(days))
    local = [day.start.astimezone(zones.zone(zone)).date() for day in days]
    assert {f"{day:%Y-%m}" for day in local} == {label}
    assert len(set(local)) == len(local)


def test_a_day_that_was_left_out_is_no_quota_period() -> None:
    """Apia went from 29 to 31 December 2011; New York's autumn day has 25 hours, Berlin's spring day 23."""
    end_of_29 = quota_period("DAY", datetime(2011, 12, 30, 9, tzinfo=UTC), "Pacific/Apia").end
    assert quota_period("DAY", end_of_29, "Pacific/Apia").start.astimezone(zones.zone("Pacific/Apia")).day == 31
    for zone, day, hours in (("America/New_York", date(2026, 11, 1), 25), ("Europe/Berlin", date(2026, 3, 29), 23)):
        start, end = quota_period("DAY", datetime(day.year, day.month, day.day, 12, tzinfo=UTC), zone)
        assert end - start == timedelta(hours=hours)


def test_a_week_begins_on_monday_in_the_partners_zone() -> None:
    """Sunday 23:00 in Berlin is Sunday, though it is Monday in Kathmandu."""
    instant = datetime(2026, 10, 25, 22, tzinfo=UTC)
    assert quota_period("WEEK", instant, "Europe/Berlin").start == datetime(2026, 10, 18, 22, tzinfo=UTC)
    assert quota_period("WEEK", instant, "Asia/Kathmandu").start == datetime(2026, 10, 25, 18, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "label",
    ["", "2026", "2026-13", "2026-00", "26-10", "2026-1", "2026-10-01", "2026-10\n", "1999-12", "2100-01", "9999-12",
     "\uff12\uff10\uff12\uff16-10", "October"],
)  # fmt: skip
def test_what_names_no_month_is_refused_with_an_example(label: str) -> None:
    """Events lie between 2000 and 2100, and so do periods."""
    with pytest.raises(BadPeriod, match="such as 2026-10"):
        month(label, "UTC")
    assert month("2000-01", "UTC").start.year == 2000
    assert month("2099-12", "UTC").end.year == 2100


def cut(versions: list[str], plans: list[dict[str, Any]]) -> list[tuple[str, str, str, str | None]]:
    """The segments of October 2026 of a partner in Berlin: local days, plan, and the version's date."""
    parts = document()
    rates = parts["rate_cards"][0]["versions"][0]["rates"]
    parts["rate_cards"][0]["versions"] = [{"valid_from": v, "rates": rates} for v in versions]
    parts["rate_cards"].append(
        {**parts["rate_cards"][0], "id": "other", "versions": [{"valid_from": "2020-01-01", "rates": rates}]}
    )
    parts["plans"].append({"id": "plan-b", "rate_card": "other"})
    parts["partners"][0]["plans"] = plans
    catalog = book(**parts)
    period = billed(catalog)
    pieces = [(stay.plan, place, part) for stay in period.stays for place, part in stay.versions]
    covered = sum((part.end - part.start for _, _, part in pieces), timedelta())
    assert covered + sum((g.end - g.start for g in period.without_plan), timedelta()) == period.end - period.start
    assert BillingPeriod.from_json(period.partner_id, json.loads(json.dumps(period.as_json()))) == period
    held = {plan.id: catalog.rate_card(plan.rate_card).versions for plan in catalog.plans}
    return [
        (f"{p.start:%m-%d %H:%M}", f"{p.end:%m-%d %H:%M}", plan, None if place is None else str(held[plan][place].valid_from))
        for plan, place, p in pieces
    ]  # fmt: skip


def billed(catalog: Catalog, settled_until: datetime | None = None, label: str = "2026-10") -> BillingPeriod:
    """The month of the first partner."""
    period = billing_period(catalog, catalog.partners[0], label, settled_until)
    assert period is not None
    return period


A, B = "plan-a", "plan-b"
OLD, FIRST, LAST = "2026-01-01", "10-01 00:00", "11-01 00:00"


@pytest.mark.parametrize(
    ("versions", "plans", "expected"),
    [
        pytest.param([OLD], [(A, OLD, None)], [(FIRST, LAST, A, OLD)], id="one plan, one version"),
        pytest.param([OLD], [], [], id="no plan"),
        pytest.param([OLD], [(A, "2026-11-01", None)], [], id="a plan that begins when the month ends"),
        pytest.param([OLD], [(A, OLD, "2026-10-01")], [], id="a plan that ends when the month begins"),
        pytest.param([OLD], [(A, "2026-10-31", None)], [("10-31 00:00", LAST, A, OLD)], id="the last day"),
        pytest.param([OLD], [(A, OLD, "2026-10-02")], [(FIRST, "10-02 00:00", A, OLD)], id="the first day"),
        pytest.param(
            [OLD],
            [(B, "2026-10-25", None), (A, OLD, "2026-10-25")],
            [(FIRST, "10-25 00:00", A, OLD), ("10-25 00:00", LAST, B, "2020-01-01")],
            id="another plan on the day of the clock change",
        ),
        pytest.param(
            [OLD, "2026-10-15"],
            [(A, OLD, None)],
            [(FIRST, "10-15 00:00", A, OLD), ("10-15 00:00", LAST, A, "2026-10-15")],
            id="new prices within the month",
        ),
        pytest.param(
            [OLD, "2026-10-15", "2026-10-16"],
            [(A, "2026-10-15", "2026-10-17")],
            [("10-15 00:00", "10-16 00:00", A, "2026-10-15"), ("10-16 00:00", "10-17 00:00", A, "2026-10-16")],
            id="plan and prices begin together",
        ),
        pytest.param([OLD, "2026-10-01"], [(A, OLD, None)], [(FIRST, LAST, A, "2026-10-01")], id="new prices with the month"),
        pytest.param([OLD, "2026-11-01"], [(A, OLD, None)], [(FIRST, LAST, A, OLD)], id="new prices with the next month"),
        pytest.param(
            ["2026-10-10"],
            [(A, OLD, None)],
            [(FIRST, "10-10 00:00", A, None), ("10-10 00:00", LAST, A, "2026-10-10")],
            id="a rate card that begins too late",
        ),
        pytest.param(
            [OLD],
            [(A, OLD, "2026-10-10"), (A, "2026-10-20", None)],
            [(FIRST, "10-10 00:00", A, OLD), ("10-20 00:00", LAST, A, OLD)],
            id="a gap between plans",
        ),
    ],
)  # fmt: skip
def test_a_month_is_cut_where_plan_or_prices_change(
    versions: list[str], plans: list[tuple[str, str, str | None]], expected: list[tuple[str, str, str, str | None]]
) -> None:
    """By the partner's own midnights, in time order; what no plan covers is told, to the instant."""
    given_plans = [{"plan": plan, "valid_from": start, "valid_to": end} for plan, start, end in plans]
    assert cut(versions, given_plans) == expected


@pytest.mark.parametrize(
    ("plans", "gaps"),
    [
        pytest.param([], [("2026-10-01", "2026-11-01")], id="the whole month"),
        pytest.param([("2026-10-05", None)], [("2026-10-01", "2026-10-05")], id="the beginning"),
        pytest.param([("2026-01-01", "2026-10-05")], [("2026-10-05", "2026-11-01")], id="the end"),
        pytest.param([("2026-01-01", None)], [], id="nothing"),
        pytest.param(
            [("2026-10-02", "2026-10-05"), ("2026-10-07", "2026-10-31")],
            [("2026-10-01", "2026-10-02"), ("2026-10-05", "2026-10-07"), ("2026-10-31", "2026-11-01")],
            id="before, between and after",
        ),
    ],
)
def test_what_no_plan_covers(plans: list[tuple[str, str | None]], gaps: list[tuple[str, str]]) -> None:
    """Usage there cannot be priced, and must not vanish."""
    parts = document()
    parts["partners"][0]["plans"] = [{"plan": A, "valid_from": start, "valid_to": end} for start, end in plans]
    catalog = book(**parts)
    partner = catalog.partners[0]
    expected = [tuple(partner.instant(date.fromisoformat(day)) for day in gap) for gap in gaps]
    assert [(gap.start, gap.end) for gap in billed(catalog).without_plan] == expected


@pytest.mark.parametrize(
    ("plans", "label"),
    [
        pytest.param([(OLD, "2026-09-16")], "2026-10", id="it ended two weeks before"),
        pytest.param([("2025-01-01", "2025-11-30")], "2026-02", id="it ended in another year"),
        pytest.param([("2026-11-02", None)], "2026-10", id="it begins after the month"),
    ],
)
def test_a_plan_that_does_not_touch_the_month_has_no_part_in_it(
    plans: list[tuple[str, str | None]], label: str
) -> None:
    """An interval that ends before it begins is none: turned round, it would be billed."""
    parts = document()["partners"]
    parts[0]["plans"] = [{"plan": A, "valid_from": start, "valid_to": end} for start, end in plans]
    period = billed(book(partners=parts), label=label)
    assert period.stays == ()
    assert [(gap.start, gap.end) for gap in period.without_plan] == [(period.start, period.end)]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"])
def test_a_period_begins_where_the_last_settled_one_ended(zone: str) -> None:
    """A partner that moves loses no hour and pays none twice; its next month ends at its new midnight."""
    parts = document()["partners"]
    before = month("2026-09", parts[0]["time_zone"]).end
    parts[0]["time_zone"] = zone
    period = billed(book(partners=parts), before)
    assert period.start == before
    assert period.end == month("2026-10", zone).end
    assert missing_month("2026-10", zone, before) is None
    assert billing_period(book(partners=parts), book(partners=parts).partners[0], "2026-10", period.end) is None


@given(st.sampled_from(ZONES), st.sampled_from(ZONES), st.integers(0, 1180), st.integers(2, 30))
def test_a_month_that_was_left_out_is_named(one: str, other: str, place: int, ahead: int) -> None:
    """Whatever zone the partner had when its last month was settled, and whatever zone it has now."""
    labels = [f"{2000 + m // 12}-{m % 12 + 1:02d}" for m in range(place, place + ahead + 1) if m < 1200]
    until = month(labels[0], one).end
    for label in labels[:2]:
        assert missing_month(label, other, until) is None
    for label in labels[2:]:
        assert missing_month(label, other, until) == labels[1]


def test_the_same_instants_in_another_zone_are_written_with_their_own_offsets() -> None:
    """Two intervals can be equal as times and not as texts; what a close stores is the text."""
    start, end = datetime(2026, 10, 10, 12, tzinfo=UTC), datetime(2026, 10, 20, 12, tzinfo=UTC)
    for zone, offset in (("Europe/Berlin", "+02:00"), ("Africa/Lagos", "+01:00")):
        written = interval(start, end, zone).as_json()
        assert {text[-6:] for text in (written["start"], written["end"])} == {offset}


@pytest.mark.parametrize("now", ["Pacific/Pago_Pago", "Europe/Berlin", "Pacific/Kiritimati"])
@pytest.mark.parametrize("then", ["Pacific/Pago_Pago", "Pacific/Kiritimati"])
def test_a_period_that_is_billed_again_keeps_its_month_wherever_the_partner_has_moved(then: str, now: str) -> None:
    """Its terms are those of its month, although it ends a day later in the east, or earlier in the west."""
    catalog = book()
    partner = catalog.partners[0].model_copy(update={"time_zone": now})
    for label in ("2026-10", "2027-02"):
        assert period_between(catalog, partner, *month(label, then)).label == label
