"""The documents that were issued to each partner, and how a close pins those on which it rests.

A close names them by number and hash, not by the version of table `invoices`, because an invoice of another partner
must not change it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from billing.rating.issued import Before, IssuedDocument
from billing.usage.warehouse import Warehouse
from lake.errors import Damaged
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
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


def looked_back(lake: Lake, partners: Iterable[Partner], voiding: str | None = None) -> Before:
    """The documents on which the bills of partners rest: all of a partner whose contract looks back.

    A document that the bill itself voids, and credit notes on it, are none of them.
    """
    found = history(lake, {partner.id for partner in partners if partner.looks_back})
    if voiding is None:
        return found
    return {partner_id: [each for each in some if not _concerns(each, voiding)] for partner_id, some in found.items()}


def _concerns(issued: IssuedDocument, number: str) -> bool:
    return number in {issued.number, (issued.content.get("refers_to") or {}).get("number")}


def pins(before: Before, partners: Collection[str]) -> dict[str, Any]:
    """The documents of these partners, as the content of a close names them. Nothing if there are none."""
    named = {
        partner_id: [{"number": issued.number, "json_sha256": issued.json_sha256} for issued in before[partner_id]]
        for partner_id in sorted(before.keys() & partners)
    }
    return {RESTS_ON: named} if named else {}


def outdated(lake: Lake, content: Mapping[str, Any], catalog: Catalog, voiding: str | None = None) -> list[str]:
    """A problem for each partner to whom a document was issued since the close that it would have rested on."""
    partners = [catalog.known_partner(partner_id) for partner_id in content["partners"]]
    now = pins(looked_back(lake, partners, voiding), content["partners"].keys()).get(RESTS_ON, {})
    then = content.get(RESTS_ON, {})
    return [
        f"partner {partner_id}: its contract looks back on earlier documents, and {_changed(then, now, partner_id)} since the close; close again"
        for partner_id in sorted(then.keys() | now.keys())
        if then.get(partner_id) != now.get(partner_id)
    ]


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], partner_id: str) -> str:
    known = {pin["number"] for pin in then.get(partner_id, ())}
    new = [pin["number"] for pin in now.get(partner_id, ()) if pin["number"] not in known]
    return f"{', '.join(new)} was issued" if new else "they changed"


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
