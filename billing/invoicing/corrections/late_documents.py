"""Bills late usage of a settled month at once, as documents of their own, for partners without a next invoice."""

from datetime import datetime

from billing.invoicing import closing, four_eyes, issuing, stored
from billing.invoicing.closing import Prove
from billing.invoicing.issuing import Issued
from billing.receivables import audit
from lake.lake import Lake


def adjust(
    lake: Lake, label: str, legal_entity: str, *, prove: Prove, now: datetime, by: str = audit.UNNAMED
) -> list[Issued]:
    """The new documents; none if no late usage is due. The same command again changes nothing.

    It completes the files and the trail of an adjustment that was killed after its commit. Raises Refused, also if an
    approval of its close is missing, and lake.errors.Fenced.
    """
    _complete(lake, label, legal_entity, now, by)
    made = closing.close_late_usage(lake, label, legal_entity, prove=prove, now=now)
    if made is None:
        return []
    four_eyes.require(lake, made, f"repeat `tollbook invoice adjust --period {label}`")
    issuing.issue(lake, made, now=now, by=by)
    return [each for each in issuing.listed(lake) if each.close_id == made.close_id]


def _complete(lake: Lake, label: str, legal_entity: str, now: datetime, by: str) -> None:
    """Write what is missing of earlier adjustments of the month: an issue of an issued close does only that."""
    own = {row["close_id"] for row in stored.rows(lake) if row["kind"] != "invoice" and row["correction_id"] is None}
    closes = closing.all_closes(lake)
    for made in closes:
        if made.close_id in own and (made.period, made.legal_entity) == (label, legal_entity):
            issuing.issue(lake, made, now=now, by=by)
