"""Meters over quantities, from docs/quantities.md: which events count, and what each aggregate makes of them.

Nothing of the product is used. Where the page leaves a question open:

1.  An event is selected if it passes the whole filter and has the quantity or attribute that is asked for.
2.  `min`, `max`, `latest` and `unique` have one line for each stay under a plan, or for each stretch of it in which the
    meter has a rate. All rates of the last version of the stretch price it.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Protocol

Record = dict[str, Any]

WHOLE = ("min", "max", "latest", "unique")


class Carrier(Protocol):
    """What an event carries beside its request, and what orders it."""

    @property
    def at_us(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str | None: ...
    @property
    def quantities(self) -> dict[str, str]: ...
    @property
    def attributes(self) -> dict[str, str]: ...


def is_selected(meter: Record, event: Carrier) -> bool:
    """By type and attributes, and by having what the meter asks for."""
    wanted = meter.get("filter", {})
    if "types" in wanted and event.type not in wanted["types"]:
        return False
    if any(event.attributes.get(name) not in values for name, values in wanted.get("attributes", {}).items()):
        return False
    if "quantity" in meter:
        return meter["quantity"] in event.quantities
    return "attribute" not in meter or meter["attribute"] in event.attributes


def whole(meter: Record, events: Iterable[Carrier]) -> Fraction:
    """The value of a meter that does not add up. `events` are those that it selects; 0 if there are none."""
    mine = list(events)
    if meter["aggregate"] == "unique":
        return Fraction(len({event.attributes[meter["attribute"]] for event in mine}))
    if not mine:
        return Fraction(0)
    numbers = [Fraction(event.quantities[meter["quantity"]]) for event in mine]
    if meter["aggregate"] == "latest":
        newest = max(mine, key=lambda event: (event.at_us, event.source.encode(), event.name.encode()))
        return Fraction(newest.quantities[meter["quantity"]])
    return min(numbers) if meter["aggregate"] == "min" else max(numbers)


def stretches(versions: Sequence[Any], meter: str) -> list[tuple[int, int, list[tuple[int, Record]]]]:
    """The times for which a whole meter is priced at once: start, end, and the rates of the last version, numbered.

    `versions` have start_us, end_us and rates.
    """
    found: list[tuple[int, int, list[tuple[int, Record]]]] = []
    for version in versions:
        mine = [(n, rate) for n, rate in enumerate(version.rates) if rate.get("meter") == meter]
        if not mine:
            continue
        start = version.start_us
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, version.end_us, mine))
    return found
