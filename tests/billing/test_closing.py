"""Close: refused while anything is unexplained, the same for the same input, and pinned to what it saw."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Close, Refused
from billing.periods import BadPeriod
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from schemas.catalog.records import Catalog
from schemas.tables import INGESTED
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, books, land, request
from tests.lake.faulty import FaultyStore, writes

pytestmark = pytest.mark.integration


def close(
    root: Path, catalog: Catalog | None = None, label: str = "2026-10", *, entity: str = "north", now: datetime = NOW
) -> Close:
    return closing.close(Lake(root), catalog or book(), label, entity, prove=books(root), now=now)


def refusals(root: Path, *args: Any, **kwargs: Any) -> list[str]:
    """Why the close is refused; and that nothing was written."""
    before = versions(root)
    with pytest.raises(Refused) as refused:
        close(root, *args, **kwargs)
    assert versions(root) == before
    return refused.value.problems


def versions(root: Path) -> dict[str, int]:
    return {p.name: DeltaTable(p).version() for p in sorted(root.iterdir()) if (p / "_delta_log").is_dir()}


def changed(**changes: Any) -> Catalog:
    """The catalog with changes to acme."""
    parts = document()["partners"]
    parts[0] |= changes
    return book(partners=parts)


def test_a_close_says_what_it_rests_on(root: Path) -> None:
    """Versions, offsets, completeness, the whole catalog: enough to bill from, years later."""
    content = close(root).content
    assert content["period"] == "2026-10"
    assert content["versions"] == {name: versions(root)[name] for name in content["versions"]}
    assert content["catalog_sha256"] == book().sha256
    assert close(root).catalog().sha256 == book().sha256
    (source,) = content["completeness"]
    assert {k: source[k] for k in ("entries", "counted", "unexplained")} == {
        "entries": 14,
        "counted": 14,
        "unexplained": 0,
    }
    assert sorted(content["usage"]) == ["acme", "zeta"]
    assert content["offsets"]


def test_a_partner_whose_month_is_not_over_is_left_for_a_later_close(root: Path) -> None:
    """Berlin's October ends five hours before New York's; the last microsecond before that is too early, the next is
    not.
    """
    over = datetime(2026, 11, 1, 4, tzinfo=UTC)
    early = close(root, now=over - timedelta(microseconds=1))
    assert [p.id for p in early.partners()] == ["acme"]
    assert early.blocked == {
        "zeta": [
            "period 2026-10 of partner zeta is not over before 2026-11-01T04:00Z (America/New_York); close it then"
        ]
    }
    assert len(refusals(root, now=datetime(2026, 10, 31, 22, 59, tzinfo=UTC))) == 2
    whole = close(root, now=over)
    assert ([p.id for p in whole.partners()], whole.blocked) == (["acme", "zeta"], {})


def test_books_that_are_wrong_are_refused(root: Path) -> None:
    """Whatever the proof finds stands in the way, in its own words, beside what else is wrong."""
    parts = document()["partners"]
    catalog = book(partners=[partner | {"plans": []} for partner in parts])

    def unbalanced(_: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        assert start < end
        return [f"problem {n}" for n in range(30)]

    with pytest.raises(Refused) as refused:
        closing.close(Lake(root), catalog, "2026-10", "north", prove=unbalanced, now=NOW)
    assert refused.value.problems[:2] == ["problem 0", "problem 1"]
    assert "problem 29" not in refused.value.problems
    assert any("acme has 12 requests and 1.2 GB" in p for p in refused.value.problems)


def test_an_event_that_is_lost_from_the_books_is_refused(root: Path) -> None:
    """The real proof against a real hole: rollups without one of their files."""
    table = DeltaTable(root / "rollups")
    table.delete("partner_id = 'acme'")
    assert any("requests by events" in p or "rollups" in p for p in refusals(root))


def test_entries_on_their_way_are_waited_for(root: Path) -> None:
    """On Kafka ingest may have read what no land worker has brought yet: the proof holds, and the month is not
    complete.
    """
    report = {"source": "edge", "generation": "g", "from_offset": 900, "to_offset": 903, "records": 3, "entries": 2}
    part = Lake(root).write(INGESTED, pa.Table.from_pylist([report], INGESTED.schema))
    Lake(root).open(INGESTED).commit([part], versions={}, info={})
    assert books(root)({}, NOW - timedelta(days=60), NOW) == []
    (problem,) = refusals(root)
    assert "6 of" in problem
    assert "close again" in problem


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("plans", "count", "days"),
    [
        pytest.param([], 12, "from 2026-10-01 to before 2026-11-01", id="no plan at all"),
        pytest.param([{"plan": "plan-a", "valid_from": "2026-10-02"}], 12, "from 2026-10-01 to before 2026-10-02", id="a plan that begins later"),
        pytest.param([{"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-01"}], 12, "from 2026-10-01", id="a plan that has ended"),
    ],
)  # fmt: skip
def test_usage_without_a_plan_blocks_its_partner_and_no_other(
    root: Path, plans: list[dict[str, str]], count: int, days: str
) -> None:
    """Also when a plan covers the rest of the month: what happened outside it would be billed by nobody."""
    made = close(root, changed(plans=plans))
    assert [p.id for p in made.partners()] == ["zeta"]
    (problem,) = made.blocked["acme"]
    assert f"acme has {count} requests and 1.2 GB while it has no plan ({days}" in problem
    assert "assign a plan for that time in the catalog" in problem


def test_a_blocked_partner_is_billed_from_a_later_close_of_its_own(root: Path) -> None:
    """What was issued meanwhile stays as it is, number by number; together the two closes bill each partner once."""
    first = close(root, changed(plans=[]))
    issuing.issue(Lake(root), first, now=NOW)
    second = close(root)
    assert ([p.id for p in second.partners()], second.blocked) == (["acme"], {})
    report = issuing.issue(Lake(root), second, now=NOW)
    assert [(i.number, i.partner_id, i.close_id) for i in report.invoices] == [
        ("NM-2026-000001", "zeta", first.close_id),
        ("NM-2026-000002", "acme", second.close_id),
    ]
    assert [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems] == []
    assert close(root) == second


def test_days_without_plan_and_without_usage_are_no_problem(root: Path) -> None:
    """A partner that joins on the day of its first request pays from then on."""
    catalog = changed(plans=[{"plan": "plan-a", "valid_from": "2026-10-01", "valid_to": "2026-10-02"}])
    assert sorted(close(root, catalog).content["usage"]) == ["acme", "zeta"]


def test_a_used_meter_without_a_rate_is_refused(root: Path) -> None:
    """With the meter, the amount and what to do."""
    meters = [*document()["meters"], {"id": "exports", "aggregate": "count", "unit": "exports"}]
    problems = refusals(root, book(meters=meters))
    assert len(problems) == 2
    assert all("meter exports counted" in p and "`billable: false`" in p for p in problems)


def test_usage_of_a_partner_that_is_gone_from_the_catalog_is_named(root: Path) -> None:
    """Taking a partner out of the catalog is no way to lose its last month without a sound; the others are billed."""
    made = close(root, book(partners=document()["partners"][:1]))
    assert [p.id for p in made.partners()] == ["acme"]
    assert made.blocked == {
        "zeta": ["partner zeta has 1 requests in 2026-10 but is not in the catalog; add the partner again"]
    }


def test_all_problems_are_reported_at_once(root: Path) -> None:
    """One run for finance, one list for everybody else."""
    parts = document()
    parts["partners"] = [parts["partners"][0] | {"plans": []}]
    parts["meters"].append({"id": "exports", "aggregate": "count", "unit": "exports"})
    problems = refusals(root, book(**parts))
    assert len(problems) == 2
    assert {p.split()[1] for p in problems} == {"zeta", "acme"}


@pytest.mark.parametrize("entity", ["south", ""])
def test_an_unknown_legal_entity_is_refused_with_those_there_are(root: Path, entity: str) -> None:
    """Finance sees what to type."""
    assert refusals(root, entity=entity) == [f"no partner belongs to legal entity {entity!r}; the catalog has: north"]


def test_a_lake_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And is not made by the way."""
    with pytest.raises(LakeError, match="nowhere` is not a Tollbook lake"):
        close(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_period_that_names_no_month_is_refused(root: Path) -> None:
    """Before anything is read."""
    with pytest.raises(BadPeriod):
        close(root, label="2026-13")


def test_the_same_input_gives_the_same_close_and_writes_nothing(root: Path) -> None:
    """At another time, too: when somebody closes is no part of what is closed."""
    first = close(root)
    before = versions(root)
    again = close(root, now=NOW + timedelta(days=3))
    assert again == first
    assert versions(root) == before
    assert len(closing.all_closes(Lake(root))) == 1


@pytest.mark.slow
def test_other_input_supersedes_the_close(root: Path) -> None:
    """Late usage or a corrected catalog, as long as nothing was invoiced; and going back brings the first content
    back.
    """
    first = close(root)
    land(root, [request("2026-10-02T00:00Z")], "late")
    second = close(root)
    third = close(root, changed(name="Acme AG"))
    assert len({first.close_id, second.close_id, third.close_id}) == 3
    assert closing.newest_close(Lake(root), "2026-10", "north") == third
    assert closing.newest_close(Lake(root), "2026-09", "north") is None
    back = close(root)
    assert back.close_id == second.close_id
    assert closing.newest_close(Lake(root), "2026-10", "north") == back


@pytest.mark.slow
def test_the_last_close_counts_whatever_the_clock(root: Path) -> None:
    """A clock that went back, or two closes within its tick, must not bring an older close up again."""
    closes = [close(root, changed(name=f"Acme {n}"), now=NOW - timedelta(days=n // 2)) for n in range(6)]
    newest = closing.newest_close(Lake(root), "2026-10", "north")
    assert newest is not None
    assert newest.close_id == closes[-1].close_id
    assert [c.close_id for c in closing.all_closes(Lake(root))] == [c.close_id for c in closes]


@pytest.mark.slow
def test_an_invoiced_close_is_not_superseded(root: Path) -> None:
    """What was sent stays; what came later is corrected by its own document, and the refusal says where to look."""
    made = close(root)
    issuing.issue(Lake(root), made, now=NOW)
    land(root, [request("2026-10-02T00:00Z")], "late")
    for catalog in (book(), changed(name="Acme AG")):
        (problem,) = refusals(root, catalog)
        assert f"closed as {made.close_id} and invoiced" in problem
        assert "late usage: the next invoice bills it, or `tollbook invoice adjust` now" in problem
    assert closing.newest_close(Lake(root), "2026-10", "north") == made


@pytest.mark.slow
def test_another_months_usage_does_not_touch_an_invoiced_close(root: Path) -> None:
    """The tables grow every day; the October that was invoiced is still that October."""
    made = close(root)
    issuing.issue(Lake(root), made, now=NOW)
    land(root, [request("2026-11-01T00:00Z")], "november")
    before = versions(root)
    assert close(root, now=NOW + timedelta(days=40)) == made
    assert versions(root) == before


@pytest.mark.slow
def test_closes_of_two_entities_and_months_do_not_meet(root: Path) -> None:
    """Each has its own newest close; a partner is closed by the entity that bills it."""
    parts = document()
    parts["legal_entities"].append({"id": "south", "name": "South Ltd", "invoice_prefix": "SO"})
    parts["partners"][1]["legal_entity"] = "south"
    catalog = book(**parts)
    north, south, november = close(root, catalog), close(root, catalog, entity="south"), close(root, catalog, "2026-09")
    assert [sorted(c.content["usage"]) for c in (north, south, november)] == [["acme"], ["zeta"], ["acme"]]
    assert closing.newest_close(Lake(root), "2026-10", "north") == north
    assert closing.newest_close(Lake(root), "2026-10", "south") == south


@pytest.mark.slow
def test_a_close_recorded_by_another_process_in_between_is_seen(root: Path) -> None:
    """Between reading the newest close and committing, another one came: the commit is refused, not laid on top."""
    done: list[Close] = []

    def meanwhile() -> None:
        done.append(close(root, changed(name="Acme AG")))

    store = FaultyStore(LocalStore(root), 1, meanwhile, counted=writes)
    with pytest.raises(Fenced):
        closing.close(Lake(store), book(), "2026-10", "north", prove=books(root), now=NOW)
    assert closing.all_closes(Lake(root)) == done


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        pytest.param("Europe/Berlin", "2026-10-01T00:00+02:00", "2026-10-31T23:59:59.999999+01:00", id="summer to winter"),
        pytest.param("America/New_York", "2026-10-01T00:00-04:00", "2026-10-31T23:59:59.999999-04:00", id="summer"),
        pytest.param("Asia/Kathmandu", "2026-10-01T00:00+05:45", "2026-10-31T23:59:59.999999+05:45", id="a quarter of an hour"),
        pytest.param("Pacific/Apia", "2026-10-01T00:00+13:00", "2026-10-31T23:59:59.999999+13:00", id="the other side"),
    ],
)  # fmt: skip
def test_the_first_instant_belongs_to_the_month_and_the_next_one_after_the_last_does_not(
    tmp_path: Path, zone: str, first: str, last: str
) -> None:
    """To the microsecond, in the partner's own time: one side is this month's money, the other side another's."""
    tick = timedelta(microseconds=1)
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    inside, outside = [start, end], [start - tick, end + tick]
    root = land(tmp_path / "lake", [request(t.isoformat()) for t in (*inside, *outside)])
    parts = document()["partners"][:1]
    parts[0]["time_zone"] = zone
    parts[0]["plans"][0]["valid_from"] = "2026-10-01"  # with a plan before, September is to be issued first
    report = issuing.issue(Lake(root), close(root, book(partners=parts), now=NOW), now=NOW)
    (line,) = [line for line in report.invoices[0].document["lines"] if line["meter"] == "requests"]
    assert line["usage"]["sum"] == "2"


def test_the_month_before_is_to_be_issued_first(tmp_path: Path) -> None:
    """Of a partner that was never billed: usage of an earlier month would be behind the first period for ever."""
    root = land(
        tmp_path / "lake",
        [request("2026-08-31T21:59:59Z"), request("2026-10-10T00:00Z"), request("2026-10-10T00:00Z", "zeta")],
    )
    made = close(root)
    assert [p.id for p in made.partners()] == ["zeta"]
    (problem,) = made.blocked["acme"]
    assert problem.startswith("partner acme: 2026-08 is not issued yet, and months are issued in order")
    parts = document()["partners"]
    parts[0]["plans"][0]["valid_from"] = "2026-09-01"
    assert close(root, book(partners=parts)).blocked == {}


@pytest.mark.slow
def test_a_month_that_was_left_out_is_named_and_months_without_usage_count(root: Path) -> None:
    """An empty month is settled by its issue, like any other."""
    issuing.issue(Lake(root), close(root), now=NOW)
    later = datetime(2027, 2, 1, 12, tzinfo=UTC)
    (problem, _) = refusals(root, label="2026-12", now=later)
    assert (
        "2026-11 is not issued yet, and months are issued in order; close and issue 2026-11 before 2026-12" in problem
    )
    for label in ("2026-11", "2026-12"):
        report = issuing.issue(Lake(root), close(root, label=label, now=later), now=later)
        assert len(report.invoices) == 2  # the fee alone
    assert refusals(root, label="2026-09", now=later)[0].startswith(
        "2026-09 lies before the first month that is settled"
    )
