"""`tollbook invoice verify|unbilled`: whether invoices still give the same bytes, and what is in none of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from billing.catalog import loading as catalogs
from billing.invoicing import issuing
from billing.invoicing.comparing import earlier_rules
from billing.invoicing.unbilled import Unbilled
from billing.invoicing.unbilled import unbilled as unbilled_usage
from billing.receivables import audit
from lake.lake import Lake
from schemas.money import money, plain
from tollbook.cli.errors import REFUSED, UNBILLED
from tollbook.cli.invoices import screens
from tollbook.cli.options import CATALOG_VARIABLE, JsonOption, LakeOption, folder_path
from tollbook.cli.progress import counter
from tollbook.cli.terminal import complain, shortened, show_json

ExplainOption = Annotated[
    bool,
    Parameter(
        "--explain",
        negative="",
        help="Only show what the current rules would bill for invoices that were issued under earlier rules.",
    ),
]
NewestCatalogOption = Annotated[
    Path | None,
    Parameter(
        "--catalog",
        env_var=CATALOG_VARIABLE,
        converter=folder_path,
        help="Current catalog, for partners that no close contains. By default, the catalog of the newest close.",
    ),
]
# The remedy for each kind of usage that is in no issued invoice.
_REMEDIES = {
    "late": "arrived after its month was settled; the partner's next invoice bills it, or `tollbook invoice adjust --period …` now",
    "not_issued": "belongs to partners whose month was not issued; run `tollbook invoice issue --catalog …` to issue it",
    "unknown": "belongs to partners that are not in the catalog; give the current catalog with --catalog, or add the partners again",
}


def verify(
    *, lake: LakeOption, catalog: NewestCatalogOption = None, explain: ExplainOption = False, json: JsonOption = False
) -> int:
    """Rate and render every issued invoice again from its close, and compare the bytes.

    Checks the chain of the audit trail, and lists usage that is in no issued invoice.

    The exit code is 1 if a byte differs, a document is missing or the audit trail was changed, otherwise 3 if usage of
    settled months is in no invoice.

    Example: tollbook invoice verify --lake demo/lake
    """
    opened = Lake(lake)
    if explain:
        return _explained(opened, json=json)
    with counter("invoices", quiet=json) as progress:
        checked = issuing.verify(opened, progress)
    late = issuing.late_usage(opened)
    left = unbilled_usage(opened, None if catalog is None else catalogs.load(catalog))
    trail = audit.problems(audit.rows(opened))
    problems = [*(p for c in checked for p in c.problems), *trail]
    if json:
        invoices = [c._asdict() for c in checked]
        show_json(
            {
                "ok": not problems,
                "invoices": invoices,
                "audit": trail,
                "late_usage": late,
                "unbilled": list(map(_unbilled_row, left)),
            }
        )
    else:
        screens.verified(checked, late)
        screens.unbilled(left)
    for problem in problems:
        complain(problem)
    return REFUSED if problems else _complain_of_unbilled(left)


def unbilled(*, lake: LakeOption, catalog: NewestCatalogOption = None, json: JsonOption = False) -> int:
    """List all usage of settled months that is in no issued invoice, with its amount at the prices of its close.

    Such usage arrived after its month was settled, or the partner's month was not issued, or the partner is in no
    catalog. The exit code is 3 if there is any.

    Example: tollbook invoice unbilled --catalog examples/catalog --lake demo/lake
    """
    left = unbilled_usage(Lake(lake), None if catalog is None else catalogs.load(catalog))
    if json:
        show_json({"unbilled": list(map(_unbilled_row, left))})
    else:
        screens.unbilled(left, nothing="All usage of settled months is in issued invoices.")
    return _complain_of_unbilled(left)


def _complain_of_unbilled(left: Sequence[Unbilled]) -> int:
    """Print the remedies, and return the exit code."""
    for kind, remedy in _REMEDIES.items():
        if partners := sorted({row.partner_id for row in left if row.kind == kind}):
            complain(f"unbilled usage of {shortened(', '.join(partners))} {remedy}")
    return UNBILLED if left else 0


def _explained(lake: Lake, *, json: bool) -> int:
    """Show what the current rules would bill for invoices of earlier rules. Changes nothing."""
    found = earlier_rules.explained(lake)
    if json:
        rows = [
            {
                **e._asdict(),
                "issued": money(e.issued, e.currency),
                "would_be": None if e.would_be is None else money(e.would_be, e.currency),
            }
            for e in found
        ]
        show_json({"invoices": rows})
    else:
        screens.explained(found)
    return 0


def _unbilled_row(found: Unbilled) -> dict[str, Any]:
    amount = None if found.amount is None or found.currency is None else money(found.amount, found.currency)
    return {**found._asdict(), "quantity": plain(found.quantity), "amount": amount}
