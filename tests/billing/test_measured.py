"""What measured meters count, against the same computed from the documented meaning, event by event."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import measured
from billing.usage.measured import UnlistedValues
from billing.usage.warehouse import Meters, Span
from schemas.catalog.records import Catalog
from schemas.tables import EVENTS, ROLLUPS
from tests.billing.catalogs import document

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
TOKENS = {"id": "m", "aggregate": "sum", "quantity": "tokens", "unit": "tokens", "billable": "false"}


class Given(Meters):
    """Meters over events that a test gives."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.events = pa.Table.from_pylist(list(events), EVENTS.schema)
        calls = {(e.get("method"), e.get("route")) for e in events}
        rows = [{"method": method, "route": route} for method, route in calls]
        self.con.register("rollups", pa.Table.from_pylist(rows, ROLLUPS.schema))

    def define_events(self) -> None:
        self.con.register("events", self.events)


def event(name: str, at: datetime = START, **fields: Any) -> dict[str, Any]:
    """One event of acme. Quantities and attributes are dictionaries here, and JSON in the table."""
    texts = {n: json.dumps(fields.pop(n), sort_keys=True) for n in ("quantities", "attributes") if n in fields}
    day = at.astimezone(UTC).date()
    return {
        "partner_id": "acme",
        "source": "s",
        "event_id": name,
        "occurred_at": at,
        "event_day": day,
        **fields,
        **texts,
    }


def tokens(name: str, number: str, at: datetime = START, **fields: Any) -> dict[str, Any]:
    return event(name, at, quantities={"tokens": number}, **fields)


def catalog(*meters: dict[str, Any]) -> Catalog:
    made = document()
    return Catalog.model_validate({**made, "meters": [*made["meters"], *meters]})


def usage(
    meter: dict[str, Any], events: Sequence[dict[str, Any]], start: datetime = START, end: datetime = END
) -> Decimal:
    (found,) = Given(events).usage(catalog(meter), [Span("acme", "m", start, end)])
    return found


def test_three_events_of_a_hundred_tokens_are_three_hundred_tokens() -> None:
    """The first example of every metering service."""
    events = [tokens(name, "100", event_type="prompt") for name in "abc"]
    assert usage(TOKENS, events) == 300
    assert usage(TOKENS | {"filter": {"types": ["prompt"]}}, events) == 300
    assert usage(TOKENS | {"filter": {"types": ["image"]}}, events) == 0
    assert usage(TOKENS | {"quantity": "seconds"}, events) == 0


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("sum", "12.3"), ("min", "0.3"), ("max", "10"), ("latest", "2")],
)
def test_each_aggregate_of_one_month(aggregate: str, expected: str) -> None:
    """As numbers and not as text: 10 is more than 2, and 0.3 less."""
    events = [
        tokens("a", "10", START),
        tokens("b", "0.3", START + timedelta(hours=2)),
        tokens("c", "2", START + timedelta(hours=3)),
        event("d", START + timedelta(hours=4), quantities={"seconds": "99"}),
        event("e", START + timedelta(hours=4)),
    ]
    assert usage(TOKENS | {"aggregate": aggregate}, events) == Decimal(expected)


def test_unique_counts_different_values_and_no_events_without_one() -> None:
    users = {"id": "m", "aggregate": "unique", "attribute": "user", "unit": "users", "billable": "false"}
    events = [event(str(n), attributes={"user": user}) for n, user in enumerate(["a", "b", "a", "A", ""])]
    assert usage(users, [*events, event("x"), event("y", attributes={"model": "a"})]) == 4


def test_the_latest_of_one_instant_is_that_of_the_greatest_source_and_id() -> None:
    """Whatever the order in which events were landed."""
    events = [
        tokens("b", "1", source="edge"),
        tokens("a", "2", source="west"),
        tokens("10", "3", source="west"),
        tokens("9", "4", source="east"),
    ]
    for order in (events, events[::-1]):
        assert usage(TOKENS | {"aggregate": "latest"}, order) == 2


def test_a_filter_asks_for_each_attribute() -> None:
    """An event that lacks one is not counted; dots and slashes of a name are part of it."""
    asked = {"attributes": {"model": ["large", "small"], "a.b": ["1"]}}
    events = [
        tokens("both", "1", attributes={"model": "small", "a.b": "1"}),
        tokens("other", "10", attributes={"model": "tiny", "a.b": "1"}),
        tokens("lacking", "100", attributes={"model": "large"}),
        tokens("nested", "1000", attributes={"model": "large", "a": "1"}),
        tokens("none", "10000"),
    ]
    assert usage(TOKENS | {"filter": asked}, events) == 1


def test_routes_methods_and_status_filter_as_they_do_for_requests() -> None:
    events = [
        tokens("a", "1", method="POST", route="/v1/chat", status=200),
        tokens("b", "10", method="GET", route="/v1/chat", status=200),
        tokens("c", "100", method="POST", route="/v1/other", status=200),
        tokens("d", "1000", method="POST", route="/v1/chat", status=500),
    ]
    asked = {"methods": ["post"], "routes": ["/v1/chat"], "status": ["2xx"]}
    assert usage(TOKENS | {"filter": asked}, events) == 1


def test_a_field_is_added_up_by_type() -> None:
    meter = {"id": "m", "aggregate": "sum", "field": "response_bytes", "unit": "bytes", "filter": {"types": ["prompt"]}}
    events = [
        event("a", event_type="prompt", response_bytes=7),
        event("b", response_bytes=70),
        event("c", event_type="prompt"),
    ]
    assert usage(meter | {"billable": "false"}, events) == 7


def test_a_span_has_its_first_instant_and_not_its_last() -> None:
    events = [tokens("a", "1", START), tokens("b", "10", END - timedelta(microseconds=1)), tokens("c", "100", END)]
    assert usage(TOKENS, events) == 11
    assert usage(TOKENS, events, END, END + timedelta(days=1)) == 100


def test_an_ordinary_meter_beside_a_measured_one_keeps_its_usage() -> None:
    """Each span gets its own number, in whichever order they are asked for."""
    house = Given([tokens("a", "5")])
    row = {"partner_id": "acme", "window_start": START, "requests": 3, "response_bytes": 0, "status": 200}
    house.con.register("rollups", pa.Table.from_pylist([row], ROLLUPS.schema))
    spans = [Span("acme", name, START, END) for name in ("m", "requests", "m", "egress")]
    assert house.usage(catalog(TOKENS), spans) == [5, 3, 5, 0]


def test_sums_of_rollups_alone_have_no_measured_usage() -> None:
    """As in an estimate of refused entries."""
    house = Meters()
    house.con.register("rollups", ROLLUPS.schema.empty_table())
    assert house.usage(catalog(TOKENS), [Span("acme", "m", START, END)]) == [0]


DIGITS = st.integers(0, 10**38 - 1).flatmap(
    lambda number: st.integers(0, 12).map(lambda places: Decimal(number).scaleb(-places))
)
NUMBERS = st.one_of(DIGITS, st.decimals(0, 1000, places=12), st.sampled_from([Decimal(0), Decimal(10) ** 38 - 1]))
ROWS = st.lists(
    st.tuples(
        NUMBERS,
        st.integers(0, 31 * 24 - 1),
        st.sampled_from(["prompt", "image", None]),
        st.sampled_from(["large", "small", None]),
        st.sampled_from(["ann", "bob", "cy", "Ann", "ä", None]),
    ),
    max_size=14,
)


def plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@given(ROWS)
def test_random_events_come_to_what_the_page_says(rows: list[tuple[Any, ...]]) -> None:
    """Exactly: no digit of a quantity of 38 digits is lost in any aggregate, and parts sum up to the whole."""
    events = []
    for n, (number, hour, kind, model, user) in enumerate(rows):
        attributes = {name: value for name, value in (("model", model), ("user", user)) if value is not None}
        at = START + timedelta(hours=hour)
        events.append(tokens(f"{n:02}", plain(number), at, event_type=kind, attributes=attributes))
    house = Given(events)
    chosen = [row for row in rows if row[2] == "prompt" and row[3] in {"large", "small"}]
    numbers = [Fraction(row[0]) for row in chosen]
    asked = {"filter": {"types": ["prompt"], "attributes": {"model": ["large", "small"]}}}
    kinds = [TOKENS | asked | {"id": name, "aggregate": name} for name in ("sum", "min", "max", "latest")]
    users = asked | {"id": "unique", "aggregate": "unique", "attribute": "user", "unit": "users", "billable": "false"}
    listed = TOKENS | asked | {"id": "listed", "itemize_by": "user", "itemize_max": "2"}
    book = catalog(*kinds, users, listed)
    spans = [Span("acme", name, START, END) for name in ("sum", "min", "max", "latest", "unique", "listed")]
    total, least, most, last, unique, again = (Fraction(found) for found in house.usage(book, spans))
    assert total == again == sum(numbers, Fraction(0))
    assert least == min(numbers, default=Fraction(0))
    assert most == max(numbers, default=Fraction(0))
    newest = max(((row[1], n) for n, row in enumerate(rows) if row in chosen), default=None)
    assert last == (Fraction(0) if newest is None else Fraction(rows[newest[1]][0]))
    assert unique == len({row[4] for row in chosen} - {None})
    (by_user,) = measured.by_value(house, book, [spans[-1]])
    sums: Counter[str | None] = Counter()
    for row in chosen:
        sums[row[4]] += Fraction(row[0])  # type: ignore[assignment]
    shown = {name: Fraction(quantity) for name, quantity in by_user.rows}
    assert len(shown) == min(2, len(sums))
    assert all(sums[name] == quantity for name, quantity in shown.items())
    others = by_user.others or UnlistedValues(0, Decimal(0))
    assert others.values == len(sums) - len(shown)
    assert sum(shown.values(), Fraction(others.quantity)) == total
    assert all(
        quantity <= min(shown.values(), default=Fraction(0)) for name, quantity in sums.items() if name not in shown
    )


@given(ROWS, st.integers(0, 31 * 96))
def test_counts_and_sums_of_two_parts_of_a_month_are_those_of_the_month(
    rows: list[tuple[Any, ...]], quarters: int
) -> None:
    """What lets a line split at a new price."""
    events = [tokens(str(n), plain(row[0]), START + timedelta(hours=row[1])) for n, row in enumerate(rows)]
    cut = START + timedelta(minutes=15 * quarters)
    count = {"id": "count", "aggregate": "count", "unit": "events", "billable": "false", "itemize_by": "user"}
    spans = [
        Span("acme", name, *times) for name in ("m", "count") for times in ((START, cut), (cut, END), (START, END))
    ]
    found = [Fraction(each) for each in Given(events).usage(catalog(TOKENS, count), spans)]
    assert found[0] + found[1] == found[2]
    assert found[3] + found[4] == found[5] == len(rows)


def test_by_route_the_sums_are_those_of_the_routes() -> None:
    events = [
        tokens("a", "1.5", route="/a"),
        tokens("b", "2", route="/b"),
        tokens("c", "1", route="/a"),
        tokens("d", "9"),
    ]
    house, spans = Given(events), [Span("acme", "requests", START, END), Span("acme", "m", START, END)]
    assert house.usage_by_route(catalog(TOKENS), spans)[1] == [(None, 9), ("/a", Decimal("2.5")), ("/b", 2)]


def test_the_hash_of_usage_covers_what_events_carry() -> None:
    """A changed, added or removed quantity is noticed, whatever the order of events."""
    spans, hashes = [Span("acme", "", START, END), Span("zeta", "", START, END)], {"acme": "a", "zeta": "z"}
    events = [tokens(name, "100", START + timedelta(days=n)) for n, name in enumerate("abc")]

    def hashed(given: Sequence[dict[str, Any]]) -> dict[str, str]:
        return measured.with_events(Given(given), hashes, spans)

    first = hashed(events)
    assert first["zeta"] == "z"
    assert first == hashed(events[::-1])
    assert hashed([event("a"), event("b")]) == hashes
    others = [
        [tokens("a", "101"), *events[1:]],
        events[1:],
        [*events, tokens("d", "0")],
        [events[0] | {"event_type": "prompt"}, *events[1:]],
        [events[0] | {"attributes": "{}"}, *events[1:]],
        [events[0] | {"response_bytes": 1}, *events[1:]],
    ]
    assert len({hashed(other)["acme"] for other in [events, *others]}) == 1 + len(others)
    assert hashed([*events, tokens("e", "5", END)]) == first
