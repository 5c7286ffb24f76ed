"""Verdicts on HTTP requests: each event is accepted or refused once, told by its place, and only accepted lines are sent on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.pipeline import Decoder, SourceRules
from ingest.http.bodies import BodyShape, lines_of
from ingest.http.verdicts import ROWS_MAX, RequestLines, Verdict, judge
from schemas.reasons import Reason
from tests.ingest.fixtures import OWNERS, T0_MS, kong, line

T0_US = T0_MS * 1000
DAY_US, MINUTE_US = 86_400_000_000, 60_000_000
KONG = Decoder("kong", SourceRules(""), OWNERS)
EVENTS = Decoder("cloudevents", SourceRules(""), OWNERS)
APACHE = Decoder("apache", SourceRules("", trust_user=True), OWNERS)


def verdicts(*texts: bytes, decoder: Decoder = KONG, has_key: bool = False) -> list[Verdict]:
    return judge([RequestLines(text, T0_US, has_key) for text in texts], decoder, 35 * DAY_US, 5 * MINUTE_US)


def verdict(text: bytes, **kept: Any) -> Verdict:
    (one,) = verdicts(text, **kept)
    return one


def cloud(event_id: str, **changes: Any) -> dict[str, Any]:
    said = {"specversion": "1.0", "id": event_id, "source": "s", "type": "t", "subject": "c-acme", "time": "2026-10-01T00:00:00Z"}  # fmt: skip
    return said | changes


def test_a_good_request_is_sent_on_as_it_came() -> None:
    """No byte changes: ingest reads what the sender wrote."""
    text = line(kong("a")) + b"\n\r\n" + line(kong("b"))
    assert verdict(text) == Verdict(2, [], text)


def test_refused_events_are_told_by_their_place_and_not_sent() -> None:
    """Row 75. Blank lines are no events; the bytes after a refused line keep their positions."""
    bad = line(kong("b", consumer__id="nobody"))
    text = b"\n" + line(kong("a")) + bad + line(kong("c", started_at=None)) + line(kong("d"))
    found = verdict(text)
    assert [(r.place, r.item, r.code, r.field) for r in found.refused] == [
        (1, None, Reason.UNKNOWN_CREDENTIAL, "credential"),
        (2, None, Reason.NO_TIME, "time"),
    ]
    assert found.accepted == 2
    assert len(found.text) == len(text)
    assert [json.loads(x)["request"]["id"] for x in found.text.splitlines() if x.strip()] == ["a", "d"]
    assert found.text.index(b'"d"') == text.index(b'"d"')


def test_requests_are_judged_apart_though_together() -> None:
    """One sender's bad line affects nobody else: places count from the first event of each request."""
    good, bad = line(kong("a")), b"not json\n"
    found = verdicts(good, bad + good, b"\n", good + bad + bad)
    assert [(r.accepted, [x.place for x in r.refused]) for r in found] == [(1, []), (1, [0]), (0, []), (1, [1, 2])]


def test_limits_of_time_are_measured_from_each_request() -> None:
    """Requests that are judged together arrived at different times."""
    text = line(kong("a"))
    late, early, good = (RequestLines(text, T0_US + d, has_key=False) for d in (36 * DAY_US, -6 * MINUTE_US, 0))
    found = judge([late, early, good], KONG, 35 * DAY_US, 5 * MINUTE_US)
    assert [[x.code for x in r.refused] for r in found] == [[Reason.TOO_LATE], [Reason.IN_FUTURE], []]


def test_a_line_with_several_events_is_sent_whole_where_one_is_good() -> None:
    """A good event without its line would be another line; the bad event becomes a dead letter."""
    text = line([kong("a"), kong("b", consumer__id="nobody")]) + line([kong("c", started_at=None)] * 2)
    found = verdict(text)
    assert found.accepted == 1
    assert [(r.place, r.item) for r in found.refused] == [(0, 1), (1, 0), (1, 1)]
    assert [x for x in found.text.splitlines() if x.strip()] == text.splitlines()[:1]


def test_an_event_that_nobody_would_know_again_needs_a_named_request() -> None:
    """Row 29: a retry after a lost response would be counted twice. With a key, the event has an id: key and byte."""
    text = line(kong(None)) + line(kong("b"))
    found = verdict(text)
    assert (found.accepted, [(r.place, r.code) for r in found.refused]) == (1, [(0, Reason.NO_ID)])
    assert verdict(text, has_key=True) == Verdict(2, [], text)


def test_a_line_with_one_nameless_event_is_refused_whole() -> None:
    """A line is sent as a whole or not at all: its other events would take the nameless one along."""
    found = verdict(line([kong("a"), kong(None)]))
    assert (found.accepted, [(r.item, r.code) for r in found.refused]) == (0, [(0, Reason.NO_ID), (1, Reason.NO_ID)])
    assert not found.text.strip()


def test_too_many_events_are_counted_and_left_alone() -> None:
    """Row 76, from both sides: the largest batch is accepted, one more event is not, and other requests are unaffected."""
    one = line(cloud("a"))
    most, more, good = verdicts(one * ROWS_MAX, one * (ROWS_MAX + 1), one, decoder=EVENTS)
    assert (most.accepted, most.too_many) == (ROWS_MAX, 0)
    assert more == Verdict(0, (), b"", ROWS_MAX + 1)
    assert good.accepted == 1


def test_what_is_anothers_is_not_named() -> None:
    """S44: a refusal says what is wrong with the event, and nothing about other senders."""
    moved = verdict(line(kong("a", consumer__id="c-ended", started_at=T0_MS + 1)))
    assert [r.code for r in moved.refused] == [Reason.CREDENTIAL_NOT_VALID]
    assert "acme" not in moved.refused[0].message
    assert "c-ended" not in moved.refused[0].message


def test_text_formats_are_judged_alike() -> None:
    """NDJSON only means lines: any format may be sent."""
    good = b'203.0.113.9 - c-acme [01/Oct/2026:00:00:00 +0000] "GET /x HTTP/1.1" 200 5 "-" "-"\n'
    found = verdict(good + b"scrambled\n", decoder=APACHE, has_key=True)
    assert (found.accepted, len(found.refused)) == (1, 1)


BAD = [b"x", b"{", b"[]", b"5", b"\xff", b'{"specversion":"1.0"}', json.dumps(cloud("a", time="never")).encode()]


@pytest.mark.integration
@given(st.lists(st.lists(st.one_of(st.just(None), st.sampled_from(BAD)), max_size=6), min_size=1, max_size=4))
def test_the_books_of_every_request_balance(wanted: list[list[bytes | None]]) -> None:
    """However requests are combined, accepted plus refused is what was sent, and the good lines are passed on."""
    texts = [
        lines_of(b"\n".join(json.dumps(cloud(f"{i}-{j}")).encode() if bad is None else bad for j, bad in enumerate(rows)), BodyShape.LINES)
        for i, rows in enumerate(wanted)
    ]  # fmt: skip
    for i, (rows, found) in enumerate(zip(wanted, verdicts(*texts, decoder=EVENTS), strict=True)):
        sent = [json.loads(x)["id"] for x in found.text.splitlines() if x.strip() not in {b"", b"[]"}]
        assert sent == [f"{i}-{j}" for j, bad in enumerate(rows) if bad is None]
        assert found.accepted == len(sent)
        assert [r.place for r in found.refused] == [j for j, bad in enumerate(rows) if bad not in {None, b"[]"}]
        assert all(r.code in set(Reason) and r.message for r in found.refused)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_told(reason: Reason) -> None:
    """A code without a message of its own must not fail the whole batch."""
    from ingest.http.verdicts import _message

    assert _message(reason, None)
