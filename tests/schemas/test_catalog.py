"""Catalog records: what a filter lets through, how a credential is known, when a date begins, what the hash covers."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.catalog.checks import problems
from schemas.catalog.credentials import Credential, Grant
from schemas.catalog.meters.meter import Filter, Meter
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.records import Partner, PlanAssignment
from schemas.windows import to_us
from tests.billing.catalogs import book, document

ALL = set(range(600))


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        pytest.param({}, ALL, id="no filter"),
        pytest.param({"status": ["2xx"]}, set(range(200, 300)), id="a class"),
        pytest.param({"status": ["2xx", "404"]}, {*range(200, 300), 404}, id="a class and a status"),
        pytest.param({"exclude_status": ["429", "5xx"]}, ALL - {429, *range(500, 600)}, id="all but some"),
        pytest.param(
            {"status": ["4xx"], "exclude_status": ["429"]}, set(range(400, 500)) - {429}, id="exclusion is last"
        ),
        pytest.param({"status": ["0"]}, {0}, id="requests whose status was not logged"),
    ],
)
def test_a_filter_lets_these_statuses_through(given: dict[str, Any], passes: set[int]) -> None:
    """A status that was not logged counts as 0: it is billed unless the catalog says otherwise."""
    assert set(Filter.model_validate(given).statuses()) == passes


@pytest.mark.parametrize(
    ("given", "key"),
    [
        pytest.param({"kind": "api_key", "id": "k"}, ("api_key", "k"), id="a key"),
        pytest.param({"kind": "oidc", "issuer": "https://i"}, ("oidc", "https://i"), id="an issuer"),
        pytest.param({"kind": "oidc", "issuer": "https://i", "client_id": "c"}, ("oidc", "https://i#c"), id="a client"),
    ],
)
def test_a_credential_is_known_by_this_key(given: dict[str, str], key: tuple[str, str]) -> None:
    """What ingest reads in a log and what the catalog says must be one string."""
    assert Credential.model_validate(given).key == key


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "oidc", "id": "x"},
        {"kind": "oidc", "client_id": "x"},
        {"kind": "api_key", "id": "x", "client_id": "c"},
        {"kind": "api_key", "issuer": "x"},
    ],
)
def test_a_credential_that_nothing_in_a_log_could_match_is_refused(given: dict[str, str]) -> None:
    """Its usage would be somebody's loss."""
    with pytest.raises(ValidationError, match="needs an `i"):
        Credential.model_validate(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_kept_in_one_form(given: str, kept: str) -> None:
    """Two ways to write it are one network: an import of what is there already changes nothing."""
    made = Credential.model_validate({"kind": "api_key", "id": "k", "networks": [given]})
    assert made.networks == (kept,)


def test_a_grant_without_limits_allows_any_resource_from_anywhere() -> None:
    """As a statement of IAM without a condition does."""
    grant = Grant.model_validate({"actions": ["s3:GetObject", "lambda:*", "*"]})
    assert grant.resources == ("*",)
    assert grant.networks is None


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        pytest.param("Europe/Berlin", date(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC), id="summer"),
        pytest.param("Asia/Kathmandu", date(2026, 1, 1), datetime(2025, 12, 31, 18, 15, tzinfo=UTC), id="quarter hour"),
        pytest.param("America/Sao_Paulo", date(2018, 11, 4), datetime(2018, 11, 4, 3, tzinfo=UTC), id="no midnight"),
    ],
)
def test_a_date_begins_at_the_partners_midnight(zone: str, day: date, instant: datetime) -> None:
    """Local dates mean local time, also where the clock skips midnight."""
    partner = Partner(id="p", name="P", legal_entity="l", time_zone=zone)
    assert partner.instant(day) == instant
    assert partner.validity_us(PlanAssignment(plan="x", valid_from=day))[0] == to_us(instant)


def test_a_divisor_of_powers_of_two_and_five_is_exact_and_others_are_refused() -> None:
    """GiB and TB are units, minutes of microseconds are none: they would not end in decimals."""
    made = {"id": "m", "aggregate": "count", "unit": "u"}
    for good in ("1024", "1073741824", "1125899906842624", "1000000000", "0.5"):
        assert Meter.model_validate({**made, "divide_by": good}).divide_by
    for bad in ("60000000", "3", "0.7", str(2**60)):
        with pytest.raises(ValidationError, match="is not exact"):
            Meter.model_validate({**made, "divide_by": bad})


def test_a_rebate_may_be_negative_and_a_bound_may_not() -> None:
    """Prices below nothing are legal, tiers that end before they begin are not."""
    assert Tier.model_validate({"up_to": "5", "unit_price": "-0.1"}).unit_price < 0
    with pytest.raises(ValidationError):
        Tier.model_validate({"up_to": "0", "unit_price": "1"})


def test_the_canonical_text_reads_back_as_the_same_catalog() -> None:
    """A close keeps the catalog as this text, and bills from it years later."""
    catalog = book()
    again = type(catalog).model_validate_json(catalog.canonical_json())
    assert again.canonical_json() == catalog.canonical_json()
    assert again.sha256 == catalog.sha256
    assert problems(again) == []


def test_a_field_with_its_default_is_no_content() -> None:
    """So a field that a later release adds changes no catalog's text; a text that spells all defaults out is read as
    the same.
    """
    parts = document()
    catalog = book(**parts)
    parts["legal_entities"][0] |= {"time_zone": "UTC", "tax_note": "Amounts exclude value added tax."}
    parts["plans"][0]["quotas"][0]["thresholds"] = ["50", "80", "90", "100", "120"]
    assert book(**parts).canonical_json() == catalog.canonical_json()
    assert "time_zone" not in json.loads(catalog.canonical_json())["legal_entities"][0]
    whole = catalog.model_dump_json()  # as catalogs were kept before: with all defaults
    assert "UTC" in whole
    assert type(catalog).model_validate_json(whole) == catalog
    parts["legal_entities"][0]["time_zone"] = "Asia/Tokyo"
    assert book(**parts).sha256 != catalog.sha256


def test_the_order_of_records_is_no_content() -> None:
    """Nor which file held them; the order within a record is."""
    parts = document()
    assert book(partners=parts["partners"][::-1], meters=parts["meters"][::-1]).sha256 == book().sha256
    versions = parts["rate_cards"][0]["versions"][0]
    versions["rates"] = versions["rates"][::-1]
    assert book(rate_cards=parts["rate_cards"]).sha256 != book().sha256


def _given(partners: list[tuple[str, str, int, int]]) -> Any:
    """Partners with one credential each: kind, id, first and last day of 2026 (counted from 0)."""
    day = lambda n: (date(2026, 1, 1) + timedelta(days=n)).isoformat()  # noqa: E731
    base = document()["partners"][0]
    return [
        {
            **base,
            "id": f"p{i}",
            "credentials": [{"kind": kind, "id": name, "valid_from": day(start), "valid_to": day(end)}],
        }
        for i, (kind, name, start, end) in enumerate(partners)
    ]


NAMES = ["k", "arn:aws:iam::1:role/r", "arn:aws:iam::1:role/path/r", "arn:aws:iam::1:role/other/r"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["iam", "api_key"]), st.sampled_from(NAMES), st.integers(0, 9), st.integers(0, 9)),
        max_size=12,
    )
)
def test_a_credential_is_one_partners_at_a_time(partners: list[tuple[str, str, int, int]]) -> None:
    """Every credential that a log shows as an earlier one at the same time is named: as comparing each with each
    would find.
    """
    catalog = book(partners=_given([(k, n, min(a, b), max(a, b) + 1) for k, n, a, b in partners]))
    held = [p.credentials[0] for p in catalog.partners]
    spans = [p.validity_us(c) for p, c in zip(catalog.partners, held, strict=True)]
    expected = [
        n
        for n, c in enumerate(held)
        if any(
            c.kind == held[m].kind and set(c.logged_as) & set(held[m].logged_as)
            and spans[n][0] < spans[m][1] and spans[m][0] < spans[n][1]
            for m in range(n)
        )
    ]  # fmt: skip
    assert [p.where[1] for p in problems(catalog) if "given twice" in p.message] == expected


def test_a_record_is_found_by_its_id_in_every_copy_of_a_catalog() -> None:
    """What was found before belongs to the records it was found among."""
    catalog = book()
    assert catalog.meter("requests").billable
    assert (acme := catalog.partner("acme")) is not None
    assert acme.id == "acme"
    assert catalog.partner("nobody") is None
    with pytest.raises(KeyError):
        catalog.meter("nothing")
    other = catalog.model_copy(
        update={"meters": tuple(m.model_copy(update={"billable": False}) for m in catalog.meters)}
    )
    assert not other.meter("requests").billable
    assert catalog.meter("requests").billable
    assert catalog == book()
    assert catalog.sha256 == book().sha256
