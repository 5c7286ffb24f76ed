"""Partners with equal contracts share their periods and lines. Each bill is what it would be alone."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.periods import BillingPeriod, billing_period
from billing.rating.drafts import draft
from billing.rating.outlines import MonthPeriods, outline, outlines
from billing.usage.quota_statement import held_quotas
from schemas.grants import Grants, QuotaGrant
from tests.billing.catalogs import book

PLAN = {"plan": "plan-a", "valid_from": "2026-01-01"}
LATER = {"plan": "plan-a", "valid_from": "2026-10-12"}
OWN = {"valid_from": "2026-01-01", "currency": "EUR", "rates": [{"meter": "egress", "price": {"model": "per_unit", "unit_price": "0.10"}}]}  # fmt: skip
PAYER = {"name": "P", "legal_entity": "north", "time_zone": "Europe/Berlin", "plans": [PLAN]}
CONTRACTS: dict[str, dict[str, Any]] = {
    "one": {},
    "same": {},
    # October ends at the same instant as in Berlin. If it begins at one as well, that has another offset.
    "lagos": {"time_zone": "Africa/Lagos", "plans": [PLAN]},
    "paris": {"time_zone": "Europe/Paris"},
    "later": {"plans": [LATER]},
    "later too": {"plans": [LATER]},
    "own": {"prices": [OWN]},
    "own too": {"prices": [{**OWN, "rates": [{"meter": "egress", "price": {"model": "per_unit", "unit_price": "0.1"}}]}]},
    "days": {"appendices": ["days"]},
    "granted": {},
    "before the card": {"plans": [{"plan": "plan-a", "valid_from": "2025-12-01"}]},
    "before it too": {"plans": [{"plan": "plan-a", "valid_from": "2025-12-01"}]},
}  # fmt: skip
CATALOG = book(partners=[{**PAYER, "id": name.replace(" ", "-"), **terms} for name, terms in CONTRACTS.items()])
GRANTED = QuotaGrant(
    "g1", "granted", "requests", "MONTH", Decimal(5), datetime(2026, 10, 2, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), "asked", "me",
    datetime(2026, 10, 1, tzinfo=UTC),
)  # fmt: skip
GRANTS = Grants((GRANTED,))
MONTHS = [
    ("2026-10", None),
    ("2026-10", datetime(2026, 9, 30, 23, tzinfo=UTC)),
    ("2026-11", datetime(2026, 10, 31, 22, tzinfo=UTC)),
    ("2025-12", None),
]


def periods(label: str, settled_until: datetime | None = None) -> list[BillingPeriod]:
    """The periods of all partners, each made alone."""
    found = [(p, billing_period(CATALOG, p, label, settled_until)) for p in CATALOG.partners]
    return [
        period._replace(quotas=held_quotas(CATALOG, p, period, GRANTS)) for p, period in found if period is not None
    ]


def test_shared_periods_are_those_of_each_partner_alone() -> None:
    """With the same offsets, quotas, grants and days, whoever came first."""
    for label, settled_until in MONTHS:
        for partners in (CATALOG.partners, CATALOG.partners[::-1]):
            months = MonthPeriods(CATALOG, label, GRANTS)
            made = {p.id: months.of(p, settled_until) for p in partners}
            shared = [made[p.id] for p in CATALOG.partners]
            assert repr([period for period in shared if period]) == repr(periods(label, settled_until))


def test_partners_with_equal_contracts_share_their_lines() -> None:
    """A catalog of ten thousand partners has few kinds of contract. Prices of their own may be written differently."""
    months = MonthPeriods(CATALOG, "2026-10", GRANTS)
    made = [period for p in CATALOG.partners if (period := months.of(p, None))]
    lines = {outline.partner.id: outline.lines for outline in outlines(CATALOG, made)}
    assert lines["same"] is lines["one"]
    assert lines["later-too"] is lines["later"]
    assert len({id(found) for found in lines.values()}) == 6


def test_shared_outlines_are_those_of_each_partner_alone() -> None:
    """Lines, missing rates, intervals without a plan, and problems that name the partner."""
    for label, settled_until in MONTHS:
        made = periods(label, settled_until)
        alone = [outline(CATALOG, CATALOG.known_partner(period.partner_id), period) for period in made]
        assert repr(outlines(CATALOG, made)) == repr(alone)
    assert [(found.partner.id, found.partner.id in found.problems[0]) for found in alone if found.problems] == [
        ("before-the-card", True),
        ("before-it-too", True),
    ]


def test_a_fee_that_is_priced_once_is_what_each_draft_would_price() -> None:
    """Also for a part of the month."""
    for found in outlines(CATALOG, periods("2026-10")):
        unpriced = found._replace(lines=tuple(line._replace(fee=None) for line in found.lines))
        usage = [Decimal(50)] * len(found.spans())
        assert repr(draft(CATALOG, found, usage)) == repr(draft(CATALOG, unpriced, usage))
        assert [line.fee is not None for line in found.lines] == [line.rate.meter is None for line in found.lines]
