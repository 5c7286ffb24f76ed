"""What an edit of the catalog does to the bills of a month that is not settled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from billing.invoicing import closing
from billing.rating.bills import Bills
from billing.rating.differences import BillDifference, Book, bill_differences
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog


class EditEffect(NamedTuple):
    """The bills that an edit changes, and the problems that it causes and solves, by partner id.

    A partner that one of the catalogs cannot bill has no difference, but a problem. `bills` is the number of bills by
    either catalog.
    """

    differences: Sequence[BillDifference]
    bills: int
    caused: Mapping[str, Sequence[str]]
    solved: Mapping[str, Sequence[str]]


def effect(lake: Lake, label: str, before: Catalog, after: Catalog) -> EditEffect:
    """What replacing one catalog by another does to the drafts of a month, by the usage so far. Raises BadPeriod.

    Both are priced as `invoice rate` prices them. Partners whose month is settled, and those with a problem, have no
    draft.
    """
    warehouse = Warehouse(lake)
    old, new = (closing.bills_of(warehouse, book, book.payers(), label, lake) for book in (before, after))
    found = bill_differences(Book(before, old.drafts), Book(after, new.drafts))
    compared = [bill for bill in found if bill.partner_id not in {*old.blocked, *new.blocked}]
    partners = {draft.partner.id for outcome in (old, new) for draft in outcome.drafts}
    return EditEffect(compared, len(partners), _only(new, old), _only(old, new))


def _only(one: Bills, other: Bills) -> dict[str, list[str]]:
    """The problems of one that the other does not have."""
    found = {
        partner_id: [problem for problem in problems if problem not in other.blocked.get(partner_id, ())]
        for partner_id, problems in sorted(one.blocked.items())
    }
    return {partner_id: problems for partner_id, problems in found.items() if problems}
