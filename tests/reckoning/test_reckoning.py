"""The reckoning itself, on months worked out by hand."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.reckoning.balance import Run, issued, unbalanced
from tests.reckoning.reckoning import EPOCH, Event, Outcome, Settled, midnight_us, month_bounds, reckon, rounded
from tests.reckoning.routes import matches

HOUR_US = 3_600_000_000
PER_UNIT = {"model": "per_unit", "unit_price": "0.10"}
GRADUATED = {
    "model": "graduated",
    "tiers": [
        {"up_to": "10", "unit_price": "1", "flat_fee": "5"},
        {"up_to": None, "unit_price": "0.5", "flat_fee": "3"},
    ],
}
VOLUME = {
    "model": "volume",
    "tiers": [
        {"up_to": "10", "unit_price": "1", "flat_fee": "5"},
        {"up_to": None, "unit_price": "0.5", "flat_fee": "3"},
    ],
}
PACKAGE = {"model": "package", "package_size": "10", "package_price": "2"}


def requests(price: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"meter": "requests", "price": price, **more}


def fee(amount: str, description: str = "Fee") -> dict[str, Any]:
    return {"description": description, "price": {"model": "flat", "amount": amount}}


def book(
    *versions: tuple[str, list[dict[str, Any]]], currency: str = "EUR", zone: str = "Etc/UTC", **parts: Any
) -> dict[str, Any]:
    """A catalog of one partner; its prices are the versions, from which day each."""
    return {
        "legal_entities": [{"id": "seller", "name": "Seller", "invoice_prefix": "S"}],
        "meters": [
            {"id": "requests", "aggregate": "count", "unit": "requests", "filter": {"exclude_status": ["429", "5xx"]}}
        ],
        "rate_cards": [
            {
                "id": "card",
                "currency": currency,
                "versions": [{"valid_from": day, "rates": rates} for day, rates in versions],
            }
        ],
        "plans": [{"id": "plan", "rate_card": "card"}],
        "partners": [
            {
                "id": "acme",
                "name": "Acme",
                "legal_entity": "seller",
                "time_zone": zone,
                "plans": [{"plan": "plan", "valid_from": "2026-01-01"}],
            }
        ],
        **parts,
    }


def used(count: int, at: str, partner: str = "acme", **changes: Any) -> list[Event]:
    return [Event(partner, us(at), **changes)] * count


def us(at: str) -> int:
    moment = datetime.fromisoformat(at)
    assert moment.utcoffset() is not None
    return (moment - EPOCH) // timedelta(microseconds=1)


def october(
    catalog: dict[str, Any], events: list[Event], settled: list[Settled] | None = None, label: str = "2026-10"
) -> Outcome:
    return reckon(catalog, label, events, settled or [])["acme"]


def amounts(outcome: Outcome) -> list[int]:
    assert not outcome.problems
    return [line.amount for line in outcome.bill.lines] if outcome.bill else []


@pytest.mark.parametrize(
    ("price", "free", "count", "expected"),
    [
        pytest.param(PER_UNIT, "0", 7, [70], id="per unit"),
        pytest.param(PER_UNIT, "2.5", 7, [45], id="free units come off first"),
        pytest.param(PER_UNIT, "7", 7, [], id="all of it free: no line"),
        pytest.param({**PER_UNIT, "unit_price": "0"}, "0", 7, [0], id="a price of 0 is a line"),
        pytest.param({**PER_UNIT, "unit_price": "0.005"}, "0", 1, [1], id="half away from zero"),
        pytest.param({**PER_UNIT, "unit_price": "-0.005"}, "0", 1, [-1], id="half away from zero, a rebate"),
        pytest.param(PACKAGE, "0", 20, [400], id="two packages"),
        pytest.param(PACKAGE, "0", 21, [600], id="a third is begun"),
        pytest.param(PACKAGE, "1", 21, [400], id="free units before packages"),
        pytest.param(PACKAGE, "0", 0, [], id="no usage, no package"),
        pytest.param(GRADUATED, "0", 0, [500], id="first tier's flat fee at zero"),
        pytest.param(
            {**GRADUATED, "first_tier_flat_at_zero": "false"}, "0", 0, [], id="not at zero, if the price sets it"
        ),
        pytest.param({**GRADUATED, "first_tier_flat_at_zero": "false"}, "0", 1, [600], id="but at one"),
        pytest.param(GRADUATED, "0", 10, [1500], id="the bound is inclusive"),
        pytest.param(GRADUATED, "0", 11, [500 + 1000 + 300 + 50], id="both tiers reached, both fees"),
        pytest.param(VOLUME, "0", 0, [500], id="volume: first tier's fee at zero"),
        pytest.param(VOLUME, "0", 10, [1500], id="volume: first tier"),
        pytest.param(VOLUME, "0", 11, [550 + 300], id="volume: all in the second, one fee"),
        pytest.param(VOLUME, "1", 11, [1500], id="volume: the tier of what is billed"),
    ],
)
def test_a_month_of_one_rate(price: dict[str, Any], free: str, count: int, expected: list[int]) -> None:
    catalog = book(("2026-01-01", [requests(price, free_units=free)]))
    assert amounts(october(catalog, used(count, "2026-10-05T00:00Z"))) == expected


def test_tiers_in_packages() -> None:
    tiers = [
        {"up_to": "10", "package_size": "4", "package_price": "1"},
        {"up_to": None, "package_size": "5", "package_price": "2"},
    ]
    events = used(17, "2026-10-05T00:00Z")
    assert amounts(october(book(("2026-01-01", [requests({"model": "graduated", "tiers": tiers})])), events)) == [
        300 + 400
    ]
    assert amounts(october(book(("2026-01-01", [requests({"model": "volume", "tiers": tiers})])), events)) == [800]


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 4), ("EUR", 350), ("KWD", 3500)])
def test_minor_units(currency: str, amount: int) -> None:
    catalog = book(("2026-01-01", [requests({**PER_UNIT, "unit_price": "0.5"})]), currency=currency)
    assert amounts(october(catalog, used(7, "2026-10-05T00:00Z"))) == [amount]


def test_rounding_is_away_from_zero() -> None:
    assert [rounded(Fraction(n, 2)) for n in (-3, -1, 0, 1, 3, 4)] == [-2, -1, 0, 1, 2, 2]


def test_a_plan_changed_on_the_16th_is_not_billed_in_later_months() -> None:
    catalog = book(
        ("2026-01-01", [fee("31")]), plans=[{"id": "plan", "rate_card": "card"}, {"id": "next", "rate_card": "card"}]
    )
    catalog["partners"][0]["plans"] = [
        {"plan": "plan", "valid_from": "2026-01-01", "valid_to": "2026-10-16"},
        {"plan": "next", "valid_from": "2026-10-16"},
    ]
    assert amounts(october(catalog, [])) == [1500, 1600]
    settled = [Settled("acme", us("2026-10-01T00:00Z"), us("2026-11-01T00:00Z"), "S-1")]
    november = october(catalog, [], settled, "2026-11")
    assert [(line.plan, line.amount) for line in november.bill.lines] == [("next", 3100)]  # type: ignore[union-attr]


def test_a_partner_that_left_in_november_is_not_billed_in_february() -> None:
    catalog = book(("2026-01-01", [fee("31")]))
    catalog["partners"][0]["plans"] = [{"plan": "plan", "valid_from": "2026-01-01", "valid_to": "2026-11-11"}]
    runs = [Run(label, catalog) for label in ("2026-10", "2026-11", "2026-12", "2027-01", "2027-02")]
    outcomes, settled = issued(runs, [])
    assert [amounts(one["acme"]) for one in outcomes] == [[3100], [1033], [], [], []]
    assert len(settled) == 5


def test_a_future_plan_has_no_part() -> None:
    catalog = book(("2026-01-01", [fee("31")]))
    catalog["partners"][0]["plans"] = [{"plan": "plan", "valid_from": "2026-11-01"}]
    assert october(catalog, []).bill is None


PRICES = {
    "graduated": GRADUATED,
    "volume": VOLUME,
    "package": PACKAGE,
    "per_unit": PER_UNIT,
    "flat": {"model": "flat", "amount": "0.05"},
}


@pytest.mark.parametrize("model", PRICES)
@pytest.mark.parametrize("free", ["0", "3"])
def test_an_equal_version_inside_the_month_changes_nothing(model: str, free: str) -> None:
    rate = requests(PRICES[model], free_units=free)
    written_otherwise = requests(PRICES[model], free_units=free + ".0")
    events = used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z")
    one = october(book(("2026-01-01", [rate])), events)
    assert october(book(("2026-01-01", [rate]), ("2026-10-16", [written_otherwise])), events) == one
    assert len(amounts(one)) == 1


def test_equal_rates_are_one_line_wherever_they_stand() -> None:
    """The second of two rates of a meter stays when the first is dropped."""
    first, second = requests(PER_UNIT), requests(PACKAGE)
    events = used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z")
    outcome = october(book(("2026-01-01", [first, second]), ("2026-10-16", [second])), events)
    assert [(line.billed, line.amount) for line in outcome.lines] == [(7, 70), (15, 400)]


def test_two_versions_with_free_units() -> None:
    """7 and 8 requests. 5 free at 0.10, then 10 free at 0.20: 2 x 0.10, then 5 x 0.20 less 0."""
    catalog = book(
        ("2026-01-01", [requests(PER_UNIT, free_units="5")]),
        ("2026-10-16", [requests({**PER_UNIT, "unit_price": "0.20"}, free_units="10")]),
    )
    events = used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z")
    assert [(line.quantity, line.billed, line.amount) for line in october(catalog, events).lines] == [
        (7, 2, 20),
        (8, 5, 100),
    ]


def test_two_versions_of_tiers() -> None:
    """7 then 8 requests.

    First F(7) = 5 + 7; then dearer tiers from the start, F(15) - F(7) = (6 + 20 + 4 + 5) - (6 + 14).
    """
    dearer = {
        "model": "graduated",
        "tiers": [
            {"up_to": "10", "unit_price": "2", "flat_fee": "6"},
            {"up_to": None, "unit_price": "1", "flat_fee": "4"},
        ],
    }
    catalog = book(("2026-01-01", [requests(GRADUATED)]), ("2026-10-16", [requests(dearer)]))
    events = used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z")
    assert amounts(october(catalog, events)) == [1200, 1500]
    assert amounts(october(catalog, events[7:])) == [
        500,
        1600,
    ]  # F(0) is the first tier's fee, and F(8) - F(0) = 22 - 6
    assert amounts(october(catalog, events[:7])) == [1200]


def test_two_versions_of_packages_begin_no_package_twice() -> None:
    catalog = book(("2026-01-01", [requests(PACKAGE)]), ("2026-10-16", [requests({**PACKAGE, "package_price": "3"})]))
    assert amounts(october(catalog, used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z"))) == [200, 300]
    assert amounts(october(catalog, used(7, "2026-10-05T00:00Z") + used(3, "2026-10-25T00:00Z"))) == [200, 0]


def test_two_versions_of_volume_take_the_month_s_tier_and_its_fee_once() -> None:
    """7 then 8: 15 reach the second tier in both. 7 x 0.5, then 8 x 0.25 + 4."""
    cheaper = {
        "model": "volume",
        "tiers": [
            {"up_to": "12", "unit_price": "1", "flat_fee": "6"},
            {"up_to": None, "unit_price": "0.25", "flat_fee": "4"},
        ],
    }
    catalog = book(("2026-01-01", [requests(VOLUME)]), ("2026-10-16", [requests(cheaper)]))
    events = used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z")
    assert amounts(october(catalog, events)) == [350, 600]
    assert amounts(october(catalog, events[:11])) == [350, 400 + 600], (
        "11 are in tier two of the first version, in tier one of the second"
    )
    assert amounts(october(catalog, events[:7])) == [700, 600], (
        "nothing was used under the second version, which takes the fee"
    )


def test_a_rate_that_is_new_counts_from_where_it_begins() -> None:
    catalog = book(
        ("2026-01-01", [requests(PER_UNIT)]),
        ("2026-10-16", [requests(PER_UNIT), requests(GRADUATED, description="More")]),
    )
    assert amounts(october(catalog, used(7, "2026-10-05T00:00Z") + used(8, "2026-10-25T00:00Z"))) == [150, 500 + 800]


def test_a_fee_is_shared_by_exact_time() -> None:
    """October in Berlin has 745 hours; the 16th at 0:00 is 360 hours in."""
    catalog = book(("2026-01-01", [fee("745")]), ("2026-10-16", [fee("1490")]), zone="Europe/Berlin")
    assert amounts(october(catalog, [])) == [36000, 2 * 38500]


def test_usage_without_a_price_blocks_and_settles_nothing() -> None:
    catalog = book(("2026-01-01", [requests(PER_UNIT)]))
    catalog["partners"][0]["plans"][0]["valid_to"] = "2026-10-16"
    outcome = october(catalog, used(1, "2026-10-16T00:00Z"))
    assert (outcome.bill, outcome.settled) == (None, None)
    assert outcome.problems == ("requests: 1 of 1 have no price",)
    assert october(catalog, used(1, "2026-10-16T00:00Z", status=429)).settled, "which no meter counts"
    assert october(catalog, used(1, "2026-10-15T23:59:59Z")).bill


@pytest.mark.parametrize(
    ("zone", "hours"), [("Europe/Berlin", 8), ("Asia/Tokyo", 0), ("America/New_York", 13), ("Pacific/Apia", -4), ("Asia/Kathmandu", Fraction(13, 4))]
)  # fmt: skip
def test_a_changed_time_zone_leaves_neither_gap_nor_overlap(zone: str, hours: Fraction) -> None:
    rate = [requests(PER_UNIT), fee("31")]
    before, after = book(("2026-01-01", rate), zone="Asia/Tokyo"), book(("2026-01-01", rate), zone=zone)
    edge = month_bounds("Asia/Tokyo", "2026-11")[0]
    assert month_bounds(zone, "2026-11")[0] - edge == hours * HOUR_US
    events = [Event("acme", edge + n * HOUR_US) for n in range(-30, 31)]
    runs = [Run("2026-10", before), Run("2026-11", after), Run("2026-12", after)]
    outcomes, settled = issued(runs, events)
    assert unbalanced(runs, events) == []
    assert [period.start_us for period in settled[1:]] == [period.end_us for period in settled[:-1]]
    assert amounts(outcomes[0]["acme"]) == [300, 3100]
    assert amounts(outcomes[1]["acme"]) == [310, 3100], "a fee of a month, however long the month became"


@pytest.mark.parametrize(
    ("west", "east"), [("Pacific/Pago_Pago", "Pacific/Kiritimati"), ("Pacific/Kiritimati", "Pacific/Pago_Pago")]
)
def test_months_are_issued_in_order_and_once_whatever_the_zone(west: str, east: str) -> None:
    """25 hours between the two zones make no month missing and none new."""
    october_of = Settled("acme", *month_bounds(west, "2026-10"))
    catalog = book(("2026-01-01", [fee("31")]), zone=east)
    assert october(catalog, [], [october_of], "2026-10") == Outcome(None, None, (), ())
    assert october(catalog, [], [october_of], "2026-09") == Outcome(None, None, (), ())
    assert october(catalog, [], [october_of], "2026-11").bill
    assert october(catalog, [], [october_of], "2026-12").problems == ("missing: 2026-11",)


def test_local_midnight_where_there_is_none_or_two() -> None:
    assert midnight_us("America/St_Johns", date(2009, 11, 1)) == us("2009-11-01T02:30Z"), "the first of two"
    assert (
        midnight_us("Pacific/Apia", date(2011, 12, 30))
        == midnight_us("Pacific/Apia", date(2011, 12, 31))
        == us("2011-12-30T10:00Z")
    )


def test_filters() -> None:
    meter = {
        "id": "requests",
        "aggregate": "sum",
        "field": "response_bytes",
        "unit": "KB",
        "divide_by": "1000",
        "filter": {
            "methods": ["GET", "Post"],
            "routes": ["orders"],
            "status": ["2xx", "404", "0"],
            "exclude_status": ["204"],
        },
    }
    catalog = book(("2026-01-01", [requests({**PER_UNIT, "unit_price": "10"})]), meters=[meter])
    passing: list[dict[str, Any]] = [{}, {"method": "post"}, {"status": 404}, {"status": None}, {"status": 0}]
    failing: list[dict[str, Any]] = [
        {"method": "PUT"},
        {"method": None},
        {"route": "order"},
        {"route": None},
        {"status": 204},
        {"status": 500},
    ]
    for expected, cases in ((True, passing), (False, failing)):
        for changes in cases:
            assert (
                bool(amounts(october(catalog, used(1, "2026-10-05T00:00Z", response_bytes=1, **changes)))) == expected
            ), changes


def test_a_partner_that_never_settled_begins_with_the_month_it_is_used_in() -> None:
    catalog = book(("2026-01-01", [requests(PER_UNIT)]))
    events = used(1, "2026-08-31T00:00Z") + used(1, "2026-10-02T00:00Z")
    assert october(catalog, events).problems == ("missing: 2026-08",)
    assert october(catalog, [events[0]._replace(status=429), events[1]]).bill, "which no meter counts"
    catalog["partners"][0]["plans"][0]["valid_from"] = "2026-09-01"
    assert october(catalog, events).bill, "which was under no plan"


def test_two_currencies_block() -> None:
    catalog = book(("2026-01-01", [fee("31")]))
    catalog["rate_cards"].append({**catalog["rate_cards"][0], "id": "yen", "currency": "JPY"})
    catalog["plans"].append({"id": "yen", "rate_card": "yen"})
    catalog["partners"][0]["plans"] = [
        {"plan": "plan", "valid_from": "2026-01-01", "valid_to": "2026-10-16"},
        {"plan": "yen", "valid_from": "2026-10-16"},
    ]
    assert october(catalog, []).problems == ("two currencies: ['EUR', 'JPY']",)
    assert october(catalog, [], label="2026-11").bill.currency == "JPY"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("pattern", "route", "expected"),
    [
        ("/v1/export", "/V1/Export/", True),
        ("/v1/export", "//v1/%65xport?x=1", True),
        ("/v1/export", "/v1/a/../export;v=1", True),
        ("/v1/export", "GET /v1/export", True),
        ("get /v1/export", "/v1/export", True),
        ("POST /v1/export", "/v1/export", False),
        ("POST /v1/export", "POST /v1/export", True),
        ("/v1/export", "/v1/exports", False),
        ("/v1/*/items", "/v1/7/items", True),
        ("/v1/*/items", "/v1/7/8/items", False),
        ("/v1/{id}", "/v1", False),
        ("/v1/{id}", "/v1/7", True),
        ("/v1/**", "/v1", True),
        ("/v1/**", "/v1/a/b", True),
        ("/v1/{rest+}", "/v1/a/b", True),
        ("/v1/**", "/v10", False),
        ("export", "export", True),
        ("export", "Export", False),
        ("REST.*.OBJECT", "REST.GET.OBJECT", True),
        ("export", None, False),
    ],
)
def test_routes(pattern: str, route: str | None, expected: bool) -> None:
    assert matches(pattern, "GET", route) == expected


def test_own_prices_stand_in_place_of_those_of_the_card() -> None:
    catalog = book(("2026-01-01", [fee("200", "Platform fee"), requests(PER_UNIT), fee("31", "Support")]))
    catalog["partners"][0]["prices"] = [
        {"valid_from": "2026-10-16", "valid_to": "2026-10-26", "currency": "EUR", "rates": [requests({**PER_UNIT, "unit_price": "0.07"})]},
        {"valid_from": "2026-10-16", "currency": "EUR", "rates": [fee("62", "Support"), fee("93", "Own")]},
        {"valid_from": "2026-10-01", "currency": "EUR", "plan": "another", "rates": [requests({**PER_UNIT, "unit_price": "9"})]},
    ]  # fmt: skip
    events = used(100, "2026-10-15T23:59:59Z") + used(100, "2026-10-16T00:00Z") + used(100, "2026-10-26T00:00Z")
    outcome = october(catalog, events)
    # 15 of 31 days of support at 31, then 16 of 31 at 62; the fee of its own comes last.
    assert amounts(outcome) == [20000, 1000, 1500, 700, 3200, 4800, 1000]
    assert unbalanced([Run("2026-10", catalog)], events) == []


@pytest.mark.parametrize(
    ("count", "discounts", "expected"),
    [
        (2000, [{"percent": "20"}], []),  # 200 less 40 is above the maximum of 150
        (1600, [{"percent": "20"}], [-2200]),  # 160 less 32 is 128; without it, 150
        (900, [{"percent": "20"}], [-1000]),  # 90 less 18 is below the minimum of 80
        (700, [{"percent": "20"}], []),  # 70, which costs 80 with and without it
        (1600, [{"amount": "15", "currency": "EUR"}, {"percent": "10"}], [-500, -1450]),  # 160, 145, 130.50
    ],
)
def test_a_discount_of_a_meter_comes_before_the_limits_of_a_rate(
    count: int, discounts: list[dict[str, str]], expected: list[int]
) -> None:
    catalog = book(("2026-01-01", [requests(PER_UNIT, maximum="150", minimum="80")]))
    catalog["partners"][0]["discounts"] = [one | {"meter": "requests", "valid_from": "2026-10-01"} for one in discounts]
    outcome = october(catalog, used(count, "2026-10-05T00:00Z"))
    assert outcome.bill
    assert [amount.units for amount in outcome.bill.amounts] == expected


def test_own_traffic_has_no_bill_and_is_not_settled() -> None:
    catalog = book(("2026-01-01", [fee("31")]))
    catalog["partners"][0]["status"] = "internal"
    assert october(catalog, used(1, "2026-10-05T00:00Z")) == Outcome(None, None, (), ())
