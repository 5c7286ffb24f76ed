"""What was issued to whom, and that a close which rests on it notices every change."""

import json
from pathlib import Path

import pytest

from billing.invoicing import history, issuing
from lake.errors import Damaged
from lake.lake import Lake

pytestmark = pytest.mark.integration


def test_issued_documents_are_found_by_partner(issued: Path) -> None:
    """With what later bills need of them: the total, and the document itself."""
    found = history.history(Lake(issued))
    listed = issuing.listed(Lake(issued))
    assert {one.number: (one.partner_id, one.total) for some in found.values() for one in some} == {
        one.number: (one.partner_id, one.total) for one in listed
    }
    (acme,) = found["acme"]
    assert acme.content == json.loads(acme.document)
    assert acme.kind == "invoice"
    assert acme.without() == acme.total
    assert history.history(Lake(issued), {"zeta"}).keys() == {"zeta"}
    assert history.history(Lake(issued), set()) == {}


def test_a_close_finds_the_documents_that_it_names(issued: Path) -> None:
    """By number and hash. A document with another hash is not the one on which the close rests."""
    before = history.history(Lake(issued))
    content = {history.RESTS_ON: history.pins(before)}
    assert history.pinned(Lake(issued), content) == before
    assert history.pinned(Lake(issued), {}) == {}
    content[history.RESTS_ON]["acme"][0]["json_sha256"] = "0" * 64
    with pytest.raises(Damaged, match=r"partner acme: NM-2026-000001, .*restore table invoices"):
        history.pinned(Lake(issued), content)
