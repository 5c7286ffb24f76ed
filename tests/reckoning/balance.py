"""Months issued one after another, and whether every event ended in exactly one place."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from tests.reckoning.agreed import Document
from tests.reckoning.own import beginnings, with_own
from tests.reckoning.reckoning import (
    Event,
    Line,
    Outcome,
    Record,
    Settled,
    counted,
    day_us,
    is_billable,
    midnight_us,
    reckon,
)


class Run(NamedTuple):
    """One issue of a month, with the catalog that held then."""

    label: str
    catalog: Record


def issued(runs: Sequence[Run], events: Sequence[Event]) -> tuple[list[dict[str, Outcome]], list[Settled]]:
    """Issue month after month: the outcomes of each run, and all that is settled in the end."""
    settled: list[Settled] = []
    documents: list[Document] = []
    return [issue(run, events, settled, documents) for run in runs], settled


def issue(run: Run, events: Sequence[Event], settled: list[Settled], documents: list[Document]) -> dict[str, Outcome]:
    """Issue one; what it settles is added to `settled`, and its bills to `documents`."""
    outcome = reckon(run.catalog, run.label, events, settled, documents)
    settled += [one.settled for one in outcome.values() if one.settled]
    documents += [
        Document(name, run.label, sum(line.amount for line in one.bill.lines), one.bill.amounts)
        for name, one in outcome.items()
        if one.bill
    ]
    return outcome


def unbalanced(runs: Sequence[Run], events: Sequence[Event]) -> list[str]:
    """Where usage is billed twice, or is neither billed nor named as unbilled; nothing, if every event is in exactly
    one place.

    A partner's settled periods follow one another without gap or overlap. In a settled period each event that a
    billable meter counted lies in one line of each rate that its meter has at that time, and there is such a rate; the
    quantities of these lines are what was counted. What lies outside all periods is named: before the first, or not
    settled yet (which a blocked month is, too).
    """
    outcomes, settled = issued(runs, events)
    periods: dict[str, list[Settled]] = defaultdict(list)
    for period in settled:
        periods[period.partner].append(period)
    found = [
        f"{partner}: a period ends at {one.end_us}, the next begins at {two.start_us}"
        for partner, spans in periods.items()
        for one, two in pairwise(spans)
        if one.end_us != two.start_us
    ]
    for event in events:
        holding = [period for period in periods[event.partner] if period.start_us <= event.at_us < period.end_us]
        if len(holding) != 1 and not (not holding and named_unbilled(event, periods[event.partner])):
            found.append(f"{event} is in {len(holding)} periods")
    for run, outcome in zip(runs, outcomes, strict=True):
        for one in outcome.values():
            if one.settled:
                found += [
                    f"{run.label}: {problem}" for problem in _misplaced(run.catalog, one.settled, one.lines, events)
                ]
    return found


def named_unbilled(event: Event, periods: Sequence[Settled]) -> str | None:
    """Why an event is in no settled period of its partner; None if it is in one, or falls between two."""
    if not periods or event.at_us >= periods[-1].end_us:
        return "not settled yet"
    return "before the first period" if event.at_us < periods[0].start_us else None


def _misplaced(catalog: Record, period: Settled, lines: Sequence[Line], events: Sequence[Event]) -> Iterable[str]:
    inside = [
        event for event in events if event.partner == period.partner and period.start_us <= event.at_us < period.end_us
    ]
    for meter in catalog["meters"]:
        if not is_billable(meter):
            continue
        mine = [line for line in lines if line.meter == meter["id"]]
        due = 0
        for event in inside:
            amount = counted(meter, event)
            held = rates_at(catalog, period.partner, meter["id"], event.at_us)
            places = sum(line.start_us <= event.at_us < line.end_us for line in mine)
            due += held * amount
            if amount and (places != held or not held):
                yield f"{period.partner}, {meter['id']}: {event} is in {places} lines of {held} rates"
        billed = sum((line.quantity or Fraction(0)) for line in mine)
        if billed != due / Fraction(meter.get("divide_by", "1")):
            yield f"{period.partner}, {meter['id']}: {billed} in lines, {due} counted"


def rates_at(catalog: Record, partner: str, meter: str, at_us: int) -> int:
    """How many rates of a meter hold at an instant: found by the instant alone, without any cutting of periods."""
    owner = next(one for one in catalog["partners"] if one["id"] == partner)
    zone_name = owner["time_zone"]
    held = 0
    for assigned in owner.get("plans", []):
        if (
            day_us(zone_name, assigned["valid_from"], at_us)
            <= at_us
            < day_us(zone_name, assigned.get("valid_to"), at_us + 1)
        ):
            card_id = next(plan["rate_card"] for plan in catalog["plans"] if plan["id"] == assigned["plan"])
            versions = next(card["versions"] for card in catalog["rate_cards"] if card["id"] == card_id)
            begun = [one for one in versions if midnight_us(zone_name, date.fromisoformat(one["valid_from"])) <= at_us]
            passed = [day for day in beginnings(owner, assigned["plan"]) if midnight_us(zone_name, day) <= at_us]
            if begun:
                rates = with_own(owner, assigned["plan"], begun[-1]["rates"], max(passed, default=None))
                held += sum(rate.get("meter") == meter for rate in rates)
    return held
