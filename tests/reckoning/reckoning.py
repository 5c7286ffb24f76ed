"""What the catalog's pages say that partners owe, computed a second time and without the product.

Written from docs/catalog.md and docs/pricing.md, with nothing but the standard library and the package `tzdata`, whose
files are read as data. Every quantity and amount is a fraction; a line is rounded once, half away from zero, to the
currency's minor unit. Instants are integer microseconds since 1970 in UTC; an amount is an integer number of minor
units.

It is slow and plain on purpose. Where the pages leave a question open, the answer here is one of these choices:

1.  A month is asked for by its label. It is *missing before* a partner's month when the partner's last settled period
    ended two days or more before the month's local midnight; it is *settled already* when that period ended later than
    two days before the month's end. Two days, because time zones differ by at most 26 hours: a partner that moved east
    or west keeps its months.
2.  Local midnight is the first of two, and where it does not exist, the instant that the clock was moved (both as of
    PEP 495, fold 0).
3.  A partner that has never settled begins at local midnight of the label's 1st; but if it used something billable
    under a plan in a month before, that month is missing. What it used before without a plan is in no period.
4.  A flat fee is shared by time over the period as it is billed. A plan that covers the whole of a period that a change
    of time zone made longer or shorter costs its fee once.
5.  The count is the month's within one plan: a plan that is assigned again, at once or after a while, counts on where
    it was left, so that nobody gets free units twice by leaving for a day. Another plan counts anew, and so does every
    period.
6.  Rates of neighbouring versions belong together if they are equal: same meter, price and free units, compared as
    numbers; a new text makes no new price. What is left over is paired by meter and order of occurrence. Equal
    neighbours that touch in time are one line, wherever they stand in their versions.
7.  A rate that has no counterpart in the version before is a new one: it counts from where it begins, and its first
    line has nothing subtracted. So does a rate that was absent from a version between. A rate that ends counts until
    there: the volume tier is chosen by what it counted from its begin to its end.
8.  Tiers in packages: the packages begun within the tier. `volume` with packages, and a version in the middle: those
    begun by the end less those begun at the start.
9.  Only the last line of a `volume` rate takes the tier's flat fee. It does even if nothing was used under that
    version.
10. A line appears if its billed quantity is not 0, if it takes a tier's flat fee that is not 0, or if its price is
    `flat`. An amount of 0 for a billed quantity is a line; a bill of such lines is a bill.
11. Usage of a billable meter in a period, where no plan holds or the version has no rate for the meter, blocks the
    partner's month if its sum is not 0. So do plans of two currencies in a month, whatever was used: an invoice has
    one.
12. An internal partner has no bill, and its months are not settled.
13. Lines stand in the order of their start, then of the rate in the version where the line begins.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from importlib import resources
from itertools import accumulate, pairwise
from math import ceil
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.reckoning import measured
from tests.reckoning.agreed import Amount, Document, Month, amounts
from tests.reckoning.own import beginnings, with_own
from tests.reckoning.routes import matches
from tests.reckoning.terms import Before, Portion, adjusted, billed, to_units

Record = dict[str, Any]  # a record of the catalog, as YAML is read: every scalar is a text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
ZONES_APART_US = 2 * DAY_US  # more than the 26 hours between the zones that are farthest apart
PLACES = {"JPY": 0, "KRW": 0, "CLP": 0, "EUR": 2, "USD": 2, "GBP": 2, "KWD": 3, "BHD": 3}  # ISO 4217, those that we use


class Event(NamedTuple):
    """One request that was counted. What was not logged is None."""

    partner: str
    at_us: int
    method: str | None = "GET"
    route: str | None = "orders"
    status: int | None = 200
    request_bytes: int = 0
    response_bytes: int = 0
    latency_us: int = 0
    # What only some events carry (tests/reckoning/measured.py).
    type: str | None = None
    quantities: dict[str, str] = {}  # noqa: RUF012  # never changed
    attributes: dict[str, str] = {}  # noqa: RUF012
    source: str = ""
    name: str = ""


class Settled(NamedTuple):
    """A period of a partner that was issued, also without an invoice; then `number` is None."""

    partner: str
    start_us: int
    end_us: int
    number: str | None = None


class Line(NamedTuple):
    """One rate over `[start_us, end_us)`.

    Quantities in the meter's unit (None for a fee without a meter), the amount in minor units.
    """

    plan: str
    position: int
    meter: str | None
    start_us: int
    end_us: int
    quantity: Fraction | None
    billed: Fraction | None
    amount: int
    shown: bool
    gross: Fraction  # by the price alone
    span: Fraction  # the share of the month of all lines of the rate
    starts: bool  # the first line of its rate
    rate: Record


class Bill(NamedTuple):
    currency: str
    lines: tuple[Line, ...]
    total: int
    amounts: tuple[Amount, ...] = ()  # what the contract adds


class Outcome(NamedTuple):
    """What a month comes to for a partner.

    `settled` is the period that its issue settles; None if the month is blocked (then `problems` says why) or settled
    already. `lines` are those of the bill and those that do not appear, since there is nothing to charge for.
    """

    settled: Settled | None
    bill: Bill | None
    lines: tuple[Line, ...]
    problems: tuple[str, ...]


class Usage:
    """What was counted, by partner, meter and time."""

    def __init__(self, catalog: Record, events: Iterable[Event]) -> None:
        self._meters = {meter["id"]: meter for meter in catalog["meters"]}
        self._events = sorted(events, key=lambda event: event.at_us)
        self._sums: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}

    def of(self, partner: str) -> list[Event]:
        return [event for event in self._events if event.partner == partner]

    def raw(self, partner: str, meter: str, start_us: int, end_us: int) -> Any:
        """In the log's own unit: requests, bytes, microseconds, or that of a quantity."""
        if self.is_whole(meter):
            mine = (event for event in self.of(partner) if start_us <= event.at_us < end_us)
            return measured.whole(self._meters[meter], (e for e in mine if counted(self._meters[meter], e)))
        if (partner, meter) not in self._sums:
            mine = self.of(partner)
            amounts = (counted(self._meters[meter], event) for event in mine)
            self._sums[partner, meter] = [event.at_us for event in mine], [0, *accumulate(amounts)]
        times, sums = self._sums[partner, meter]
        return sums[bisect_left(times, end_us)] - sums[bisect_left(times, start_us)]

    def is_whole(self, meter: str | None) -> bool:
        """Whether the usage of two times does not add up to that of both."""
        return meter is not None and self._meters[meter]["aggregate"] in measured.WHOLE

    def counted(self, partner: str, meter: str, start_us: int, end_us: int) -> Fraction:
        """In the meter's unit."""
        return self.raw(partner, meter, start_us, end_us) / number(self._meters[meter].get("divide_by", "1"))


def reckon(
    catalog: Record,
    label: str,
    events: Iterable[Event],
    settled: Iterable[Settled],
    documents: Sequence[Document] = (),
) -> dict[str, Outcome]:
    """What a month comes to, for every partner of the catalog. `documents` are the bills that were issued."""
    usage = Usage(catalog, events)
    ends: dict[str, int] = {}
    for period in settled:
        ends[period.partner] = max(period.end_us, ends.get(period.partner, period.end_us))
    return {
        partner["id"]: _month(catalog, partner, label, usage, ends.get(partner["id"]), documents)
        for partner in catalog["partners"]
    }


def _month(
    catalog: Record, partner: Record, label: str, usage: Usage, settled_us: int | None, documents: Sequence[Document]
) -> Outcome:
    if partner.get("status") == "internal":
        return Outcome(None, None, (), ())
    first, end = month_bounds(partner["time_zone"], label)
    if settled_us is not None and settled_us > end - ZONES_APART_US:
        return Outcome(None, None, (), ())
    missing = (
        _first_unsettled(partner, label, settled_us) if settled_us else _first_used(catalog, partner, label, usage)
    )
    if missing < label:
        return Outcome(None, None, (), (f"missing: {missing}",))
    return priced(catalog, partner, label, usage, (first if settled_us is None else settled_us, end), documents)


def priced(
    catalog: Record,
    partner: Record,
    label: str,
    usage: Usage,
    period: tuple[int, int],
    documents: Sequence[Document] = (),
) -> Outcome:
    """What a period `[start, end)` comes to, whatever was settled before."""
    start, end = period
    stays = _parts(catalog, partner, start, end)
    problems = list(_unpriced(catalog, partner["id"], stays, usage, start, end))
    currencies = {stay.card["currency"] for stay in stays}
    if len(currencies) > 1:
        problems.append(f"two currencies: {sorted(currencies)}")
    if problems:
        return Outcome(None, None, (), tuple(problems))
    lines = tuple(line for stay in _by_plan(stays) for line in _stay_lines(stay, partner, usage, (start, end)))
    shown = sorted((line for line in lines if line.shown), key=lambda line: (line.start_us, line.position))
    currency = currencies.pop() if currencies else _currency_of_terms(partner)
    added: tuple[Amount, ...] = ()
    total = sum(line.amount for line in shown)
    if currency is not None:
        planned = Fraction(sum(stay.end_us - stay.start_us for stay in stays), end - start)
        by_meter: dict[str, int] = {}
        for line in shown:
            if line.meter:
                by_meter[line.meter] = by_meter.get(line.meter, 0) + line.amount
        month = Month(label, PLACES[currency], planned, lambda day: midnight_us(partner["time_zone"], day))
        before = [document for document in documents if document.partner == partner["id"]]
        added = amounts(partner, month, by_meter, total, before, _limited(lines))
    bill = None
    if currency is not None and (shown or added):
        bill = Bill(currency, tuple(shown), total + sum(amount.units for amount in added), added)
    return Outcome(Settled(partner["id"], start, end), bill, lines, ())


def _limited(lines: Sequence[Line]) -> list[tuple[str, list[Portion]]]:
    """The metered rates of which a line has a maximum or a minimum, each with all its lines, by where they begin."""
    rates: list[list[Line]] = []
    for line in lines:
        if line.starts:
            rates.append([])
        rates[-1].append(line)
    return [
        (mine[0].meter, [Portion(line.rate, line.gross, line.span, line is mine[-1]) for line in mine])
        for mine in sorted(rates, key=lambda mine: (mine[0].start_us, mine[0].position))
        if mine[0].meter and any({"maximum", "minimum"} & line.rate.keys() for line in mine)
    ]


def _currency_of_terms(partner: Record) -> str | None:
    """Of a month without a plan, in which a fee may be due or a commitment may end."""
    terms = [*partner.get("fees", []), *partner.get("commitments", [])]
    return str(terms[-1]["currency"]) if terms else None


def _first_unsettled(partner: Record, label: str, settled_us: int) -> str:
    """The month after the last that is settled; `label`, if that is the one before it."""
    while settled_us <= month_bounds(partner["time_zone"], label)[0] - ZONES_APART_US:
        label = month_before(label)
    return label


def _first_used(catalog: Record, partner: Record, label: str, usage: Usage) -> str:
    """The first month in which a partner that never settled used something under a plan; `label`, if it did so in
    none before.
    """
    name = partner["time_zone"]
    end = month_bounds(name, label)[0]
    used = [
        event.at_us
        for event in usage.of(partner["id"])
        if event.at_us < end
        and any(counted(meter, event) for meter in catalog["meters"] if is_billable(meter))
        and any(
            day_us(name, one["valid_from"], 0) <= event.at_us < day_us(name, one.get("valid_to"), end)
            for one in partner.get("plans", [])
        )
    ]
    while used and min(used) < month_bounds(name, label)[0]:
        label = month_before(label)
    return label


def is_billable(meter: Record) -> bool:
    return bool(meter.get("billable", "true") == "true")


@cache
def number(written: str) -> Fraction:
    return Fraction(written)


# Time


@cache
def zone(name: str) -> ZoneInfo:
    """By the package alone, whatever the machine knows."""
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def midnight_us(zone_name: str, day: date) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=zone(zone_name))
    return (local.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def days_of(start_us: int, end_us: int, zone_name: str) -> int:
    """How many local days [start, end) touches."""
    first, last = (
        (EPOCH + timedelta(microseconds=at)).astimezone(zone(zone_name)).date() for at in (start_us, end_us - 1)
    )
    return (last - first).days + 1


def month_before(label: str) -> str:
    year, month = int(label[:4]), int(label[5:])
    return f"{year}-{month - 1:02}" if month > 1 else f"{year - 1}-12"


def month_bounds(zone_name: str, label: str) -> tuple[int, int]:
    year, month = int(label[:4]), int(label[5:])
    return midnight_us(zone_name, date(year, month, 1)), midnight_us(
        zone_name, date(year + month // 12, month % 12 + 1, 1)
    )


def day_us(zone_name: str, written: str | None, absent: int) -> int:
    return absent if written is None else midnight_us(zone_name, date.fromisoformat(written))


# What is counted


def counted(meter: Record, event: Event) -> Any:
    """What an event adds to a meter, in the log's own unit. Of a meter that does not add up: 1 if it is selected."""
    if not _passes(meter.get("filter", {}), event) or not measured.is_selected(meter, event):
        return 0
    if meter["aggregate"] in measured.WHOLE:
        return 1
    if "quantity" in meter:
        return Fraction(event.quantities[meter["quantity"]])
    return 1 if meter["aggregate"] == "count" else int(getattr(event, meter["field"]))


def _passes(wanted: Record, event: Event) -> bool:
    if "methods" in wanted and (event.method or "").upper() not in {method.upper() for method in wanted["methods"]}:
        return False
    if "routes" in wanted and not any(matches(pattern, event.method, event.route) for pattern in wanted["routes"]):
        return False
    if "status" in wanted and not _is_status(wanted["status"], event.status):
        return False
    return not _is_status(wanted.get("exclude_status", []), event.status)


def _is_status(listed: Sequence[str], status: int | None) -> bool:
    text = str(status or 0)
    return any(text == one or (len(text) == 3 and one == f"{text[0]}xx") for one in listed)


# Stays and the versions within


class Version(NamedTuple):
    start_us: int
    end_us: int
    rates: list[Record]


class Stay(NamedTuple):
    """The part of one assignment that lies in the period, cut where prices begin.

    Versions hold no gap from the first on.
    """

    plan: str
    card: Record
    start_us: int
    end_us: int
    versions: list[Version]


def _parts(catalog: Record, partner: Record, start: int, end: int) -> list[Stay]:
    plans = {plan["id"]: plan for plan in catalog["plans"]}
    cards = {card["id"]: card for card in catalog["rate_cards"]}
    name = partner["time_zone"]
    stays = []
    for assigned in partner.get("plans", []):
        begins = max(start, day_us(name, assigned["valid_from"], start))
        ends = min(end, day_us(name, assigned.get("valid_to"), end))
        if begins < ends:
            card = cards[plans[assigned["plan"]]["rate_card"]]
            versions = _with_own(partner, assigned["plan"], _versions(card, name, begins, ends))
            stays.append(Stay(assigned["plan"], card, begins, ends, versions))
    return sorted(stays, key=lambda stay: stay.start_us)


def _by_plan(stays: list[Stay]) -> list[Stay]:
    """All stays of a plan as one, with a hole where another plan or none held."""
    return [
        mine[0]._replace(end_us=mine[-1].end_us, versions=[version for stay in mine for version in stay.versions])
        for plan in dict.fromkeys(stay.plan for stay in stays)
        for mine in [[stay for stay in stays if stay.plan == plan]]
    ]


def _versions(card: Record, zone_name: str, start: int, end: int) -> list[Version]:
    begins = [midnight_us(zone_name, date.fromisoformat(version["valid_from"])) for version in card["versions"]]
    spans = zip(card["versions"], begins, [*begins[1:], end], strict=True)
    cut = [Version(max(start, low), min(end, high), version["rates"]) for version, low, high in spans]
    return [version for version in cut if version.start_us < version.end_us]


def _with_own(partner: Record, plan: str, versions: list[Version]) -> list[Version]:
    """The versions, cut where prices of the partner's own begin or end, with those in place of the card's."""
    days = {midnight_us(partner["time_zone"], day): day for day in beginnings(partner, plan)}
    found = []
    for version in versions:
        cuts = sorted(at for at in days if version.start_us < at < version.end_us)
        for low, high in pairwise([version.start_us, *cuts, version.end_us]):
            held = max((day for at, day in days.items() if at <= low), default=None)
            found.append(Version(low, high, with_own(partner, plan, version.rates, held)))
    return found


def _unpriced(catalog: Record, partner: str, stays: list[Stay], usage: Usage, start: int, end: int) -> Iterable[str]:
    """Where a billable meter counted something that no rate covers."""
    for meter in (meter["id"] for meter in catalog["meters"] if is_billable(meter)):
        priced = [
            (version.start_us, version.end_us)
            for stay in stays
            for version in stay.versions
            if any(rate.get("meter") == meter for rate in version.rates)
        ]
        if usage.is_whole(meter):
            gaps = pairwise([start, *(at for bounds in sorted(priced) for at in bounds), end])
            if any(usage.raw(partner, meter, low, high) for n, (low, high) in enumerate(gaps) if n % 2 == 0):
                yield f"{meter}: some have no price"
            continue
        inside = sum(usage.raw(partner, meter, low, high) for low, high in priced)
        whole = usage.raw(partner, meter, start, end)
        if inside != whole:
            yield f"{meter}: {whole - inside} of {whole} have no price"


# Lines


class Piece(NamedTuple):
    """A rate over a stretch in which it stayed the same."""

    start_us: int
    end_us: int
    position: int
    rate: Record


def chains(versions: list[Version]) -> list[list[Piece]]:
    """The rates of a stay, each with its successors in later versions; equal neighbours are one piece."""
    done: list[list[Piece]] = []
    open_: list[list[Piece]] = []
    for version in versions:
        before, open_ = open_, []
        fresh = [Piece(version.start_us, version.end_us, n, rate) for n, rate in enumerate(version.rates)]
        paired = _paired([chain[-1].rate for chain in before], version.rates)
        for piece in fresh:
            if piece.position not in paired:
                open_.append([piece])
                continue
            chain = before[paired[piece.position]]
            last = chain[-1]
            if _same(last.rate) == _same(piece.rate) and last.end_us == piece.start_us:
                chain[-1] = last._replace(end_us=piece.end_us)
            else:
                chain.append(piece)
            open_.append(chain)
        done += [chain for n, chain in enumerate(before) if n not in paired.values()]
    return done + open_


def _paired(old: list[Record], new: list[Record]) -> dict[int, int]:
    """Position in the new version → that in the old one: equal ones first, then by meter and order of occurrence."""
    paired: dict[int, int] = {}
    for key in (_same, _kind):
        for n, rate in enumerate(new):
            free = [o for o, other in enumerate(old) if o not in paired.values() and key(other) == key(rate)]
            if n not in paired and free:
                paired[n] = free[0]
    return paired


def _kind(rate: Record) -> tuple[Any, ...]:
    return ("meter", rate["meter"]) if rate.get("meter") else ("fee", rate.get("description"))


def _same(rate: Record) -> tuple[Any, ...]:
    """Two rates are equal if this is, however their numbers are written. {} stands for a rate of `_wholes`."""
    if not rate:
        return ()
    terms = {
        name: rate[name]
        for name in ("unit_conversion", "discounts", "maximum", "minimum", "prorated", "rounding")
        if name in rate
    }
    return (rate.get("meter"), number(rate.get("free_units", "0")), _price(rate["price"]), repr(terms))


def _price(price: Record) -> tuple[Any, ...]:
    if "tiers" not in price:
        words = {"model", "proration", "package_rounding"}
        return (
            *(price.get(word) for word in sorted(words)),
            *sorted((name, number(value)) for name, value in price.items() if name not in words),
        )
    settings = (price.get("first_tier_flat_at_zero", "true"), price.get("billing_units"))
    return (price["model"], *settings, *map(_tier, price["tiers"]))


class Tier(NamedTuple):
    up_to: Fraction | None
    unit_price: Fraction
    flat_fee: Fraction
    package_size: Fraction | None
    package_price: Fraction


def _tier(tier: Record) -> Tier:
    up_to, size = tier.get("up_to"), tier.get("package_size")
    return Tier(
        up_to if up_to is None else number(up_to),
        number(tier.get("unit_price") or "0") + number(tier.get("rate_percent") or "0") / 100,
        number(tier.get("flat_fee") or "0"),
        size if size is None else number(size),
        number(tier.get("package_price") or "0"),
    )


def _stay_lines(stay: Stay, owner: Record, usage: Usage, period: tuple[int, int]) -> Iterable[Line]:
    places = PLACES[stay.card["currency"]]
    partner, zone_name, period_us = owner["id"], owner["time_zone"], period[1] - period[0]
    parts = [
        version._replace(rates=[{} if usage.is_whole(r.get("meter")) else r for r in version.rates])
        for version in stay.versions
    ]
    divided = [chain for chain in chains(parts) if chain[0].rate]
    for chain in [*divided, *_wholes(stay, usage)]:
        meter = chain[0].rate.get("meter")
        counts = (
            [Fraction(0), *accumulate(usage.counted(partner, meter, p.start_us, p.end_us) for p in chain)]
            if meter
            else []
        )
        span = Fraction(sum(piece.end_us - piece.start_us for piece in chain), period_us)
        earlier = Before()
        for n, piece in enumerate(chain):
            quantity = units = None
            last = n == len(chain) - 1
            counted_units = [billed(piece.rate, count, span) for count in counts]
            if meter:
                quantity = counts[n + 1] - counts[n]
                units = counted_units[n + 1] - counted_units[n]
            if piece.rate["price"]["model"] == "flat":
                exact = fee = number(piece.rate["price"]["amount"]) * (
                    Fraction(days_of(piece.start_us, piece.end_us, zone_name), days_of(*period, zone_name))
                    if piece.rate["price"].get("proration") == "day"
                    else Fraction(piece.end_us - piece.start_us, period_us)
                )
            elif piece.rate["price"]["model"] == "volume":
                exact, fee = _volume(
                    piece.rate["price"], counted_units[n], counted_units[n + 1], counted_units[-1], is_last=last
                )
            else:
                exact, fee = _cumulative(piece.rate["price"], counted_units[n + 1])
                if n:
                    exact, fee = (
                        here - before
                        for here, before in zip(
                            (exact, fee), _cumulative(piece.rate["price"], counted_units[n]), strict=True
                        )
                    )
            gross = exact
            exact, granted, topped_up = adjusted(piece.rate, exact, earlier, span, is_last=last)
            shown = piece.rate["price"]["model"] == "flat" or fee != 0 or units != 0 or topped_up
            amount = to_units(exact * 10**places, piece.rate.get("rounding", {}).get("mode", "half_up"))
            earlier = Before(earlier.billed + Fraction(amount, 10**places), earlier.granted + granted)
            yield Line(
                stay.plan,
                piece.position,
                meter,
                piece.start_us,
                piece.end_us,
                quantity,
                units,
                amount,
                shown,
                gross,
                span,
                not n,
                piece.rate,
            )


def _wholes(stay: Stay, usage: Usage) -> Iterable[list[Piece]]:
    """The rates of meters whose usage does not add up, each over the whole time that it prices."""
    for meter in sorted({rate["meter"] for version in stay.versions for rate in version.rates if rate.get("meter")}):
        if usage.is_whole(meter):
            for start, end, rates in measured.stretches(stay.versions, meter):
                yield from ([Piece(start, end, n, rate)] for n, rate in rates)


def _cumulative(price: Record, billed: Fraction) -> tuple[Fraction, Fraction]:
    """F(billed), and what of it are flat fees; or, of a price that charges packages at least, how many it charges."""
    if price["model"] == "per_unit":
        return billed * number(price["unit_price"]), Fraction(0)
    if price["model"] == "percentage":
        return billed * number(price["rate_percent"]) / 100, Fraction(0)
    if price["model"] == "dynamic":
        return billed * number(price["multiplier"]), Fraction(0)
    if price["model"] == "package":
        sizes = billed / number(price["package_size"])
        begun = sizes.__floor__() if price.get("package_rounding") == "down" else ceil(sizes)
        least = int(price.get("packages_min", "0"))
        count = max(begun, least)
        return count * number(price["package_price"]), Fraction(count if least else 0)
    assert price["model"] in {"graduated", "graduated_percentage"}
    billed, per_unit = _sold(price, billed)
    tiers = [tier._replace(unit_price=tier.unit_price * per_unit) for tier in map(_tier, price["tiers"])]
    if billed == 0:
        fee = _fee_at_zero(price, tiers)
        return fee, fee
    total = fees = below = Fraction(0)
    for tier in tiers:
        if billed > below:
            top = billed if tier.up_to is None else min(billed, tier.up_to)
            total += _usage(tier, top - below) + tier.flat_fee
            fees += tier.flat_fee
            below = top
    return total, fees


def _volume(
    price: Record, start: Fraction, end: Fraction, whole: Fraction, *, is_last: bool
) -> tuple[Fraction, Fraction]:
    (start, per_unit), (end, _), (reached, _) = (_sold(price, count) for count in (start, end, whole))
    tiers = [tier._replace(unit_price=tier.unit_price * per_unit) for tier in map(_tier, price["tiers"])]
    tier = next(tier for tier in tiers if tier.up_to is None or reached <= tier.up_to)
    fee = Fraction(0)
    if is_last:
        fee = tier.flat_fee if reached else _fee_at_zero(price, tiers)
    return _usage(tier, end) - _usage(tier, start) + fee, fee


def _sold(price: Record, quantity: Fraction) -> tuple[Fraction, Fraction]:
    """The quantity rounded up to sets of `billing_units`, and which part of a set one unit is."""
    size = number(price.get("billing_units", "1"))
    return (quantity if size == 1 else ceil(quantity / size) * size), 1 / size


def _usage(tier: Tier, quantity: Fraction) -> Fraction:
    if tier.package_size is None:
        return quantity * tier.unit_price
    return ceil(quantity / tier.package_size) * tier.package_price


def _fee_at_zero(price: Record, tiers: list[Tier]) -> Fraction:
    return tiers[0].flat_fee if price.get("first_tier_flat_at_zero", "true") == "true" else Fraction(0)


def rounded(exact: Fraction) -> int:
    """Half away from zero."""
    whole = int(abs(exact) + Fraction(1, 2))
    return whole if exact >= 0 else -whole
