"""The line that a person reads first: every kind has one, with figures, and one without them for older messages."""

from typing import Any

import pytest

from aggregate.alerts.sentences import about
from schemas.alerts import Kind

CASES: list[tuple[Kind, dict[str, Any], str]] = [
    (
        Kind.QUOTA,
        {"threshold_percent": "80", "quota_period": "MONTH", "meter": "requests", "used": "800000.5", "limit": "1000000"},
        "80 % of the monthly quota of requests reached, used 800,000.5 of 1,000,000",
    ),
    (
        Kind.QUOTA,
        {"threshold_percent": "80", "quota_period": "DAY", "meter": "requests", "used": "8", "limit": None},
        "80 % of the daily quota of requests reached",
    ),
    (
        Kind.EXHAUSTION,
        {"quota_period": "WEEK", "meter": "egress", "projected_day": "2026-10-08", "used": "70", "limit": "1000"},
        "the weekly quota of egress will be used up on 2026-10-08, used 70 of 1,000",
    ),
    (
        Kind.EXHAUSTION,
        {"quota_period": "WEEK", "meter": "egress", "projected_day": None, "used": "70", "limit": "1000"},
        "the weekly quota of egress lasts after all",
    ),
    (
        Kind.BUDGET,
        {"threshold_percent": "100", "period": "2026-10", "amount": "512.40", "budget": "500", "currency": "EUR"},
        "100 % of the budget for 2026-10 reached, 512.40 of 500 EUR",
    ),
    (
        Kind.THROTTLE,
        {"peak_per_s": 6000, "rate_per_s": "2.5", "burst": 50, "refused_percent": "75", "requests": 6100},
        "6,000 requests in one second, allowed 2.5/s with a burst of 50; 75 % of 6,100 answered with 429",
    ),
    (Kind.NEIGHBOUR, {"causes": "requests", "effects": "p95"}, "its requests jumped while others were served worse (p95)"),
    (
        Kind.NETWORK,
        {"outside": "NETWORK", "requests": 2, "networks": ["192.0.2.0/24"]},
        "2 requests outside its networks, from 192.0.2.0/24",
    ),
    (
        Kind.NETWORK,
        {"outside": "ACTION", "requests": 2000, "networks": []},
        "2,000 requests against its policy (ACTION), from an unknown network",
    ),
    (Kind.CREDENTIAL, {"requests": 24, "sources": ["a", "b"]}, "an unknown credential has 24 requests at a, b"),
    (
        Kind.CREDENTIAL,
        {"requests": 50_000, "sources": ["edge"], "credentials": 4980},
        "4,980 more unknown credentials with traffic at edge",
    ),
    (Kind.CONFLICT, {"entries": 5}, "5 entries contradict events that were counted"),
    (Kind.SILENCE, {"usual_requests_per_hour": 1200}, "sends nothing, usually 1,200 requests an hour"),
    (
        Kind.JUMP,
        {"requests": 9000, "earlier_least": 900, "earlier_most": 1100, "earlier_weeks": 4},
        "9,000 requests in an hour that had 900 to 1,100 in the 4 weeks before",
    ),
    (Kind.LAG, {"behind_s": 3600, "limit_s": 900}, "the newest entry is 60 minutes old, allowed are 15"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "evidence", "line"), CASES)
def test_a_line_has_the_figures_that_matter(kind: Kind, evidence: dict[str, Any], line: str) -> None:
    """So that nobody has to open the evidence at night."""
    assert about(kind, {}, evidence) == line


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_line_also_without_figures(kind: Kind) -> None:
    """A message of another version may lack any of them."""
    assert kind in {case[0] for case in CASES}
    assert about(kind, {}, {})
