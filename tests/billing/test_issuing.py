"""Issue: numbers without gaps, once, for exactly what the close saw; and the proof of it, byte by byte."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from billing.invoicing import closing, issuing, stored
from billing.invoicing.closing import Close, Refused
from billing.invoicing.issuing import IssueReport
from lake import atomic_file
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from schemas.catalog.records import Catalog
from schemas.tables import INVOICES, ROLLUPS
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, request, requests
from tests.lake.faulty import FaultyStore, Killed, Operation, commits_to, writes

pytestmark = pytest.mark.integration


def close(
    root: Path, catalog: Catalog | None = None, label: str = "2026-10", entity: str = "north", now: datetime = NOW
) -> Close:
    """Closed; that the books must be proved first is the business of test_closing."""
    return closing.close(Lake(root), catalog or book(), label, entity, prove=lambda versions, start, end: [], now=now)


def issue(root: Path | Store, made: Close, now: datetime = NOW) -> IssueReport:
    return issuing.issue(Lake(root), made, now=now)


def documents(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((root / "documents").iterdir())}


def numbers(root: Path) -> list[str]:
    return [invoice.number for invoice in issuing.listed(Lake(root))]


def problems(root: Path) -> list[str]:
    return [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems]


def renamed() -> Catalog:
    """The catalog with another name for acme, and nothing else."""
    parts = document()["partners"]
    parts[0]["name"] = "Acme AG"
    return book(partners=parts)


def test_a_closed_month_becomes_numbered_invoices_with_their_documents(root: Path) -> None:
    """In the order of partners; totals by hand: 31 + 5.25 + (1.2 GB - 0.5) at 0.12, and 31 + 1 + 0.9 GB at 0.12."""
    report = issue(root, close(root))
    assert (report.new, report.without) == (2, [])
    assert [(i.number, i.partner_id, i.currency, i.total) for i in report.invoices] == [
        ("NM-2026-000001", "acme", "EUR", Decimal("36.33")),
        ("NM-2026-000002", "zeta", "EUR", Decimal("32.11")),
    ]
    assert sorted(documents(root)) == [f"NM-2026-00000{n}.{kind}" for n in (1, 2) for kind in ("csv", "json", "pdf")]
    assert [path.name for path in report.invoices[0].files] == [
        f"NM-2026-000001.{kind}" for kind in ("json", "csv", "pdf")
    ]
    assert problems(root) == []


def test_issuing_again_changes_nothing(root: Path) -> None:
    """The same numbers, the same bytes, no new version of the table, on any later day."""
    first, before = issue(root, close(root)), documents(root)
    version = DeltaTable(root / "invoices").version()
    again = issue(root, close(root), now=NOW + timedelta(days=90))
    assert again.new == 0
    assert again.invoices == first.invoices
    assert documents(root) == before
    assert DeltaTable(root / "invoices").version() == version


@pytest.mark.slow
def test_numbers_are_gapless_over_months_years_and_entities(root: Path) -> None:
    """One series for each legal entity and year of issue; every invoice takes the next number of its series."""
    land(
        root, [request("2026-11-10T00:00Z"), request("2026-12-10T00:00Z"), request("2026-12-10T00:00Z", "zeta")], "more"
    )
    parts = document()
    parts["legal_entities"].append({"id": "south", "name": "South Ltd", "invoice_prefix": "SO"})
    parts["partners"].append({**parts["partners"][1], "id": "yota", "legal_entity": "south", "credentials": []})
    catalog = book(**parts)
    for label, entity, day in (
        ("2026-10", "north", datetime(2026, 11, 5, tzinfo=UTC)),
        ("2026-10", "south", datetime(2026, 11, 6, tzinfo=UTC)),
        ("2026-11", "north", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-12", "north", datetime(2027, 1, 2, tzinfo=UTC)),
        ("2026-11", "south", datetime(2027, 1, 2, tzinfo=UTC)),
    ):
        issue(root, close(root, catalog, label, entity, day), day)
    assert numbers(root) == [
        "NM-2026-000001", "NM-2026-000002", "NM-2026-000003", "NM-2026-000004", "NM-2027-000001", "NM-2027-000002",
        "SO-2026-000001", "SO-2027-000001",
    ]  # fmt: skip
    assert [i.number for i in issuing.listed(Lake(root), "2026-11")] == [
        "NM-2026-000003",
        "NM-2026-000004",
        "SO-2027-000001",
    ]
    assert problems(root) == []


def test_an_invoice_bears_the_date_and_the_year_of_its_legal_entity(root: Path) -> None:
    """At half past midnight in Tokyo on 1 January it is still the old year in New York, and in the zone of no entry,
    UTC.
    """
    moment = datetime.fromisoformat("2027-01-01T00:30+09:00").astimezone(UTC)
    parts = document()
    seller = parts["legal_entities"][0]
    parts["legal_entities"] = [
        {**seller, "id": "tokyo", "invoice_prefix": "TO", "time_zone": "Asia/Tokyo"},
        {**seller, "id": "york", "invoice_prefix": "YO", "time_zone": "America/New_York"},
        {**seller, "id": "none", "invoice_prefix": "NO"},
    ]
    acme = parts["partners"][0]
    acme["legal_entity"] = parts["partners"][1]["legal_entity"] = "none"
    parts["partners"] += [{**acme, "id": name, "legal_entity": name, "credentials": []} for name in ("tokyo", "york")]
    for partner in parts["partners"]:
        partner["plans"] = [{"plan": "plan-a", "valid_from": "2026-11-01"}]
    catalog = book(**parts)
    land(root, [request("2026-11-10T12:00Z", name) for name in ("tokyo", "york", "acme")], "november")
    made = [issue(root, close(root, catalog, "2026-11", name, moment), moment) for name in ("tokyo", "york", "none")]
    found = [(i.number, i.document["issued_on"], i.document["due_on"]) for report in made for i in report.invoices[:1]]
    assert found == [
        ("TO-2027-000001", "2027-01-01", "2027-01-15"),
        ("YO-2026-000001", "2026-12-31", "2027-01-14"),
        ("NO-2026-000001", "2026-12-31", "2027-01-14"),
    ]
    assert problems(root) == []


def test_a_partner_with_nothing_to_bill_has_no_invoice_and_is_named(tmp_path: Path) -> None:
    """No line, no number; the report says who."""
    parts = document()
    card = parts["rate_cards"][0]["versions"][0]
    card["rates"] = card["rates"][1:]
    root = land(tmp_path / "lake", requests(12, "2026-10-10T00:00Z"))
    report = issue(root, close(root, book(**parts)))
    assert [i.partner_id for i in report.invoices] == ["acme"]
    assert report.without == ["zeta: nothing to bill in 2026-10"]


def test_an_invoice_is_pinned_to_its_close(root: Path) -> None:
    """Usage that lands between close and issue, or after it, is in no line of it: the close says what was seen."""
    made = close(root)
    land(root, requests(7, "2026-10-20T00:00Z"), "late")
    report = issue(root, made)
    (line,) = [line for line in report.invoices[0].document["lines"] if line["meter"] == "requests"]
    assert line["usage"]["sum"] == "12"
    land(root, requests(5, "2026-10-21T00:00Z"), "later")
    assert problems(root) == []
    assert issuing.late_usage(Lake(root)) == [
        {"period": "2026-10", "number": "NM-2026-000001", "partner_id": "acme", "requests": 12}
    ]


@pytest.mark.slow
def test_late_usage_of_a_partner_without_an_invoice_is_listed_too(tmp_path: Path) -> None:
    """It is in no invoice, and no invoice can name it."""
    parts = document()
    card = parts["rate_cards"][0]["versions"][0]
    card["rates"] = card["rates"][1:]
    root = land(tmp_path / "lake", [request("2026-10-10T00:00Z")])
    issue(root, close(root, book(**parts)))
    land(root, requests(3, "2026-10-31T23:45Z", "zeta"), "late")
    land(root, requests(3, "2026-11-01T04:00Z", "zeta"), "november")
    assert issuing.late_usage(Lake(root)) == [
        {"period": "2026-10", "number": None, "partner_id": "zeta", "requests": 3}
    ]


def test_nothing_is_late_before_anything_was_invoiced(root: Path) -> None:
    """A close alone can be superseded."""
    close(root)
    assert issuing.late_usage(Lake(root)) == []


@pytest.mark.slow
def test_prices_are_those_of_the_close(root: Path) -> None:
    """The catalog may change the next day; the invoice, issued or verified later, keeps the one it was closed with."""
    made = close(root)
    parts = document()
    parts["rate_cards"][0]["versions"][0]["rates"][0]["price"]["amount"] = "99.00"
    close(root, book(**parts), "2026-09")
    assert [i.total for i in issue(root, made).invoices] == [Decimal("36.33"), Decimal("32.11")]
    assert problems(root) == []


def test_a_superseded_close_is_not_issued(root: Path) -> None:
    """Its successor holds what it lacks."""
    first = close(root)
    second = close(root, renamed())
    with pytest.raises(Refused, match=f"close {first.close_id} was superseded by {second.close_id}; issue that one"):
        issue(root, first)
    assert numbers(root) == []


def test_a_month_is_not_invoiced_from_two_closes(root: Path) -> None:
    """A second close can slip in beside the first issue; its invoices would bill the month twice."""
    first = close(root)
    stale = shutil.copytree(root, root.parent / "stale")
    issue(root, first)
    second = close(stale, renamed())
    shutil.rmtree(root / "closes")
    shutil.copytree(stale / "closes", root / "closes")
    with pytest.raises(
        Refused,
        match=f"2026-10 of acme is settled since close {second.close_id} was made; a second invoice would bill it twice",
    ):
        issue(root, second)
    assert numbers(root) == ["NM-2026-000001", "NM-2026-000002"]
    assert issue(root, first).new == 0


def test_a_number_that_another_entity_gave_is_refused(issued: Path) -> None:
    """Prefixes are checked within a catalog; catalogs change."""
    parts = document()
    parts["legal_entities"][0] |= {"id": "south"}
    for partner in parts["partners"]:
        partner["legal_entity"] = "south"
    with pytest.raises(
        Refused, match="number NM-2026-000001 is taken by another legal entity; give south an invoice_prefix"
    ):
        issue(issued, close(issued, book(**parts), "2026-11", "south", datetime(2026, 12, 5, tzinfo=UTC)))
    assert numbers(issued) == ["NM-2026-000001", "NM-2026-000002"]


@pytest.mark.slow
def test_documents_that_were_deleted_are_written_again(issued: Path) -> None:
    """They are renderings; the table holds the invoice. What is there is left alone."""
    before = documents(issued)
    (issued / "documents" / "NM-2026-000001.pdf").unlink()
    assert problems(issued) == [
        f"{issued / 'documents' / 'NM-2026-000001.pdf'} is missing; `tollbook invoice issue` writes it again"
    ]
    issue(issued, close(issued))
    assert documents(issued) == before
    shutil.rmtree(issued / "documents")
    assert len(problems(issued)) == 6
    issue(issued, close(issued))
    assert documents(issued) == before
    assert problems(issued) == []


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("kind", ["json", "csv", "pdf"])
def test_a_changed_document_is_noticed_and_not_written_over(issued: Path, kind: str) -> None:
    """One byte is enough. Issuing again leaves it for people to look at; deleting it brings the issued one back."""
    path = issued / "documents" / f"NM-2026-000002.{kind}"
    original = path.read_bytes()
    path.write_bytes(original.replace(b"2", b"3", 1))
    assert problems(issued) == [
        f"{path} was changed after it was issued; delete it, and `tollbook invoice issue` writes it again"
    ]
    issue(issued, close(issued))
    assert path.read_bytes() != original
    path.unlink()
    issue(issued, close(issued))
    assert path.read_bytes() == original


def test_usage_that_was_changed_under_an_invoice_is_noticed(issued: Path) -> None:
    """Rated again from the lake's files as they are now: another sum gives other bytes."""
    (file, *_) = [Path(f) for f in Lake(issued).files(ROLLUPS) if pq.read_table(f)["partner_id"][0].as_py() == "acme"]  # fmt: skip
    rows = pq.ParquetFile(file).read()
    at = rows.schema.get_field_index("requests")
    pq.write_table(rows.set_column(at, "requests", pa.array([n + 1 for n in rows["requests"].to_pylist()], pa.int64())), file)  # fmt: skip
    found = problems(issued)
    rendered = [p for p in found if "rendered again differs from what was issued" in p]
    assert len(rendered) == 3
    assert all(p.startswith("NM-2026-000001: ") for p in rendered)
    assert all(f"{file} was changed after it was written" in p for p in found if p not in rendered)
    assert len(found) > 3


def test_a_document_that_would_come_out_otherwise_is_not_written(issued: Path) -> None:
    """Another version of a library, another PDF: better none than one that was never issued."""
    (file,) = Lake(issued).files(INVOICES)
    rows = pq.ParquetFile(file).read()
    at = rows.schema.get_field_index("pdf_sha256")
    pq.write_table(rows.set_column(at, "pdf_sha256", pa.array(["0" * 64] * rows.num_rows)), file)
    path = issued / "documents" / "NM-2026-000001.pdf"
    path.unlink()
    with pytest.raises(
        Refused, match=r"NM-2026-000001\.pdf is missing, and this version of Tollbook and its libraries"
    ):
        issue(issued, close(issued))
    assert not path.exists()


def dying_at(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """`function`, but the process dies just before its nth call for a document or its folder."""
    calls = 0

    def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += "documents" in str(args[0]) or not isinstance(args[0], Path)
        if calls == call:
            raise Killed
        return function(*args, **kwargs)

    return dies


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("module", "name", "call", "committed"),
    [
        pytest.param(atomic_file, "write_synced", 1, 0, id="rendered, not written"),
        pytest.param(atomic_file, "write_synced", 4, 0, id="some documents written, no number yet"),
        pytest.param(stored.Staged, "publish", 1, 2, id="committed, no document visible yet"),
        pytest.param(Path, "rename", 4, 2, id="some documents visible"),
        pytest.param(atomic_file, "sync", 1, 2, id="documents visible, their folder not synced"),
    ],
)
def test_an_issue_that_dies_is_completed_by_the_next_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int, committed: int
) -> None:
    """All numbers or none; documents whole or absent; the next issue gives what an undisturbed one gives."""
    made = close(root)
    undisturbed = shutil.copytree(root, root.parent / "undisturbed")
    issue(undisturbed, made)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying_at(getattr(module, name), call))
        with pytest.raises(Killed):
            issue(root, made)
    assert len(numbers(root)) == committed
    whole = documents(undisturbed)
    if committed:
        assert all(whole[name] == content for name, content in documents(root).items())
    issue(root, made)
    assert documents(root) == whole
    assert problems(root) == []


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_an_issue_that_dies_at_any_operation_of_the_lake_is_completed_by_the_next_one(root: Path, when: str) -> None:
    """The table's file, its commit, and what makes them durable."""
    made = close(root)
    undisturbed = shutil.copytree(root, root.parent / "undisturbed")
    issue(undisturbed, made)
    whole = documents(undisturbed)
    for nth in range(1, 50):
        copy = shutil.copytree(root, root.parent / f"{nth}")
        store = FaultyStore(LocalStore(copy), nth, when=when)
        try:
            issue(store, made)
        except Killed:
            assert len(numbers(copy)) in {0, 2}
            issue(copy, made)
        assert documents(copy) == whole
        assert problems(copy) == []
        if not store.struck:
            break
    assert nth >= 4


def looks(operation: Operation) -> bool:
    return operation.name == "listing" and operation.key.startswith("invoices/")


STEPS = [
    pytest.param(looks, id="before it looks for the last number"),
    pytest.param(writes, id="after it has looked"),
    pytest.param(commits_to("invoices"), id="just before its commit"),
]
Step = Callable[[Operation], bool]


def interrupted(root: Path, step: Step, other: Callable[[], IssueReport]) -> tuple[FaultyStore, list[IssueReport]]:
    """A store on which another process issues when this one comes to a step; the list holds what the other reported."""
    others: list[IssueReport] = []
    return FaultyStore(LocalStore(root), 1, lambda: others.append(other()), counted=step), others


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("years", [0, 1], ids=["the same year", "another year, another series"])
@pytest.mark.parametrize("step", STEPS)
def test_an_issue_in_between_is_seen(root: Path, step: Step, years: int) -> None:
    """Whoever commits first has given the numbers; the other is refused, or finds nothing to do.

    A fresh handle is no way around.
    """
    made = close(root)
    store, others = interrupted(root, step, lambda: issue(root, made, NOW.replace(year=NOW.year + years)))
    assert outcome(store, made) <= 0
    assert [report.new for report in others] == [2]
    assert numbers(root) == [f"NM-{NOW.year + years}-000001", f"NM-{NOW.year + years}-000002"]
    assert problems(root) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_another_months_issue_in_between_takes_other_numbers(root: Path, step: Step) -> None:
    """Two months of one series at once: the second to commit counts on from the first, or is refused and repeated."""
    september, october = close(root, label="2026-09"), close(root)
    store, _ = interrupted(root, step, lambda: issue(root, september))
    outcome(store, october)
    assert store.struck
    issue(root, october)
    assert numbers(root) == [f"NM-2026-00000{n}" for n in (1, 2, 3, 4)]
    assert [i.period for i in issuing.listed(Lake(root))] == ["2026-09", "2026-09", "2026-10", "2026-10"]


def outcome(root: Path | Store, made: Close) -> int:
    try:
        return issue(root, made).new
    except Fenced:
        return -1


@pytest.mark.slow
def test_of_issues_at_once_one_wins_and_no_number_is_given_twice(root: Path) -> None:
    """Four threads; the losers are told, or find the work done. Every document is whole."""
    made = close(root)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: outcome(root, made), range(4)))
    assert sorted(results)[-1] == 2
    assert sorted(results)[:-1] == [n for n in sorted(results) if n <= 0]
    assert numbers(root) == ["NM-2026-000001", "NM-2026-000002"]
    assert issue(root, made).new == 0
    assert problems(root) == []
    assert not [name for name in documents(root) if name.startswith(".")]


ISSUER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from billing.invoicing import closing, issuing, stored
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from lake.errors import Fenced, LakeError
lake = Lake(Path(sys.argv[1]))
made = closing.newest_close(lake, "2026-10", sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(issuing.issue(lake, made, now=datetime(2026, 11, 5, tzinfo=UTC)).new)
except Fenced:
    print(-1)
"""


@pytest.mark.slow
def test_two_processes_issue_at_once(root: Path) -> None:
    """The same, with nothing shared but the disk; two entities at once do not disturb each other's series."""
    parts = document()
    parts["legal_entities"].append({"id": "south", "name": "South Ltd", "invoice_prefix": "SO"})
    parts["partners"][1]["legal_entity"] = "south"
    for entity in ("north", "south"):
        close(root, book(**parts), entity=entity)
    issuers = [
        subprocess.Popen([sys.executable, "-c", ISSUER, root, entity], stdin=-1, stdout=-1, text=True)
        for entity in ("north", "north", "south")
    ]
    for issuer in issuers:
        assert issuer.stdout is not None
        assert issuer.stdout.readline() == "ready\n"
    for issuer in issuers:  # all of them stand before the first reading
        assert issuer.stdin is not None
        issuer.stdin.write("\n")
        issuer.stdin.flush()
    results = [int(issuer.communicate()[0]) for issuer in issuers]
    assert max(results) == 1
    assert (
        min(results[:2]) <= 0
    )  # one fence stands over all entities: whoever is second finds nothing to do, or is to repeat
    for entity in ("north", "south"):
        made = closing.newest_close(Lake(root), "2026-10", entity)
        assert made is not None
        issue(root, made)
    assert numbers(root) == ["NM-2026-000001", "SO-2026-000001"]
    assert problems(root) == []


def test_the_table_holds_the_hashes_of_what_was_written(issued: Path) -> None:
    """What verify compares with is what finance was given."""
    for row in pq.ParquetFile(Lake(issued).files(INVOICES)[0]).read().to_pylist():
        for kind in ("json", "csv", "pdf"):
            path = issued / "documents" / f"{row['number']}.{kind}"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row[f"{kind}_sha256"]


def test_an_invoice_whose_close_is_gone_is_named(issued: Path) -> None:
    """It cannot be proved any more; the lake has lost something, and the message says what."""
    DeltaTable(issued / "closes").delete()
    with pytest.raises(
        LakeError, match=r"which an invoice names, is missing in .*; restore table closes from a backup"
    ):
        issuing.verify(Lake(issued))
