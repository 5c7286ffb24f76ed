"""`tollbook quota state`: what gateways are told about each credential."""

import logging
from typing import Annotated

from cyclopts import Parameter

from aggregate.decisions import messages
from aggregate.decisions.rule import Decision, DecisionPolicy
from lake.lake import Lake
from schemas.money import plain
from tollbook.cli.figures import instant
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, the_clock
from tollbook.cli.terminal import out, sentence, show_json, table
from tollbook.deciding.follower import Follower
from tollbook.deciding.states import decisions

PartnerOption = Annotated[str | None, Parameter("--partner", help="Only the credentials of this partner.")]
DeniedOption = Annotated[bool, Parameter("--denied", negative="", help="Only the credentials that are denied.")]


def state(
    *,
    lake: LakeOption,
    catalog: CatalogOption,
    partner: PartnerOption = None,
    denied: DeniedOption = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Show what `tollbook decide` answers gateways about each credential: allow or deny, why, used, limit, until when.

    Example: tollbook quota state --lake demo/lake --catalog examples/catalog
    """
    clock = the_clock(now)
    follower = Follower(Lake(lake), catalog, clock=clock, log=logging.getLogger("tollbook"))
    found = [
        decided
        for decided in decisions(follower.view, clock(), DecisionPolicy())
        if partner in {None, decided.partner_id} and not (denied and decided.allows)
    ]
    if json:
        show_json({"decisions": [messages.document(decided) for decided in found]})
    elif not found:
        sentence("No credential matches.")
    else:
        _table(found)
    return 0


def _table(found: list[Decision]) -> None:
    view = table(
        "Decisions (times in UTC)", "credential", "partner", "decision", "reason", ">used", ">limit", "of", "until"
    )
    for decided in found:
        shown = decided.shown
        view.row(
            decided.credential, decided.partner_id or "", messages.word(decided), decided.reason or "",
            "" if shown is None else plain(shown.used), "" if shown is None else plain(shown.limit),
            "" if shown is None else f"{shown.meter or 'budget'}, {shown.period}",
            "" if shown is None else instant(shown.resets_at),
        )  # fmt: skip
    out.print(view)
