"""Refused entries of credentials that nobody has: what a close must not accept in silence, since it may be a forgotten partner's money.

Groups are told apart by a hash of the credential with the lake's own key. A close either has none, or holds who accepted them and why.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from billing.rating import drafts
from billing.rating.drafts import Draft
from billing.rating.periods import billing_period
from billing.usage.warehouse import Meters, Warehouse
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT

_SHOWN = 5
_DIGITS = 12  # of a hash, that people are shown


class Group(NamedTuple):
    """The refused entries of one credential at one source. `credential`: its hash; None: landed before there were hashes."""

    source: str
    reason: str  # UNKNOWN_CREDENTIAL or CREDENTIAL_NOT_VALID
    credential: str | None
    entries: int
    first_at: datetime
    last_at: datetime

    @property
    def name(self) -> str:
        """How it is named to people, and by `tollbook dead list --credential`."""
        return self.credential[:_DIGITS] if self.credential else "unknown"

    def row(self) -> dict[str, Any]:
        """For a document: JSON."""
        return {**self._asdict(), "first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat()}


class Accepted(NamedTuple):
    """What of a period is refused, and why that is right: `reason` is None where nobody has said so, or there is nothing."""

    groups: Sequence[Group]
    reason: str | None

    def problems(self, label: str) -> list[str]:
        """Why the month may not be closed, with the remedy."""
        if not self.groups or self.reason is not None:
            return []
        entries = sum(group.entries for group in self.groups)
        shown = "; ".join(
            f"{g.name} of source {g.source}: {g.entries:,} {g.reason}, {g.first_at:%Y-%m-%d} to {g.last_at:%Y-%m-%d}"
            for g in self.groups[:_SHOWN]
        )
        more = f"; and {len(self.groups) - _SHOWN} more" if len(self.groups) > _SHOWN else ""
        said = (
            f"{label} has {entries:,} refused entries of credentials that are in no catalog, or were not valid, in "
            f"{_groups(len(self.groups))}: {shown}{more}. `tollbook dead list` shows them, with --as PARTNER also what they are worth. Add the "
            f'credentials and run `tollbook dead redrive`, or close with --accept-refused "REASON"'
        )
        return [said]

    def content(self) -> dict[str, Any]:
        """What the close document holds: {} where nothing is refused."""
        if not self.groups:
            return {}
        return {"accepted_refused": {"reason": self.reason, "groups": [group.row() for group in self.groups]}}


def groups(
    house: Warehouse,
    since: datetime | None,
    until: datetime | None,
    *,
    source: str | None = None,
    credential: str | None = None,
) -> list[Group]:
    """The refused entries of unknown or not valid credentials of requests in [since, until), the most frequent first.

    `credential`: how its hash begins. Those that a redrive has settled are not among them.
    """
    asked = {"source": source, "credential": credential, "since": since, "until": until}
    return [
        Group(row["source"], row["reason"], row["credential_hash"], row["entries"], row["first_at"], row["last_at"])
        for row in house.query("refused_credentials", asked).to_pylist()
    ]


class Extra(NamedTuple):
    """What one meter of a month would be billed in addition. `quantity` in the meter's unit, before free units."""

    meter: str
    quantity: Decimal
    unit: str
    amount: Decimal
    currency: str


def worth(catalog: Catalog, partner: Partner, label: str, now: Meters, more: Meters) -> tuple[list[Extra], list[str]]:
    """What the usage in `more` would be billed in the month `label` if it were the partner's, beside what there is `now`; and problems.

    The difference of two bills, so that free units and tiers are what they would be. Meters without a price are left out.
    """
    period = billing_period(catalog, partner, label, None)
    assert period is not None  # nothing is settled here
    asked = drafts.outline(catalog, partner, period)
    if not asked.lines:
        nothing = f"partner {partner.id} has no plan in {label}, so its usage has no price; assign one"
        return [], [*asked.problems, nothing]
    spans = asked.spans()
    used, added = now.counted(catalog, spans), more.counted(catalog, spans)
    before, _ = drafts.draft(catalog, asked, used)
    after, problems = drafts.draft(catalog, asked, [EXACT.add(a, b) for a, b in zip(used, added, strict=True)])
    currency = catalog.rate_card(asked.lines[0].plan.rate_card).currency
    metered = [x.rate.meter for x in asked.lines if x.rate.meter]
    once = dict(zip(spans[: len(metered)], added, strict=False))  # two rates of a meter have the same span
    extra: list[Extra] = []
    for meter in dict.fromkeys(metered):
        counted = sum((n for span, n in once.items() if span.meter == meter), Decimal(0))
        amount = _billed(after, meter) - _billed(before, meter)
        quantity = drafts.in_unit(catalog, meter, counted)
        extra.append(Extra(meter, quantity, catalog.meter(meter).unit, amount, currency))
    return extra, problems


def _billed(draft: Draft | None, meter: str) -> Decimal:
    lines = draft.lines if draft is not None else ()
    return sum((line.charge.amount for line in lines if line.rate.meter == meter), Decimal(0))


def accepted(
    house: Warehouse, start: datetime, end: datetime, reason: str | None, earlier: Mapping[str, Any] | None
) -> Accepted:
    """The refused entries of a period, and why they may be: the `reason` that is given, else that of the period's `earlier` close.

    `earlier`: content of that close. Its reason holds as long as nothing came to what was accepted then.
    """
    found = groups(house, start, end)
    before = (earlier or {}).get("accepted_refused")
    if reason is None and before is not None and all(group.row() in before["groups"] for group in found):
        reason = before["reason"]
    return Accepted(found, reason)


def _groups(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"
