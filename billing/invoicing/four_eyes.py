"""Proposals and approvals of closes, for legal entities that ask for them (`approval` in the catalog of the close)."""

from collections.abc import Callable, Sequence
from datetime import datetime

from billing.invoicing import closes, stored
from billing.invoicing.closes import Close, Refused
from billing.receivables import approvals, audit
from billing.receivables.approvals import ApprovalStanding
from billing.receivables.audit import AuditEntry, AuditRow
from billing.receivables.signatures import NoSignature, is_signed
from lake.lake import Lake
from schemas.catalog.approval import Approval, Principal

Sign = Callable[[str], str]


def refusals(lake: Lake, made: Close) -> list[str]:
    """Why a close may not be issued yet. Empty if its legal entity asks for no approval."""
    approval = asked_for(made)
    if approval is None:
        return []
    rows = audit.rows(lake)
    try:
        found = approvals.standing(approval, made.close_id, rows)
    except NoSignature as exc:
        return [str(exc)]
    superseded = "" if found.proposed_by else _superseded(lake, made, rows)
    return [problem + superseded for problem in approvals.missing(made.close_id, found)]


def require(lake: Lake, made: Close, then: str) -> None:
    """Raises Refused if a close may not be issued yet. `then` is what to do when it may."""
    if problems := refusals(lake, made):
        raise Refused([f"{problem}; then {then}" for problem in problems])


def _superseded(lake: Lake, made: Close, rows: Sequence[AuditRow]) -> str:
    """What was proposed of the same month before: whoever signed that wonders why it does not count."""
    proposed = {row.subject: row.recorded_by for row in rows if row.what == "propose"}
    issued = {row["close_id"] for row in stored.rows(lake)}
    month = made.period, made.legal_entity
    earlier = [c.close_id for c in closes.all_closes(lake) if (c.period, c.legal_entity) == month]
    waiting = [name for name in earlier if name in proposed and name not in issued | {made.close_id}]
    if not waiting:
        return ""
    return f" (it superseded {waiting[-1]}, which {proposed[waiting[-1]]} proposed; a signature counts for one close)"


def propose(lake: Lake, made: Close, sign: Sign, *, by: str, now: datetime) -> tuple[ApprovalStanding, bool]:
    """Propose a close for issue. Returns its standing, and whether the proposal is new. Raises Refused."""
    approval, person = _person(made, by)
    found = _standing(lake, approval, made)
    if found.proposed_by == person.id:
        return found, False
    if found.proposed_by is not None:
        problem = f"close {made.close_id} is proposed by {found.proposed_by} already"
        raise Refused([f"{problem}; approve it by `tollbook invoice approve`"])
    return _recorded(lake, "propose", approval, made, person, sign, now)


def approve(lake: Lake, made: Close, sign: Sign, *, by: str, now: datetime) -> tuple[ApprovalStanding, bool]:
    """Approve a proposed close. Returns its standing, and whether the approval is new. Raises Refused."""
    approval, person = _person(made, by)
    found = _standing(lake, approval, made)
    if person.id in found.approved_by:
        return found, False
    if found.proposed_by == person.id:
        raise Refused(
            [f"{person.id} proposed close {made.close_id} and cannot approve it; one of {', '.join(found.others)} can"]
        )
    if found.proposed_by is None:
        raise Refused(approvals.missing(made.close_id, found))
    return _recorded(lake, "approve", approval, made, person, sign, now)


def asked_for(made: Close) -> Approval | None:
    """What the legal entity of a close asks for."""
    return made.catalog().legal_entity(made.legal_entity).approval


def _person(made: Close, by: str) -> tuple[Approval, Principal]:
    approval = asked_for(made)
    if approval is None:
        problem = (
            f"legal entity {made.legal_entity} asks for no approval in the catalog of close {made.close_id}; issue it"
        )
        raise Refused([f"{problem}, or give the entity an `approval` and close again"])
    person = approval.principal(by)
    if person is None:
        known = ", ".join(each.id for each in approval.principals)
        raise Refused([f"{by!r} is no principal of legal entity {made.legal_entity}; name one of {known} with --by"])
    return approval, person


def _standing(lake: Lake, approval: Approval, made: Close) -> ApprovalStanding:
    try:
        return approvals.standing(approval, made.close_id, audit.rows(lake))
    except NoSignature as exc:
        raise Refused([str(exc)]) from exc


def _recorded(
    lake: Lake, what: str, approval: Approval, made: Close, person: Principal, sign: Sign, now: datetime
) -> tuple[ApprovalStanding, bool]:
    """Record a signature after it was verified. Of two proposals at once, the first counts."""
    try:
        signature = sign(made.close_id)
        if not is_signed(made.close_id, signature, person):
            problem = f"the signature over {made.close_id} is not by a key of {person.id} in the catalog of the close"
            raise Refused([f"{problem}; sign with that key, or name the signer with --by"])
    except NoSignature as exc:
        raise Refused([str(exc)]) from exc
    audit.record(lake, [AuditEntry(what, made.close_id, {"signature": signature})], by=person.id, now=now)
    found = _standing(lake, approval, made)
    if person.id not in {found.proposed_by, *found.approved_by}:
        raise Refused(
            [f"close {made.close_id} was proposed by {found.proposed_by} at the same time; approve it instead"]
        )
    return found, True
