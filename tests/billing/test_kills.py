"""A process dies at any step of a command of finance: nothing is half done, and the same command again completes it.

The kill is at the nth change of the lake's store, for every n. Issues are killed in test_issuing, voids in
test_corrections and rebills in test_rebill.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, four_eyes, issuing, stored
from billing.invoicing.corrections import crediting, late_documents
from billing.invoicing.corrections.crediting import CreditRequest
from billing.receivables import audit, payments, signatures
from billing.receivables.items import items
from lake.lake import Lake
from lake.storage.local import LocalStore
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, requests
from tests.billing.test_four_eyes import approval, keys
from tests.lake.faulty import FaultyStore, Killed

__all__ = ["keys"]  # the fixture of test_four_eyes

pytestmark = pytest.mark.integration

ACME = "NM-2026-000001"
each_side = pytest.mark.parametrize("when", ["before", "after"])


def killed_at_each_step(
    start: Path, tmp_path: Path, act: Callable[[Lake], object], state: Callable[[Lake], object], when: str
) -> None:
    """`state` is what the lake had before or what it has in the end, and in the end after a repetition."""
    whole = Lake(shutil.copytree(start, tmp_path / "whole"))
    before = state(whole)
    act(whole)
    done = state(whole)
    assert before != done
    for nth in range(1, 1000):
        root = shutil.copytree(start, tmp_path / str(nth))
        store = FaultyStore(LocalStore(root), nth, when=when)
        with contextlib.suppress(Killed):
            act(Lake(store))
        assert state(Lake(root)) in (before, done), f"{when} change {nth}"
        act(Lake(root))
        assert state(Lake(root)) == done
        assert audit.problems(audit.rows(Lake(root))) == []
        assert [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems] == []
        if not store.struck:
            assert nth > 3
            return
        shutil.rmtree(root)


def totals(lake: Lake) -> Mapping[str, Any]:
    return {row["number"]: row["total"] for row in stored.rows(lake)}


def trail(lake: Lake) -> list[tuple[str, str]]:
    return [(row.what, row.recorded_by) for row in audit.rows(lake)]


@pytest.mark.slow
@each_side
def test_a_credit_that_dies_is_completed_by_the_next_one(issued: Path, tmp_path: Path, when: str) -> None:
    """One credit note, number 1, and one row of the trail."""

    def act(lake: Lake) -> None:
        asked = CreditRequest(amount=Decimal(5))
        note = crediting.credit(lake, ACME, asked, reason="outage", by="ana", now=NOW)
        assert note.number == "NM-CN-2026-000001"
        assert [row.subject for row in audit.rows(lake) if row.what == "credit"] == [note.number]

    killed_at_each_step(issued, tmp_path, act, totals, when)


@pytest.mark.sampled(keep=0, whole=1)
@each_side
def test_an_adjustment_that_dies_is_completed_by_the_next_one(issued: Path, tmp_path: Path, when: str) -> None:
    """Late usage stands on one document."""
    land(issued, requests(7, "2026-10-20T00:00Z", response_bytes=0), "late")

    def act(lake: Lake) -> None:
        late_documents.adjust(lake, "2026-10", "north", prove=lambda *_: [], now=NOW, by="ana")
        assert [row.recorded_by for row in audit.rows(lake) if row.what == "issue"][2:] == ["ana"]

    killed_at_each_step(issued, tmp_path, act, totals, when)


@each_side
def test_payments_that_die_are_recorded_by_the_next_import(issued: Path, tmp_path: Path, when: str) -> None:
    """All of a file or none, and each once."""
    text = f"transaction_id,date,amount,currency,number\nt1,2026-11-20,30,EUR,{ACME}\nt2,2026-11-21,6.33,EUR,{ACME}\n"

    def act(lake: Lake) -> None:
        rows = audit.rows(lake)
        found = payments.matched(payments.read(text), items(stored.rows(lake), rows), rows)
        payments.record(lake, found, by="ann", now=NOW)

    killed_at_each_step(issued, tmp_path, act, lambda lake: [row.subject for row in audit.rows(lake) if row.what == "payment"], when)  # fmt: skip


@each_side
@pytest.mark.parametrize("step", ["propose", "approve"])
def test_an_approval_that_dies_is_recorded_by_the_next_one(
    root: Path, keys: Mapping[str, Path], tmp_path: Path, step: str, when: str
) -> None:
    """A signature is in the trail or not, and once."""
    parts = document()
    parts["legal_entities"][0]["approval"] = approval(keys)
    made = closing.close(Lake(root), book(**parts), "2026-10", "north", prove=lambda *_: [], now=NOW)
    signed = {who: signatures.signed(made.close_id, keys[who]) for who in ("ann", "bob")}
    if step == "approve":
        four_eyes.propose(Lake(root), made, lambda _: signed["ann"], by="ann", now=NOW)

    def act(lake: Lake) -> None:
        if step == "propose":
            four_eyes.propose(lake, made, lambda _: signed["ann"], by="ann", now=NOW)
        else:
            four_eyes.approve(lake, made, lambda _: signed["bob"], by="bob", now=NOW)

    killed_at_each_step(root, tmp_path, act, trail, when)
