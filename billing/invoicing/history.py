"""The documents that were issued to each partner, and how a close pins those on which it rests.

A close names them by number and hash, not by the version of table `invoices`, because an invoice of another partner
must not change it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from billing.rating.issued import Before, IssuedDocument
from billing.usage.warehouse import Warehouse
from lake.errors import Damaged
from lake.lake import Lake
from schemas.tables import INVOICES

RESTS_ON = "rests_on"  # the key in the content of a close


def history(lake: Lake, partners: Collection[str] | None = None) -> Mapping[str, Sequence[IssuedDocument]]:
    """All issued documents by partner id, ordered by series and number. `partners`: only of these."""
    found: dict[str, list[IssuedDocument]] = {}
    if partners is not None and not partners:
        return found
    rows = Warehouse(lake, only=[INVOICES.name]).query("invoices")
    for row in rows.select(IssuedDocument._fields).to_pylist():
        if partners is None or row["partner_id"] in partners:
            found.setdefault(row["partner_id"], []).append(IssuedDocument(**row))
    return found


def pins(before: Before) -> dict[str, list[dict[str, str]]]:
    """The documents as a close names them, by partner id."""
    return {
        partner_id: [{"number": issued.number, "json_sha256": issued.json_sha256} for issued in documents]
        for partner_id, documents in sorted(before.items())
        if documents
    }


def pinned(lake: Lake, content: Mapping[str, Any]) -> Before:
    """The documents on which a close rests. Raises Damaged if one is missing or was changed."""
    named = content.get(RESTS_ON, {})
    there = {issued.number: issued for documents in history(lake, named.keys()).values() for issued in documents}
    for partner_id, documents in named.items():
        for pin in documents:
            issued = there.get(pin["number"])
            if issued is None or issued.json_sha256 != pin["json_sha256"]:
                raise Damaged(
                    f"partner {partner_id}: {pin['number']}, on which a close rests, is missing or was changed; restore table invoices from a backup"
                )
    return {partner_id: [there[pin["number"]] for pin in documents] for partner_id, documents in named.items()}
