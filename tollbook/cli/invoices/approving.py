"""`tollbook invoice propose|approve`: four eyes, by signatures with SSH keys over the id of a close."""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from billing.invoicing import four_eyes
from billing.invoicing.closing import Close
from billing.receivables import signatures
from billing.receivables.approvals import ApprovalStanding
from lake.lake import Lake
from tollbook.cli.errors import WrongUse
from tollbook.cli.grants import ByOption
from tollbook.cli.invoices.commands import EntityOption, only_close
from tollbook.cli.options import JsonOption, LakeOption, NowOption, PeriodOption, the_time
from tollbook.cli.terminal import sentence, show_json

_SIGNATURE_BYTES_MAX = 16_384
KeyOption = Annotated[
    Path | None,
    Parameter("--key", help="Your SSH private key, or the public key of one that your agent holds. ssh-keygen signs."),
]
SignatureOption = Annotated[
    Path | None,
    Parameter("--signature", help="A signature that you made elsewhere, by `ssh-keygen -Y sign -n tollbook`."),
]


def propose(
    *,
    lake: LakeOption,
    period: PeriodOption,
    legal_entity: EntityOption = None,
    key: KeyOption = None,
    signature: SignatureOption = None,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Propose the newest close of a month for issue, signed with your SSH key. Others approve it.

    For legal entities whose catalog has an `approval`. Proposing again changes nothing.

    Example: tollbook invoice propose --lake demo/lake --period 2026-10 --by ann --key ~/.ssh/id_ed25519
    """
    opened, sign = Lake(lake), _signing(key, signature)
    made = only_close(opened, period, legal_entity)
    found, is_new = four_eyes.propose(opened, made, sign, by=by or getpass.getuser(), now=the_time(now))
    return _shown(made, found, is_new=is_new, json=json)


def approve(
    *,
    lake: LakeOption,
    period: PeriodOption,
    legal_entity: EntityOption = None,
    key: KeyOption = None,
    signature: SignatureOption = None,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Approve a month that somebody else has proposed, signed with your SSH key. Then it can be issued.

    Look at it first: `tollbook invoice list --state draft`. The proposer cannot approve.

    Example: tollbook invoice approve --lake demo/lake --period 2026-10 --by bob --key ~/.ssh/id_ed25519
    """
    opened, sign = Lake(lake), _signing(key, signature)
    made = only_close(opened, period, legal_entity)
    found, is_new = four_eyes.approve(opened, made, sign, by=by or getpass.getuser(), now=the_time(now))
    return _shown(made, found, is_new=is_new, json=json)


def _signing(key: Path | None, signature: Path | None) -> Callable[[str], str]:
    if (key is None) == (signature is None):
        raise WrongUse("give either --key, to sign now, or --signature, with a signature that you made")
    if key is not None:
        chosen = key.expanduser()
        return lambda close_id: signatures.signed(close_id, chosen)
    assert signature is not None
    with signature.expanduser().open("rb") as file:
        text = file.read(_SIGNATURE_BYTES_MAX).decode("ascii", errors="replace")
    return lambda _: text


def _shown(made: Close, found: ApprovalStanding, *, is_new: bool, json: bool) -> int:
    if json:
        show_json(
            {
                "close_id": made.close_id, "period": made.period, "legal_entity": made.legal_entity, "proposed_by": found.proposed_by,
                "approved_by": found.approved_by, "required": found.required, "approved": found.is_approved, "new": is_new,
            }
        )  # fmt: skip
        return 0
    again = "" if is_new else " It was recorded before; nothing changed."
    left = found.required - len(found.approved_by)
    approved = f", approved by {', '.join(found.approved_by)}" if found.approved_by else ""
    then = "It can be issued." if found.is_approved else f"It needs {left} more of: {', '.join(found.others)}."
    sentence(
        (made.period, "bold"),
        f" of {made.legal_entity} (close {made.close_id}) is proposed by {found.proposed_by}{approved}. {then}{again}",
    )
    return 0
