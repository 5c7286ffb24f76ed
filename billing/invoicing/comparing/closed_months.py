"""A closed month under other prices: what its bills would be by another catalog, compared with what they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from billing.invoicing import closing, history, rules
from billing.invoicing.closing import Close, Refused
from billing.invoicing.corrections import carried
from billing.invoicing.corrections.carried import Carried
from billing.periods import BillingPeriod, period_between
from billing.rating.bills import drafts_of
from billing.rating.differences import BillDifference, Book, bill_differences
from billing.rating.issued import IssuedDocument
from billing.usage.quota_statement import held_quotas
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog


class Repriced(NamedTuple):
    """The bills that differ, the number of bills that were compared, and why partners cannot be billed."""

    differences: Sequence[BillDifference]
    bills: int
    problems: Mapping[str, Sequence[str]]


class _ClosedPart(NamedTuple):
    """A close, and the number of the invoice that stands for each partner whose month it bills. None: there is none."""

    made: Close
    invoices: Mapping[str, str | None]


def reprice(lake: Lake, label: str, legal_entity: str, catalog: Catalog) -> Repriced:
    """What the bills of a closed month would be by another catalog. Writes nothing.

    Usage, billing periods and late usage of earlier months are those of the closes. Raises Refused if the month is not
    closed, or was closed by earlier rules.
    """
    found: list[BillDifference] = []
    problems: dict[str, Sequence[str]] = {}
    count = 0
    closes = closing.closes_by_id(lake)
    for part in _parts(lake, closes, label, legal_entity):
        warehouse = closing.pinned(lake, part.made)
        late = carried.carried(lake, closes, part.made)
        before = _as_closed(warehouse, part, late)
        after, blocked = _by(warehouse, part, catalog, late)
        count += len({draft.partner.id for book in (before, after) for draft in book.drafts})
        problems |= blocked
        found += [each for each in bill_differences(before, after) if each.partner_id not in blocked]
    return Repriced(sorted(found), count, dict(sorted(problems.items())))


def _parts(lake: Lake, closes: Mapping[str, Close], label: str, legal_entity: str) -> Iterator[_ClosedPart]:
    """The closes that the month was issued from, and the newest one for partners that are not issued yet."""
    newest = closing.newest_close(lake, label, legal_entity)
    if newest is None:
        raise Refused(
            [f"{label} of {legal_entity} is not closed; `tollbook catalog diff` compares months that are open"]
        )
    issued: dict[str, dict[str, str | None]] = {}
    for settled in closing.settled_periods(lake):
        if settled.label == label and closes[settled.close_id].legal_entity == legal_entity:
            issued.setdefault(settled.close_id, {})[settled.partner_id] = settled.number
    done = {partner_id for invoices in issued.values() for partner_id in invoices}
    if left := [partner_id for partner_id in newest.content.get("partners", ()) if partner_id not in done]:
        issued.setdefault(newest.close_id, {}).update(dict.fromkeys(left))
    for close_id, invoices in issued.items():
        made = closes[close_id]
        if made.content.get("rules", 1) != rules.NEWEST:
            message = (
                f"{label} was closed by earlier rules ({close_id}), which price one way only; `tollbook invoice verify --explain` "
                f"shows what the current rules would bill"
            )
            raise Refused([message])
        yield _ClosedPart(made, invoices)


def _as_closed(warehouse: Warehouse, part: _ClosedPart, late: Carried) -> Book:
    """The drafts of a close, as it bills them."""
    made, catalog = part.made, part.made.catalog()
    usage = warehouse.usage_of(catalog)
    periods = [period for period in rules.periods(made.content) if period.partner_id in part.invoices]
    drafts, _ = drafts_of(catalog, periods, usage, history.pinned(warehouse.lake, made.content), late.lines)
    return Book(catalog, drafts)


def _by(
    warehouse: Warehouse, part: _ClosedPart, catalog: Catalog, late: Carried
) -> tuple[Book, dict[str, Sequence[str]]]:
    """The drafts of the same periods by another catalog, and the problems of partners that it cannot bill."""
    grants = warehouse.grants()
    periods: list[BillingPeriod] = []
    before: dict[str, Sequence[IssuedDocument]] = {}
    gone: dict[str, Sequence[str]] = {}
    for closed in rules.periods(part.made.content):
        partner = catalog.partner(closed.partner_id)
        if closed.partner_id not in part.invoices:
            continue
        if partner is None or partner.legal_entity is None:
            gone[closed.partner_id] = [f"partner {closed.partner_id} is not invoiced by the catalog"]
            continue
        period = period_between(catalog, partner, closed.start, closed.end)
        periods.append(period._replace(quotas=held_quotas(catalog, partner, period, grants)))
        before |= history.looked_back(warehouse.lake, [partner], part.invoices[partner.id])
    drafts, blocked = drafts_of(catalog, periods, warehouse.usage_of(catalog), before, late.lines)
    return Book(catalog, drafts), {**blocked, **gone}
