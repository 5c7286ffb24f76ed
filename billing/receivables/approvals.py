"""Four eyes: one person proposes a close, others approve it, each by a signature over the close id.

The rows of table `audit` hold the signatures. They count only if they verify by the keys in the catalog of the close,
so a row that somebody else wrote approves nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from billing.receivables.audit import AuditRow
from billing.receivables.signatures import is_signed
from schemas.catalog.approval import Approval, Principal

IsSigned = Callable[[str, str, Principal], bool]


class ApprovalStanding(NamedTuple):
    """How far the approval of a close is. `approved_by` is without the proposer."""

    required: int
    proposed_by: str | None
    approved_by: tuple[str, ...]
    unverified: tuple[str, ...]  # people whose row holds no valid signature of theirs
    others: tuple[str, ...]  # who could approve

    @property
    def is_approved(self) -> bool:
        """Whether it may be issued."""
        return self.proposed_by is not None and len(self.approved_by) >= self.required


def standing(
    approval: Approval, close_id: str, rows: Sequence[AuditRow], is_valid: IsSigned = is_signed
) -> ApprovalStanding:
    """How far the approval of a close is, by the rows of table `audit`. Raises NoSignature."""
    proposed_by = None
    approved: list[str] = []
    unverified = []
    for row in rows:
        if row.subject != close_id or row.what not in {"propose", "approve"}:
            continue
        person = approval.principal(row.recorded_by)
        if person is None or not is_valid(close_id, str(row.content.get("signature", "")), person):
            unverified.append(row.recorded_by)
        elif row.what == "propose":
            proposed_by = proposed_by or person.id
        elif person.id not in approved:
            approved.append(person.id)
    approved = [name for name in approved if name != proposed_by]  # also of who approved first, and proposed then
    others = [person.id for person in approval.principals if person.id != proposed_by and person.id not in approved]
    return ApprovalStanding(approval.required, proposed_by, tuple(approved), tuple(unverified), tuple(others))


def missing(close_id: str, found: ApprovalStanding) -> list[str]:
    """Why a close may not be issued, with the remedy. Empty if it may."""
    forged = [
        f"close {close_id}: the record of {who} holds no valid signature of {who}, so it does not count"
        for who in found.unverified
    ]
    people = ", ".join(found.others)
    if found.is_approved:
        return []
    if found.proposed_by is None:
        return [*forged, f"close {close_id} is not proposed; one of {people} runs `tollbook invoice propose`"]
    left = found.required - len(found.approved_by)
    needed = f"{left} more approval{'' if left == 1 else 's'}; one of {people} runs `tollbook invoice approve`"
    return [*forged, f"close {close_id}, proposed by {found.proposed_by}, needs {needed}"]
