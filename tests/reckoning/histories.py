"""Random contracts and what was used under them: months that are issued one after another, from catalogs that change
between.

Everything follows from the seed. A catalog is the data that YAML would be read to, every scalar a text. Quantities are
small and tiers, free units and packages smaller still, so that few requests cross many bounds; many requests lie on the
bounds of months, plans and prices, or one microsecond beside them.
"""

import copy
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from tests.reckoning.agreed import Document, following
from tests.reckoning.balance import Run, issue, rates_at
from tests.reckoning.reckoning import DAY_US, Event, Record, Settled, counted, midnight_us, month_bounds

# Two of them half an hour and a quarter off, one that skipped a day in 2011, one whose summer time is half an hour.
ZONES = (
    "Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe",
    "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Tokyo", "America/Sao_Paulo",
)  # fmt: skip
# Summer time ends and begins, leap days, the turn of a year, Samoa's lost day, and St John's clock that was moved a
# minute after midnight of a 1st.
BEGINS = ("2026-09", "2027-01", "2028-01", "2024-02", "2011-11", "2009-10", "2025-12", "2026-03")
LONG_AGO = "2001-01-01"
METERS: dict[str, Record] = {
    "requests": {"id": "requests", "aggregate": "count", "unit": "requests", "filter": {"exclude_status": ["429", "5xx"]}},
    "data": {"id": "data", "aggregate": "sum", "field": "response_bytes", "unit": "KB", "divide_by": "1000"},
    "writes": {"id": "writes", "aggregate": "count", "unit": "writes", "filter": {"methods": ["POST", "put"], "status": ["2xx", "404"]}},
    "upload": {
        "id": "upload", "aggregate": "sum", "field": "request_bytes", "unit": "KiB", "divide_by": "1024",
        "filter": {"routes": ["orders", "quot*", "/v1/orders/**", "POST /v1/export/{id}"]},
    },
    "time": {"id": "time", "aggregate": "sum", "field": "latency_us", "unit": "s", "divide_by": "1000000"},
    "all": {"id": "all", "aggregate": "count", "unit": "requests", "billable": "false"},
}  # fmt: skip
ROUTES = (
    "orders",
    "quotes",
    "status",
    "/v1/orders",
    "//V1/Orders/7/",
    "/v1/orders/7/items",
    "/v1/export/8",
    "/v1/%65xport/./9?x=1",
    "/v1/ordersx",
)
CURRENCIES = ("EUR", "EUR", "JPY", "KWD", "USD")


class History(NamedTuple):
    """Issues in their order, each with the catalog of its time, and all that was counted, in the order of time."""

    seed: int
    runs: list[Run]
    events: list[Event]


def history(seed: int, *, small: bool = False, contracts: bool = True) -> History:
    """Small: two or three months, two partners at first, at most twelve requests a month, for a lake that is made in
    a second. `contracts`: whether partners may have terms of their own.
    """
    made = _World(Random(seed), small=small, contracts=contracts)
    runs = list(made.runs())
    events = sorted(made.events(runs), key=lambda event: event.at_us)
    return History(seed, list(_remedied(made, runs, events)), events)


def months_from(first: str, count: int) -> list[str]:
    year, month = int(first[:4]), int(first[5:]) - 1
    return [f"{year + (month + n) // 12}-{(month + n) % 12 + 1:02}" for n in range(count)]


class _World:
    """The catalog as it is now, and the dice."""

    def __init__(self, rng: Random, *, small: bool, contracts: bool) -> None:
        self.rng = rng
        self.requests_max = 12 if small else 25
        self.labels = months_from(rng.choice(BEGINS), rng.randint(2, 3 if small else 5))
        self.risky = self.chance(0.12)  # whether usage without a price may occur, which blocks
        names = [*rng.sample(["requests", "data", "writes", "upload", "time"], rng.randint(1, 3)), "all"]
        self.meters = [copy.deepcopy(METERS[name]) for name in names]
        currency = rng.choice(CURRENCIES)
        # Whether partners have contracts. Then there is one currency, that of their terms, and nothing is negative.
        self.contracts = currency if self.chance(0.5) and contracts else None
        self.cards = [
            self._card(f"card-{n}", currency if self.contracts or self.chance(0.8) else rng.choice(CURRENCIES))
            for n in range(rng.randint(1, 3))
        ]
        self.plans = [{"id": f"plan-{n}", "rate_card": rng.choice(self.cards)["id"]} for n in range(rng.randint(1, 4))]
        self.partners = [self._partner(f"p{n}", self.labels[0]) for n in range(rng.randint(1, 2 if small else 3))]
        if self.chance(0.15):
            ours = {"id": "us", "name": "Us", "status": "internal", "time_zone": rng.choice(ZONES), "plans": []}
            self.partners.append(ours | {"credentials": [{"kind": "consumer", "id": "c-us"}]})

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def catalog(self) -> Record:
        entities = [
            {"id": name, "name": name.title(), "invoice_prefix": name[0].upper()} for name in ("north", "south")
        ]
        return copy.deepcopy(
            {
                "legal_entities": entities,
                "meters": self.meters,
                "rate_cards": self.cards,
                "plans": self.plans,
                "partners": self.partners,
            }
        )

    # Months

    def runs(self) -> Iterator[Run]:
        for n, label in enumerate(self.labels):
            if n:
                self._change(label)
            if self.chance(0.04) and n + 1 < len(self.labels):
                yield Run(self.labels[n + 1], self.catalog())  # too early: this month is missing
            yield Run(label, self.catalog())
            if self.chance(0.05):
                yield Run(self.rng.choice(self.labels[: n + 1]), self.catalog())  # again: settled already

    def _change(self, label: str) -> None:
        for partner in (one for one in self.partners if one.get("status") != "internal"):
            self._change_partner(partner, label)
        for card in self.cards:
            self._change_card(card, label)
        if self.chance(0.1) and len(self.partners) < 4:
            self.partners.append(self._partner(f"p{len(self.partners)}", label))

    def _change_partner(self, partner: Record, label: str) -> None:
        if self.chance(0.2):
            partner["time_zone"] = self.rng.choice(ZONES)
        if self.chance(0.12):
            partner["legal_entity"] = self.rng.choice(["north", "south"])
        if self.chance(0.15):
            self._next_plan(partner["plans"], self._day(label))
        if self.chance(0.05):
            partner["status"] = self.rng.choice(["active", "suspended"])

    def _change_card(self, card: Record, label: str) -> None:
        if self.chance(0.25):
            self._next_version(card, self._day(label))
        if self.chance(0.05) and not self.contracts:
            card["currency"] = self.rng.choice(CURRENCIES)
        if self.chance(0.05):
            version = self.rng.choice(card["versions"])
            version["rates"] = self._changed(version["rates"])

    def _day(self, label: str) -> str:
        """A day of the month, its 1st, or a day in one of the next months."""
        label = self.rng.choice([label, label, label, *months_from(label, 3)])
        if self.chance(0.3):
            return f"{label}-01"
        return f"{label}-{self.rng.choice([2, 10, 15, 16, 28, self.rng.randint(1, 28)]):02}"

    # Prices

    def _card(self, name: str, currency: str) -> Record:
        card: Record = {
            "id": name,
            "currency": currency,
            "versions": [{"valid_from": LONG_AGO, "rates": self._rates()}],
        }
        for day in sorted({self._day(self.rng.choice(self.labels)) for _ in range(self.rng.choice([0, 1, 1, 2, 3]))}):
            self._next_version(card, day)
        return card

    def _next_version(self, card: Record, day: str) -> None:
        last = card["versions"][-1]
        if day > last["valid_from"]:
            rates = last["rates"]
            if len(card["versions"]) > 1 and self.chance(0.15):
                rates = card["versions"][-2]["rates"]  # back to what was before
            elif self.chance(0.8):
                rates = self._changed(rates)
            card["versions"].append({"valid_from": day, "rates": copy.deepcopy(rates)})

    def _rates(self) -> list[Record]:
        names = [meter["id"] for meter in self.meters if "billable" not in meter]
        rates = [self._rate(name) for name in names]
        if self.chance(0.2):
            rates.append(self._rate(self.rng.choice(names), "Once more"))
        rates += [self._fee() for _ in range(self.rng.choice([0, 1, 1, 2]))]
        self.rng.shuffle(rates)
        return rates

    def _changed(self, rates: list[Record]) -> list[Record]:
        changed = []
        for rate in copy.deepcopy(rates):
            kind = self.rng.random()
            if kind < 0.35:
                rate["price"] = self._price() if "meter" in rate else self._fee()["price"]
            elif kind < 0.45 and "meter" in rate:
                rate["free_units"] = self._free_units()
            elif kind < 0.47 and "meter" in rate:
                self._term(rate)
            elif kind < 0.48:
                rate["description"] = self.rng.choice(["Text", "Another text"])
            elif kind < 0.53 and (
                self.risky or "meter" not in rate or sum(r.get("meter") == rate["meter"] for r in rates) > 1
            ):
                continue
            changed.append(rate)
        if self.chance(0.12):
            changed.append(self._fee() if self.chance(0.5) else self._rate(self._billed_meter(rates), "A new one"))
        if self.chance(0.15):
            self.rng.shuffle(changed)
        return changed or copy.deepcopy(rates)

    def _billed_meter(self, rates: list[Record]) -> str:
        metered = [rate["meter"] for rate in rates if "meter" in rate]
        return self.rng.choice(metered or ["requests" if self.meters[0]["id"] == "requests" else self.meters[0]["id"]])

    def _rate(self, meter: str, description: str | None = None) -> Record:
        rate: Record = {"meter": meter, "price": self._price()}
        if self.chance(0.4):
            rate["free_units"] = self._free_units()
        if description:
            rate["description"] = description
        if self.chance(0.3):
            self._term(rate)
        return rate

    def _term(self, rate: Record) -> None:
        """One of what a rate may say beside its price."""
        kind = self.rng.choice(["conversion", "discounts", "maximum", "minimum", "both", "prorated", "rounding"])
        if kind == "conversion":
            op, factor, how = self.rng.choice(
                [
                    ("divide", "3", "ceiling"),
                    ("divide", "4", "none"),
                    ("multiply", "1.5", "half_up"),
                    ("divide", "10", "floor"),
                ]
            )
            rate["unit_conversion"] = {"op": op, "factor": factor, "round": how, "places": self.rng.choice(["0", "1"])}
        if kind == "discounts":
            listed = [{"percent": "10"}, {"amount": "2.5"}, {"percent": "33.3"}, {"amount": "0.75"}, {"percent": "100"}]
            rate["discounts"] = self.rng.sample(listed, self.rng.randint(1, 3))
        if kind in {"maximum", "both", "prorated"}:
            rate["maximum"] = self.rng.choice(["12", "20.005", "100"])
        if kind in {"minimum", "both", "prorated"}:
            rate["minimum"] = self.rng.choice(["1", "5.125", "12"])
        if kind == "rounding":
            rate["rounding"] = {"mode": self.rng.choice(["half_even", "ceiling", "floor"])}
        if kind == "prorated":
            rate["prorated"] = "true"
            rate["free_units"] = self._free_units()

    def _fee(self) -> Record:
        description = self.rng.choice(["Platform fee", "Support"])
        return {
            "description": description,
            "price": {
                "model": "flat",
                "amount": self.rng.choice(["490.00", "31", "0.05", "1000.005", "7"]),
                **({"proration": "day"} if self.chance(0.3) else {}),
            },
        }

    def _free_units(self) -> str:
        return self.rng.choice(["0", "1", "2.5", "5", "10", "0.25", "12.125"])

    def _amount(self) -> str:
        amounts = ["1", "0.5", "0.005", "0.0173", "2.345", "10.5", "0.125", "0.333", "3", "0"]
        return self.rng.choice(amounts if self.contracts else [*amounts, "-0.25"])

    def _price(self) -> Record:
        model = self.rng.choice(
            ["per_unit", "graduated", "graduated", "volume", "volume", "package", "package", "flat",
             "percentage", "dynamic", "graduated_percentage"]
        )  # fmt: skip
        if model == "percentage":
            return {
                "model": model,
                "rate_percent": self.rng.choice(["12.5", "150", "0", "0.07"] if self.contracts else ["12.5", "-3"]),
            }
        if model == "dynamic":
            return {"model": model, "multiplier": self.rng.choice(["1", "1.33333", "0", "2.5"])}
        if model == "per_unit":
            return {"model": model, "unit_price": self._amount()}
        if model == "package":
            return {
                "model": model,
                "package_size": self.rng.choice(["2", "5", "10", "2.5"]),
                "package_price": self._amount(),
                **({"package_rounding": "down"} if self.chance(0.2) else {}),
                **({"packages_min": "1"} if self.chance(0.2) else {}),
            }
        if model == "flat":
            return {"model": model, "amount": self.rng.choice(["12", "0.07", "99.995"])}
        bounds = sorted(self.rng.sample([1, 3, 5, 8, 10, 20, 33], self.rng.choice([0, 1, 1, 2])))
        tiers = [self._tier(str(bound) if self.chance(0.8) else f"{bound}.5") for bound in bounds]
        price: Record = {"model": model, "tiers": [*tiers, self._tier(None)]}
        if model == "graduated_percentage":
            price["tiers"] = [
                {"rate_percent": self.rng.choice(["1", "50", "130.5"])}
                | {k: t[k] for k in ("up_to", "flat_fee") if k in t}
                for t in price["tiers"]
            ]
        if self.chance(0.3):
            price["first_tier_flat_at_zero"] = self.rng.choice(["true", "false"])
        return price

    def _tier(self, up_to: str | None) -> Record:
        tier: Record = {"up_to": up_to}
        if self.chance(0.2):
            tier |= {"package_size": self.rng.choice(["2", "3", "5"]), "package_price": self._amount()}
        else:
            tier["unit_price"] = self._amount()
        if self.chance(0.4):
            tier["flat_fee"] = self.rng.choice(["5", "0.005", "3.335", "12"])
        return tier

    # Partners

    def _partner(self, name: str, label: str) -> Record:
        plans = [
            {
                "plan": self.rng.choice(self.plans)["id"],
                "valid_from": self.rng.choice([LONG_AGO, f"{label}-01", self._day(label)]),
            }
        ]
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
            self._next_plan(plans, self._day(self.rng.choice(self.labels)))
        terms = self._terms(self.contracts, label, plans) if self.contracts else {}
        return {
            **terms,
            "id": name,
            "name": name.upper(),
            "legal_entity": self.rng.choice(["north", "north", "south"]),
            "time_zone": self.rng.choice(ZONES),
            "plans": plans,
            "credentials": [{"kind": "consumer", "id": f"c-{name}"}],
        }

    def _terms(self, currency: str, label: str, plans: list[Record]) -> Record:
        """Some of what a contract says, from this month on or later, also as ramps."""
        drawn: Record = {}
        money = {"currency": currency}
        if self.chance(0.5):
            drawn["discounts"] = [self._discount(currency) | self._months(label) for _ in range(self.rng.randint(1, 3))]
        if self.chance(0.4):
            drawn["fees"] = [
                {"id": f"fee-{n}", "amount": self.rng.choice(["31", "10.005", "99.99"]), **money, **self._days(label),
                 **({"due": "advance"} if self.chance(0.4) else {}),
                 **({"proration": "day"} if self.chance(0.5) else {})}
                for n in range(self.rng.randint(1, 2))
            ]  # fmt: skip
        for name, levels in (("minimums", ["5", "60.005"]), ("maximums", ["20.5", "300"])):
            if self.chance(0.3):
                drawn[name] = [one | money for one in self._ramp(label, levels)]
        if self.chance(0.4):
            term = self.rng.choice(["month", "quarter", "quarter", "year"])
            drawn["commitments"] = [
                {"amount": self.rng.choice(["40", "150.5", "900"]), "term": term, "valid_from": f"{label}-01", **money,
                 **({"overage_factor": self.rng.choice(["0.9", "1.25", "0.333"])} if self.chance(0.6) else {}),
                 **({"billed_elsewhere": "12.5"} if self.chance(0.2) else {})}
            ]  # fmt: skip
        if self.chance(0.4):
            drawn["credits"] = [
                {"id": f"credit-{n}", "amount": self.rng.choice(["7", "50.25", "400"]), **money, **self._days(label),
                 "priority": self.rng.choice(["0", "0", "1", "5"])}
                for n in range(self.rng.randint(1, 3))
            ]  # fmt: skip
        if self.chance(0.5):
            drawn["prices"] = list(self._own_prices(currency, label, plans))
        return drawn

    def _own_prices(self, currency: str, label: str, plans: list[Record]) -> Iterator[Record]:
        """Prices of the partner's own for a meter or a fee, one after another or with a gap, of one plan or of all."""
        metered = [meter["id"] for meter in self.meters if "billable" not in meter]
        of = {"plan": self.rng.choice(plans)["plan"]} if self.chance(0.3) else {}
        for name in self.rng.sample([*metered, None], self.rng.randint(1, 2)):
            held = self._days(label)
            yield {**held, **of, "currency": currency, "rates": self._own_rates(name)}
            if "valid_to" in held and self.chance(0.7):
                later = date.fromisoformat(held["valid_to"]) + timedelta(days=self.rng.choice([0, 0, 4]))
                yield {"valid_from": later.isoformat(), **of, "currency": currency, "rates": self._own_rates(name)}

    def _own_rates(self, meter: str | None) -> list[Record]:
        if meter is None:
            return [self._fee()]
        return [self._rate(meter), *([self._rate(meter, "Own once more")] if self.chance(0.2) else [])]

    def _discount(self, currency: str) -> Record:
        meters = [meter["id"] for meter in self.meters if "billable" not in meter]
        of = {"meter": self.rng.choice(meters)} if self.chance(0.4) else {}
        if self.chance(0.6):
            return {"percent": self.rng.choice(["10", "33.3", "0.5", "100"]), **of}
        return {"amount": self.rng.choice(["2.5", "0.75", "40"]), "currency": currency, **of}

    def _months(self, label: str) -> Record:
        begin = self.rng.choice([label, following(label)])
        ended = {"valid_to": f"{following(following(begin))}-01"} if self.chance(0.3) else {}
        return {"valid_from": f"{begin}-01", **ended}

    def _days(self, label: str) -> Record:
        begin = self._day(label)
        months = self.rng.randint(1, 3)
        end = (date.fromisoformat(begin) + timedelta(days=30 * months + self.rng.randint(-9, 9))).isoformat()
        return {"valid_from": begin, **({"valid_to": end} if self.chance(0.4) else {})}

    def _ramp(self, label: str, levels: list[str]) -> list[Record]:
        prorated = {"prorated": "true"} if self.chance(0.4) else {}
        first = {"amount": self.rng.choice(levels), "valid_from": f"{label}-01", **prorated}
        if self.chance(0.6):
            return [first]
        then = f"{following(label)}-01"
        return [first | {"valid_to": then}, {"amount": self.rng.choice(levels), "valid_from": then, **prorated}]

    def _next_plan(self, plans: list[Record], day: str) -> None:
        """The plan of then ends on that day, or stays away for a while, and another may begin; nothing if the day is
        before the last change.
        """
        last = plans[-1]
        if day <= last.get("valid_to", last["valid_from"]):
            return
        last.setdefault("valid_to", day)
        if self.chance(0.85):
            later = date.fromisoformat(day) + timedelta(days=self.rng.choice([0, 0, 0, 0, 3, 20, 45]))
            plans.append({"plan": self._akin(last["plan"]), "valid_from": max(later.isoformat(), last["valid_to"])})

    def _akin(self, plan: str) -> str:
        """A plan, mostly in the currency of the one before: an invoice has one currency."""
        currencies = {card["id"]: card["currency"] for card in self.cards}
        of = {one["id"]: currencies[one["rate_card"]] for one in self.plans}
        same = [name for name, currency in of.items() if currency == of[plan]]
        return self.rng.choice(same if self.chance(0.93) else list(of))

    # Usage

    def events(self, runs: list[Run]) -> Iterator[Event]:
        catalogs = [run.catalog for run in runs]
        for partner in catalogs[-1]["partners"]:
            name = partner["id"]
            known = [run for run in runs if any(one["id"] == name for one in run.catalog["partners"])]
            bounds = sorted(set(_bounds(name, known, self.labels)))
            for label in self.labels[self.labels.index(known[0].label) if known[0].label in self.labels else 0 :]:
                if self.chance(0.25):
                    continue
                low, high = month_bounds(partner["time_zone"], label)
                near = [bound for bound in bounds if low - 2 * DAY_US <= bound <= high + 2 * DAY_US]
                for _ in range(self.rng.randint(0, self.requests_max)):
                    at = (
                        self.rng.choice(near) + self.rng.choice([-1, 0, 1])
                        if self.chance(0.4)
                        else self.rng.randrange(low, high)
                    )
                    event = self._event(name, at)
                    if self._is_wanted(event, known):
                        yield from [event] * self.rng.choice([1, 1, 1, 2, 3, 7])

    def _is_wanted(self, event: Event, runs: list[Run]) -> bool:
        """Few requests without a price, and few before the first month that is issued: either blocks."""
        owner = next(one for one in runs[0].catalog["partners"] if one["id"] == event.partner)
        if owner.get("status") == "internal":
            return True
        if event.at_us < month_bounds(owner["time_zone"], runs[0].label)[0] and not self.chance(0.3):
            return False
        return self.risky or _priced(event, runs)

    def _event(self, partner: str, at_us: int) -> Event:
        return Event(
            partner,
            at_us,
            method=self.rng.choice(["GET", "GET", "POST", "post", "PUT", "Get"]),
            route=self.rng.choice(ROUTES),
            status=self.rng.choice([200, 200, 200, 201, 404, 429, 500, 0]),
            request_bytes=self.rng.choice([0, 512, 1024, self.rng.randint(0, 9000)]),
            response_bytes=self.rng.choice([0, 500, 1000, self.rng.randint(0, 9000)]),
            latency_us=self.rng.choice([0, 1_000_000, 1000 * self.rng.randint(0, 4000)]),
        )


def _bounds(partner: str, runs: list[Run], labels: list[str]) -> Iterator[int]:
    """Where something begins or ends for a partner, in each of the zones that it has had."""
    for run in runs:
        owner = next(one for one in run.catalog["partners"] if one["id"] == partner)
        days = {f"{label}-01" for label in [*labels, months_from(labels[-1], 2)[1]]}
        days |= {assigned[key] for assigned in owner["plans"] for key in ("valid_from", "valid_to") if key in assigned}
        days |= {own[key] for own in owner.get("prices", []) for key in ("valid_from", "valid_to") if key in own}
        days |= {version["valid_from"] for card in run.catalog["rate_cards"] for version in card["versions"]}
        for day in days - {LONG_AGO}:
            yield midnight_us(owner["time_zone"], date.fromisoformat(day))


def _priced(event: Event, runs: list[Run]) -> bool:
    """Whether a request has a price in every catalog by which it may be billed."""
    for run in runs:
        owner = next(one for one in run.catalog["partners"] if one["id"] == event.partner)
        low, high = month_bounds(owner["time_zone"], run.label)
        if low - 2 * DAY_US <= event.at_us < high + 2 * DAY_US:
            for meter in run.catalog["meters"]:
                if (
                    "billable" not in meter
                    and counted(meter, event)
                    and not rates_at(run.catalog, event.partner, meter["id"], event.at_us)
                ):
                    return False
    return True


def _remedied(world: _World, runs: list[Run], events: list[Event]) -> Iterator[Run]:
    """The runs; after one that blocks a partner's month, mostly, what is in the way is put right, also in later
    catalogs, and it is issued again.
    """
    remedies: list[str] = []
    settled: list[Settled] = []
    documents: list[Document] = []
    waiting = runs[::-1]
    patience = 3
    while waiting:
        run = waiting.pop()
        fixed = Run(run.label, _fixed(run.catalog, remedies) if remedies else run.catalog)
        yield fixed
        found = [problem for one in issue(fixed, events, settled, documents).values() for problem in one.problems]
        if found and patience and not world.chance(0.15):
            patience -= 1
            missing = [problem.partition(": ")[2] for problem in found if problem.startswith("missing")]
            remedies += [problem.partition(":")[0] for problem in found]
            waiting += [run, *(Run(label, run.catalog) for label in sorted(set(missing), reverse=True))]


def _fixed(catalog: Record, remedies: list[str]) -> Record:
    fixed = copy.deepcopy(catalog)
    for meter in fixed["meters"]:
        if meter["id"] in remedies:
            meter["billable"] = "false"
    if "two currencies" in remedies:
        for card in fixed["rate_cards"]:
            card["currency"] = "USD"
    return fixed
