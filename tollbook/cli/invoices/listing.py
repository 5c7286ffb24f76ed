"""`tollbook invoice list`: the issued invoices, one per line."""

from typing import Annotated, Any

from cyclopts import Parameter

from billing.invoicing import issuing
from billing.invoicing.document import money
from billing.invoicing.issuing import Issued
from billing.periods import month
from lake.lake import Lake
from tollbook.cli.invoices.screens import amount
from tollbook.cli.options import JsonOption, LakeOption
from tollbook.cli.terminal import out, sentence, show_json, table


def list_(
    *,
    lake: LakeOption,
    period: Annotated[str | None, Parameter("--period", help="Only this billing month, YYYY-MM.")] = None,
    partner: Annotated[str | None, Parameter("--partner", help="Only invoices of this partner.")] = None,
    json: JsonOption = False,
) -> int:
    """List the issued invoices by number, with partner, period, total, currency and issue date.

    Example: tollbook invoice list --lake demo/lake --period 2026-10
    """
    if period is not None:
        month(period, "UTC")  # raises BadPeriod
    found = [each for each in issuing.listed(Lake(lake), period) if partner in {None, each.partner_id}]
    if json:
        show_json([_row(each) for each in found])
        return 0
    if not found:
        filters = ("" if period is None else f" for {period}") + ("" if partner is None else f" to {partner}")
        sentence(f"No invoice was issued{filters}.")
        return 0
    view = table(None, "number", "partner", "period", ">total", "currency", "issued on")
    for each in found:
        view.row(
            each.number,
            each.partner_id,
            each.period,
            amount(each.total, each.currency),
            each.currency,
            each.document["issued_on"],
        )
    out.print(view)
    return 0


def _row(found: Issued) -> dict[str, Any]:
    return {
        "number": found.number,
        "partner_id": found.partner_id,
        "period": found.period,
        "total": money(found.total, found.currency),
        "currency": found.currency,
        "issued_on": found.document["issued_on"],
    }
