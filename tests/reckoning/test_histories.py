"""Random histories: every counted event is billed exactly once or named, and the histories are worth their name."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.reckoning import reckoning
from tests.reckoning.balance import Run, issued, named_unbilled, unbalanced
from tests.reckoning.histories import History, history
from tests.reckoning.reckoning import Event, Outcome, Record, Settled, chains, month_bounds

pytestmark = pytest.mark.integration

SEEDS = 200
CHUNK = 20
DAY_US = 86_400_000_000


@pytest.mark.sampled(keep=4)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_event_is_billed_once_or_named(first: int) -> None:
    for seed in range(first, first + CHUNK):
        made = history(seed)
        assert unbalanced(made.runs, made.events) == [], seed


def test_the_same_seed_is_the_same_history() -> None:
    assert history(7) == history(7)
    assert history(7) != history(8)


def _always_at_midnight(month: Any) -> Any:
    """Periods that begin at local midnight, whatever was settled before."""

    def cut(catalog: Record, partner: Record, label: str, usage: Any, settled_us: int | None, documents: Any) -> Any:
        first, end = month_bounds(partner["time_zone"], label)
        is_due = settled_us is not None and settled_us <= end - reckoning.ZONES_APART_US
        return month(catalog, partner, label, usage, first if is_due else settled_us, documents)

    return cut


def _last_line_lost(chains_of: Any) -> Any:
    return lambda versions: [chain[:-1] if len(chain) > 1 else chain for chain in chains_of(versions)]


def _line_twice(chains_of: Any) -> Any:
    return lambda versions: [[*chain, chain[-1]] if len(chain) > 1 else chain for chain in chains_of(versions)]


def _one_microsecond_short(parts: Any) -> Any:
    def cut(catalog: Record, partner: Record, start: int, end: int) -> Any:
        stays = parts(catalog, partner, start, end)
        return [stay._replace(versions=[v._replace(end_us=v.end_us - 1) for v in stay.versions]) for stay in stays]

    return cut


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_month", _always_at_midnight),
        ("chains", _last_line_lost),
        ("chains", _line_twice),
        ("_parts", _one_microsecond_short),
    ],
)
def test_the_law_fails_where_the_reckoning_is_broken(name: str, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = [history(seed) for seed in range(40)]
    monkeypatch.setattr(reckoning, name, broken(getattr(reckoning, name)))
    monkeypatch.setattr(reckoning, "_unpriced", lambda *_: [])
    assert any(unbalanced(made.runs, made.events) for made in histories)


WANTED = {
    *(
        "a plan begins inside",
        "a plan ends inside",
        "a plan returns",
        "a plan in the future",
        "two plans in a month",
        "one plan twice in a month",
    ),
    *(
        "an equal version inside",
        "a version with equal rates inside",
        "a version with other rates inside",
        "three versions in a month",
    ),
    *(
        "another zone",
        "another entity",
        "another currency",
        "a partner comes",
        "a partner left",
        "clocks change",
        "a leap day",
    ),
    *("0 decimals", "2 decimals", "3 decimals", "an empty month", "an empty bill", "a negative line", "a line of 0"),
    *(
        "a tier's flat fee",
        "a tier in packages",
        "nothing at zero",
        "free units",
        "a plan's first instant",
        "its last microsecond",
    ),
    *(
        "per_unit twice",
        "package twice",
        "graduated twice",
        "volume twice",
        "flat twice",
        "percentage twice",
        "dynamic twice",
        "graduated_percentage twice",
        "unit_conversion",
        "discounts",
        "maximum",
        "minimum",
        "prorated",
        "rounding",
        "a fee by day",
        "minimum twice",
        "maximum twice",
        "discounts twice",
        "a plan beyond the local month",
    ),
    *(
        "own prices",
        "own prices begin inside",
        "own prices of one plan",
        "an own rate",
        "an own fee",
        "an own rate twice",
    ),
    *(f"by contract: {kind}" for kind in ("fee", "discount", "maximum", "minimum", "commitment", "credit")),
    *(
        "own traffic",
        "blocked: no price",
        "blocked: missing",
        "settled already",
        "issued after it was blocked",
        "before the first period",
        "not settled yet",
    ),
}


@pytest.mark.slow
def test_histories_hold_what_they_are_for() -> None:
    """A law over histories in which nothing ever changes would hold for any product."""
    seen: Counter[str] = Counter()
    for seed in range(2 * SEEDS):
        seen.update(set(_kinds(history(seed))))
    assert set(seen) == WANTED
    assert {kind: times for kind, times in seen.items() if times < 3} == {}


def _kinds(made: History) -> Iterator[str]:
    outcomes, settled = issued(made.runs, made.events)
    for one, two in pairwise(made.runs):
        yield from _changes(one.catalog, two.catalog)
    blocked = set()
    for run, outcome in zip(made.runs, outcomes, strict=True):
        for partner in run.catalog["partners"]:
            one = outcome[partner["id"]]
            if one.settled:
                yield from _of_period(run, partner, one, made)
                if (run.label, partner["id"]) in blocked:
                    yield "issued after it was blocked"
            elif one.problems:
                blocked.add((run.label, partner["id"]))
                yield "blocked: missing" if "missing" in one.problems[0] else "blocked: no price"
            else:
                yield "own traffic" if partner.get("status") == "internal" else "settled already"
    for event in made.events:
        name = named_unbilled(event, [period for period in settled if period.partner == event.partner])
        if name:
            yield name


def _changes(one: Record, two: Record) -> Iterator[str]:
    before = {partner["id"]: partner for partner in one["partners"]}
    for partner in two["partners"]:
        if partner["id"] not in before:
            yield "a partner comes"
        elif partner["time_zone"] != before[partner["id"]]["time_zone"]:
            yield "another zone"
        elif partner.get("legal_entity") != before[partner["id"]].get("legal_entity"):
            yield "another entity"
    if any(a["currency"] != b["currency"] for a, b in zip(one["rate_cards"], two["rate_cards"], strict=True)):
        yield "another currency"


def _of_period(run: Run, partner: Record, one: Outcome, made: History) -> Iterator[str]:
    assert one.settled
    start, end = one.settled.start_us, one.settled.end_us
    if (end - start) % DAY_US in {DAY_US // 24, DAY_US // 48, DAY_US - DAY_US // 24, DAY_US - DAY_US // 48}:
        yield "clocks change"
    if run.label in {"2024-02", "2028-02"}:
        yield "a leap day"
    if one.bill:
        yield f"{reckoning.PLACES[one.bill.currency]} decimals"
        yield from (f"by contract: {amount.kind}" for amount in one.bill.amounts)
        yield from (kind for kind, found in _of_lines(one) if found)
    else:
        yield "an empty bill"
    if not any(event.partner == partner["id"] and start <= event.at_us < end for event in made.events):
        yield "an empty month"
    yield from _of_stays(run, partner, one.settled, [event for event in made.events if event.partner == partner["id"]])


def _of_stays(run: Run, partner: Record, period: Settled, events: list[Event]) -> Iterator[str]:
    start, end = period.start_us, period.end_us
    stays = reckoning._parts(run.catalog, partner, start, end)
    if len(stays) > 1:
        yield "one plan twice in a month" if stays[0].plan == stays[1].plan else "two plans in a month"
    if stays and start != month_bounds(partner["time_zone"], run.label)[0] and stays[0].start_us == start:
        yield "a plan beyond the local month"
    if not stays and partner["plans"][-1].get("valid_to", "9") <= run.label:
        yield "a partner left"
    if any(assigned["valid_from"] > f"{run.label}-31" for assigned in partner["plans"]):
        yield "a plan in the future"
    for prices in partner.get("prices", []):
        yield from _of_own(prices, stays, partner["time_zone"])
    names = [assigned["plan"] for assigned in partner["plans"]]
    if any(name in names[: n - 1] and names[n - 1] != name for n, name in enumerate(names) if n):
        yield "a plan returns"
    for stay in stays:
        yield from ["a plan begins inside"] * (stay.start_us > start) + ["a plan ends inside"] * (stay.end_us < end)
        times = {event.at_us for event in events}
        yield from ["a plan's first instant"] * (stay.start_us in times) + ["its last microsecond"] * (
            stay.end_us - 1 in times
        )
        yield from _of_prices(stay)


def _of_own(prices: Record, stays: list[reckoning.Stay], zone: str) -> Iterator[str]:
    """Of prices of the partner's own, as far as a plan of the month has them."""
    begins = reckoning.day_us(zone, prices["valid_from"], 0)
    for stay in stays:
        ends = reckoning.day_us(zone, prices.get("valid_to"), stay.end_us)
        if prices.get("plan", stay.plan) == stay.plan and max(begins, stay.start_us) < min(ends, stay.end_us):
            yield from ["own prices", *["own prices begin inside"] * (begins > stay.start_us)]
            yield from ["own prices of one plan"] * ("plan" in prices)
            yield from ["an own fee" if "meter" not in rate else "an own rate" for rate in prices["rates"]][:1]
            yield from ["an own rate twice"] * (len(prices["rates"]) > 1)


def _of_lines(one: Outcome) -> Iterator[tuple[str, bool]]:
    assert one.bill
    for line in one.bill.lines:
        yield "a negative line", line.amount < 0
        yield "a line of 0", line.amount == 0


def _of_terms(chain: list[reckoning.Piece]) -> Iterator[str]:
    for term in ("unit_conversion", "discounts", "maximum", "minimum", "prorated", "rounding"):
        times = sum(term in piece.rate for piece in chain)
        if times:
            yield term
        if times > 1 and term in {"discounts", "maximum", "minimum"}:
            yield f"{term} twice"


def _of_prices(stay: reckoning.Stay) -> Iterator[str]:
    if len(stay.versions) > 2:
        yield "three versions in a month"
    for one, two in pairwise(stay.versions):
        equal = sum(reckoning._same(a) == reckoning._same(b) for a, b in zip(one.rates, two.rates, strict=False))
        if equal == len(one.rates) == len(two.rates):
            yield "an equal version inside"
        elif equal:
            yield "a version with equal rates inside"
        else:
            yield "a version with other rates inside"
    for chain in chains(stay.versions):
        price = chain[-1].rate["price"]
        if len(chain) > 1:
            yield f"{price['model']} twice"
        yield from [*_of_terms(chain), *["a fee by day"] * (len(chain) > 1 and price.get("proration") == "day")]
        if "free_units" in chain[0].rate:
            yield "free units"
        if price.get("first_tier_flat_at_zero") == "false":
            yield "nothing at zero"
        for tier in price.get("tiers", []):
            yield from ["a tier's flat fee"] * ("flat_fee" in tier) + ["a tier in packages"] * ("package_size" in tier)
