"""Meters over quantities against the reckoning: random events and prices, counted by the product's SQL."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from billing.periods import billing_period
from billing.rating import bills
from schemas.catalog.records import Catalog
from schemas.tables import ROLLUPS
from schemas.windows import from_us, to_us
from tests.billing import test_measured as product
from tests.billing.catalogs import document
from tests.long import LONG
from tests.reckoning import measured
from tests.reckoning.reckoning import Event, Outcome, Record, Usage, priced

SEEDS = 400 if LONG else 25
START, END = (to_us(datetime(2026, month, day, hour, tzinfo=UTC)) for month, day, hour in ((9, 30, 22), (10, 31, 23)))
OPERANDS: dict[str, Record] = {
    "sum": {"quantity": "tokens", "divide_by": "1000"},
    "count": {},
    "min": {"quantity": "seats"},
    "max": {"quantity": "seats"},
    "latest": {"quantity": "tokens"},
    "unique": {"attribute": "user"},
}


def world(seed: int) -> tuple[Record, list[Event]]:
    """A catalog of acme in Berlin, with a meter of each aggregate, prices that change in October, and its events."""
    dice = Random(seed)
    meters = [{"id": name, "aggregate": name, "unit": "u", **operand} for name, operand in OPERANDS.items()]
    for meter in meters:
        asked: Record = {"types": dice.sample(["prompt", "image"], dice.randint(1, 2))}
        if dice.random() < 0.5:
            asked["attributes"] = {"model": dice.sample(["large", "small", "tiny"], dice.randint(1, 2))}
        meter["filter"] = asked
    days = ["2026-01-01", *sorted({f"2026-10-{dice.randint(2, 31):02}" for _ in range(dice.randint(0, 3))})]
    made = document()
    made["meters"] = meters
    made["rate_cards"][0]["versions"] = [{"valid_from": day, "rates": list(_rates(dice))} for day in days]
    made["plans"] = [{"id": "plan-a", "rate_card": "standard"}, {"id": "plan-b", "rate_card": "standard"}]
    made["partners"] = [made["partners"][0] | {"plans": _stays(dice)}]
    return made, [_event(dice, n) for n in range(dice.randint(0, 40))]


def _rates(dice: Random) -> Any:
    """A rate of each meter in some order, and of some a second one."""
    for name in dice.sample(list(OPERANDS), len(OPERANDS)):
        for n in range(1 if dice.random() < 0.8 else 2):
            price: Record = {"model": "per_unit", "unit_price": str(dice.randint(1, 9) / 4)}
            if dice.random() < 0.3:
                tiers = [{"up_to": "3", "unit_price": "1"}, {"up_to": None, "unit_price": "0.5"}]
                price = {"model": dice.choice(["graduated", "volume"]), "tiers": tiers}
            yield {
                "meter": name,
                "price": price,
                "description": f"{name} {n}",
                "free_units": str(dice.choice([0, 0, 1])),
            }


def _stays(dice: Random) -> list[Record]:
    """One plan; two, one after another; or one that is left and taken up again, with the other one between."""
    cuts = sorted(dice.sample(range(2, 31), dice.randint(0, 2)))
    days = ["2026-01-01", *(f"2026-10-{day:02}" for day in cuts)]
    plans = ["plan-a", dice.choice(["plan-a", "plan-b"]), "plan-a"]
    ends = [*days[1:], None]
    return [
        {"plan": plan, "valid_from": day} | ({} if end is None else {"valid_to": end})
        for plan, day, end in zip(plans, days, ends, strict=False)
    ]


def _event(dice: Random, n: int) -> Event:
    at = dice.choice([dice.randrange(START, END), START, END - 1, to_us(datetime(2026, 10, 15, 22, tzinfo=UTC))])
    number = dice.choice(["0", "0.000000000001", "7", "1000.5", str(dice.randint(1, 5000)), "12345678901234567890.25"])
    quantities = {name: number for name in ("tokens", "seats") if dice.random() < 0.8}
    found = {"model": dice.choice(["large", "small", "tiny"]), "user": dice.choice(["ann", "bob", "Ann"])}
    attributes = {name: value for name, value in found.items() if dice.random() < 0.8}
    kind = dice.choice(["prompt", "prompt", "image", None])
    return Event(
        "acme", at, type=kind, quantities=quantities, attributes=attributes, source=dice.choice("ab"), name=f"{n}"
    )


def of_pages(made: Record, events: list[Event]) -> Outcome:
    return priced(made, made["partners"][0], "2026-10", Usage(made, events), (START, END))


def of_product(made: Record, events: list[Event]) -> tuple[Any, dict[str, list[str]]]:
    """The draft of October, counted by SQL over the events as a lake has them."""
    catalog = Catalog.model_validate(made)
    house = product.Given(
        [
            product.event(
                event.name, from_us(event.at_us), source=event.source, event_type=event.type,
                quantities=event.quantities, attributes=event.attributes,
            )
            for event in events
        ]
    )  # fmt: skip
    house.con.register("rollups", ROLLUPS.schema.empty_table())
    period = billing_period(catalog, catalog.partners[0], "2026-10", None)
    assert period is not None

    class Counted:
        def of_spans(self, spans: Any) -> list[Decimal]:
            return house.usage(catalog, spans)

    drafts, problems = bills.drafts_of(catalog, [period], Counted())
    return (drafts[0] if drafts else None), problems


def differences(seed: int) -> list[str]:
    made, events = world(seed)
    expected, (draft, problems) = of_pages(made, events), of_product(made, events)
    assert not expected.problems
    assert not problems
    wanted = sorted(
        (line.plan, str(line.meter), line.start_us, line.end_us, str(line.quantity), line.amount)
        for line in (expected.bill.lines if expected.bill else ())
    )
    got = sorted(
        (
            x.plan.id,
            str(x.rate.meter),
            to_us(x.start),
            to_us(x.end),
            str(Fraction(x.quantity)),
            int(x.charge.amount * 100),
        )
        for x in (draft.lines if draft else ())
    )
    return [f"{line} only by the pages" for line in wanted if line not in got] + [
        f"{line} only by the product" for line in got if line not in wanted
    ]


@pytest.mark.sampled(keep=25)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_lines_of_measured_meters_are_what_the_page_says(seed: int) -> None:
    found = differences(seed)
    assert not found, "\n".join(found)


def test_a_price_change_on_the_16th_splits_a_sum_and_no_maximum() -> None:
    """By hand: 1,000 tokens before and 3,000 after, at 1 and 2 a thousand; the most seats are 7, at the later 20."""
    made = document()
    made["meters"] = [
        {"id": "sum", "aggregate": "sum", "quantity": "tokens", "unit": "k", "divide_by": "1000"},
        {"id": "max", "aggregate": "max", "quantity": "seats", "unit": "seats"},
    ]
    made["rate_cards"][0]["versions"] = [
        {"valid_from": day, "rates": [_per_unit("sum", tokens), _per_unit("max", seats)]}
        for day, tokens, seats in (("2026-01-01", "1", "10"), ("2026-10-16", "2", "20"))
    ]
    made["plans"], made["partners"] = made["plans"][:1], made["partners"][:1]
    days = ((1, "1000", "7"), (20, "3000", "4"))
    events = [
        Event("acme", to_us(datetime(2026, 10, day, 12, tzinfo=UTC)), quantities={"tokens": tokens, "seats": seats})
        for day, tokens, seats in days
    ]
    bill = of_pages(made, events).bill
    assert bill is not None
    assert [(line.meter, line.quantity, line.amount) for line in bill.lines] == [
        ("sum", 1, 100),
        ("max", 7, 14000),
        ("sum", 3, 600),
    ]


def _per_unit(meter: str, price: str) -> Record:
    return {"meter": meter, "price": {"model": "per_unit", "unit_price": price}}


def test_a_wrong_rule_of_the_reckoning_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: with the first price of a month instead of the last, and with `max` as `min`."""
    stretches, whole = measured.stretches, measured.whole
    monkeypatch.setattr(measured, "stretches", lambda versions, meter: stretches(versions[:1], meter))
    assert any(differences(seed) for seed in range(6))
    monkeypatch.setattr(measured, "stretches", stretches)
    monkeypatch.setattr(
        measured,
        "whole",
        lambda meter, events: whole(meter | {"aggregate": "max"} if "quantity" in meter else meter, events),
    )
    assert any(differences(seed) for seed in range(6))
