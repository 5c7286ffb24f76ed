"""What was changed behind the product's back is named: between close and issue, and years after."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aggregate.verify import prove
from billing.invoicing import closing, proofs
from billing.invoicing.closing import Close
from billing.periods import month
from billing.usage.warehouse import Warehouse
from lake.errors import Damaged
from lake.lake import Lake
from schemas.tables import CLOSES, EVENTS, INVOICES, ROLLUPS, TableShape
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land, request
from tests.billing.tampering import partners_swapped, replaced, reworded, rewrite, times_ten

pytestmark = pytest.mark.integration


@pytest.fixture
def closed(root: Path) -> tuple[Path, Close]:
    return root, closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW)


def content_of(root: Path, made: Close) -> dict[str, Any]:
    """The close's document, with the digests of its files."""
    return {**made.content, "files_sha256": proofs.files_sha256(Lake(root), made.content["versions"])}


def rows_of(root: Path) -> list[dict[str, Any]]:
    return Warehouse(Lake(root), only=[INVOICES.name]).query("invoices").to_pylist()  # type: ignore[no-any-return]


def invoice_problems(root: Path) -> list[str]:
    return [
        p
        for row in rows_of(root)
        for p in proofs.invoice(row, closing.close_by_id(Lake(root), row["close_id"]).content)
    ]


def usage_problems(root: Path, made: Close) -> list[str]:
    spans = [(p.id, *month(made.period, p.time_zone)) for p in made.partners()]
    return proofs.usage(made.content, made.rules.usage_sha256(closing.pinned(Lake(root), made), spans, made.catalog()))


def test_a_lake_that_nobody_touched_has_no_problem(issued: Path) -> None:
    """Neither at once nor after more was landed, closed and issued."""
    (made,) = closing.all_closes(Lake(issued))
    content = content_of(issued, made)
    for _ in range(2):
        assert proofs.pinned_files(Lake(issued), content) == []
        assert proofs.close_document(made.close_id, made.document) == []
        assert usage_problems(issued, made) == []
        assert invoice_problems(issued) == []
        proof = prove(Lake(issued))
        assert (proof.problems, proof.files_not_hashed) == ([], 0)
        land(issued, [request("2026-11-02T12:00Z")], "later")


@pytest.mark.parametrize("shape", [ROLLUPS, EVENTS], ids=lambda shape: shape.name)
def test_a_file_that_was_changed_in_place_is_named(closed: tuple[Path, Close], shape: TableShape) -> None:
    """By whatever was done to it: the commit that added it holds its hash."""
    root, made = closed
    change: Callable[[pa.Table], pa.Table] = times_ten if shape == ROLLUPS else partners_swapped
    files = rewrite(root, shape, change, log=False)
    for problems in (proofs.pinned_files(Lake(root), content_of(root, made)), prove(Lake(root)).problems):
        assert len(problems) == len(files)
        assert all(any(str(file) in problem for problem in problems) for file in files)
        assert all("restore it from a backup" in problem for problem in problems)


def test_rollups_that_were_multiplied_between_close_and_issue(closed: tuple[Path, Close]) -> None:
    """Even if the log was repaired, the close has pinned other files, and another usage."""
    root, made = closed
    content = content_of(root, made)
    rewrite(root, ROLLUPS, times_ten, log=True)
    (problem,) = proofs.pinned_files(Lake(root), content)
    assert problem.startswith("table rollups: version 1 holds other files than the close pinned; restore")
    assert [p.split(":")[0] for p in usage_problems(root, made)] == ["partner acme", "partner zeta"]
    assert any("requests by events" in p for p in prove(Lake(root)).problems)


def test_partners_that_were_swapped_in_events_and_rollups(closed: tuple[Path, Close]) -> None:
    """The books balance and rollups are the sum of events: only hashes tell."""
    root, made = closed
    content = content_of(root, made)
    for shape in (EVENTS, ROLLUPS):
        rewrite(root, shape, partners_swapped, log=True)
    assert prove(Lake(root)).problems == []
    assert [p.split(":")[0] for p in proofs.pinned_files(Lake(root), content)] == ["table events", "table rollups"]
    assert len(usage_problems(root, made)) == 2


def test_a_price_that_was_changed_in_a_close(closed: tuple[Path, Close]) -> None:
    """Its name is the hash of its document: nobody can read it any more as that close."""
    root, made = closed
    rewrite(root, CLOSES, reworded("document", "0.125", "0.25"), log=True)
    for read in (
        lambda: closing.all_closes(Lake(root)),
        lambda: closing.close_by_id(Lake(root), made.close_id),
        lambda: closing.newest_close(Lake(root), "2026-10", "north"),
    ):
        with pytest.raises(
            Damaged, match=f"close {made.close_id}: its document in table closes was changed.*restore table closes"
        ):
            read()
    rewrite(root, CLOSES, reworded("document", "0.25", "0.125"), log=False)
    assert any("closes" in p and "was changed after it was written" in p for p in prove(Lake(root)).problems)


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(
    ("column", "old", "new", "expected"),
    [
        ("document", '"total": "', '"total": "1', ["the document says 1", "sum up to", "its document was changed after it was issued"]),
        ("document", '"amount": "31.00"', '"amount": "30.00"', ["the lines of its document sum up to", "its document was changed"]),
        ("document", "Acme GmbH", "Acme AG", ["its document was changed after it was issued"]),
        ("document", '"id": "acme"', '"id": "zeta"', ["column partner_id is acme, the document says zeta", "other usage than its close"]),
        ("document", '"lines"', '"limes"', ["its document cannot be read (KeyError: 'lines')"]),
        ("currency", "EUR", "USD", ["column currency is USD, the document says EUR"]),
    ],
)  # fmt: skip
def test_an_invoice_that_was_changed_in_its_table(
    issued: Path, column: str, old: str, new: str, expected: list[str]
) -> None:
    """Each contradicts itself somewhere, and is named by its number."""
    rewrite(issued, INVOICES, reworded(column, old, new), log=True)
    problems = [p for p in invoice_problems(issued) if p.startswith("NM-2026-000001: ")]
    assert all(any(words in p for p in problems) for words in expected), problems
    assert all("restore table invoices from a backup" in p for p in problems)


def test_a_total_that_was_changed_in_its_column(issued: Path) -> None:
    """What a report sums is not what was issued."""

    def one_more(rows: pa.Table) -> pa.Table:
        return replaced(rows, "total", pa.array([total + 1 for total in rows["total"].to_pylist()], rows["total"].type))

    rewrite(issued, INVOICES, one_more, log=True)
    problems = invoice_problems(issued)
    assert len(problems) == 2
    assert all("column total is" in p and "the document says" in p for p in problems)


def test_a_file_that_is_gone_is_named(closed: tuple[Path, Close]) -> None:
    """A copy of the lake may lack it."""
    root, made = closed
    (path, *_) = Lake(root).files(ROLLUPS)
    Path(path).unlink()
    assert proofs.pinned_files(Lake(root), content_of(root, made)) == [f"{path} is missing; restore it from a backup"]
    assert any(f"{path} is missing" in p for p in prove(Lake(root)).problems)


@pytest.mark.slow
def test_files_of_before_hashes_were_recorded_are_no_damage(tmp_path: Path) -> None:
    """They are counted as not hashed; their names and sizes are compared, and the close pins which they are."""
    root = land(tmp_path / "lake", OCTOBER)
    for entry in root.glob("*/_delta_log/*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in actions:
            if "tollbook" in action.get("commitInfo", {}):
                info = json.loads(action["commitInfo"]["tollbook"])
                info.pop("sha256")
                info["info"] = {
                    name: [part[:4] for part in parts] if name != "events" else parts
                    for name, parts in info["info"].items()
                }
                action["commitInfo"]["tollbook"] = json.dumps(info)
        entry.write_text("".join(json.dumps(action) + "\n" for action in actions))
    proof = prove(Lake(root))
    assert (proof.problems, proof.files_not_hashed) == ([], 8)
    made = closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW)
    assert proofs.pinned_files(Lake(root), content_of(root, made)) == []
    assert proofs.pinned_files(Lake(root), made.content) == []
    land(root, [request("2026-11-02T12:00Z")], "later")
    assert (prove(Lake(root)).problems, prove(Lake(root)).files_not_hashed) == (
        [],
        8,
    )  # what was written since has hashes
    rewrite(root, ROLLUPS, times_ten, log=False)
    assert any("bytes" in p and "were written" in p for p in prove(Lake(root)).problems)
