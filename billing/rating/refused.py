"""Refused entries with unknown or invalid credentials.

They may be the usage of a forgotten partner, so a close requires a decision.

Entries are grouped by a hash of the credential with the lake's own key. A close with such groups stores the reason for
accepting them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from billing.periods import billing_period
from billing.rating import drafts, outlines
from billing.rating.drafts import Draft
from billing.usage.warehouse import Meters, Warehouse
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT

_SHOWN = 5
_DIGITS = 12  # of a hash, as shown to users


class RefusedGroup(NamedTuple):
    """The refused entries of one credential at one source.

    `credential` is its hash, or None for entries of versions without hashes.
    """

    source: str
    reason: str  # UNKNOWN_CREDENTIAL or CREDENTIAL_NOT_VALID
    credential: str | None
    entries: int
    first_at: datetime
    last_at: datetime

    @property
    def name(self) -> str:
        """The name shown to users, which `tollbook dead list --credential` accepts."""
        return self.credential[:_DIGITS] if self.credential else "unknown"

    def row(self) -> dict[str, Any]:
        """The group as JSON for the document of a close."""
        return {**self._asdict(), "first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat()}


class Accepted(NamedTuple):
    """The refused groups of a period, and the reason for accepting them. `reason` is None if there is none."""

    groups: Sequence[RefusedGroup]
    reason: str | None

    def problems(self, label: str) -> list[str]:
        """The problem that forbids the close, with its remedy. Empty if there is no group or a reason was given."""
        if not self.groups or self.reason is not None:
            return []
        entries = sum(group.entries for group in self.groups)
        shown = "; ".join(
            f"{g.name} of source {g.source}: {g.entries:,} {g.reason}, {g.first_at:%Y-%m-%d} to {g.last_at:%Y-%m-%d}"
            for g in self.groups[:_SHOWN]
        )
        more = f"; and {len(self.groups) - _SHOWN} more" if len(self.groups) > _SHOWN else ""
        message = (
            f"{label} has {entries:,} refused entries of credentials that are in no catalog, or were not valid, in "
            f"{_groups(len(self.groups))}: {shown}{more}. `tollbook dead list` shows them, with --as PARTNER also what they are worth. Add the "
            f'credentials and run `tollbook dead redrive`, or close with --accept-refused "REASON"'
        )
        return [message]

    def content(self) -> dict[str, Any]:
        """The entry of the close document. Empty if nothing is refused."""
        if not self.groups:
            return {}
        return {"accepted_refused": {"reason": self.reason, "groups": [group.row() for group in self.groups]}}


def groups(
    warehouse: Warehouse,
    since: datetime | None,
    until: datetime | None,
    *,
    source: str | None = None,
    credential: str | None = None,
) -> list[RefusedGroup]:
    """The refused entries with unknown or invalid credentials of requests in [since, until), the most frequent first.

    `credential` is a prefix of the hash. Entries that a redrive has settled are left out.
    """
    params = {"source": source, "credential": credential, "since": since, "until": until}
    return [
        RefusedGroup(
            row["source"], row["reason"], row["credential_hash"], row["entries"], row["first_at"], row["last_at"]
        )
        for row in warehouse.query("refused_credentials", params).to_pylist()
    ]


class ExtraCharge(NamedTuple):
    """The additional charge for one meter of a month. `quantity` is in the meter's unit, before free units."""

    meter: str
    quantity: Decimal
    unit: str
    amount: Decimal
    currency: str


def worth(
    catalog: Catalog, partner: Partner, label: str, now: Meters, more: Meters
) -> tuple[list[ExtraCharge], list[str]]:
    """The charge for the usage in `more` on top of the partner's usage in `now`, and the problems.

    The charge is the difference of two bills of the month `label`, so that free units and tiers apply. Meters without a
    price are left out.
    """
    period = billing_period(catalog, partner, label, None)
    assert period is not None  # nothing is settled here
    outline = outlines.outline(catalog, partner, period)
    if not outline.lines:
        nothing = f"partner {partner.id} has no plan in {label}, so its usage has no price; assign a plan"
        return [], [*outline.problems, nothing]
    spans = outline.spans()
    used, added = now.usage(catalog, spans), more.usage(catalog, spans)
    before, _ = drafts.draft(catalog, outline, used)
    after, problems = drafts.draft(catalog, outline, [EXACT.add(a, b) for a, b in zip(used, added, strict=True)])
    currency = catalog.rate_card(outline.lines[0].plan.rate_card).currency
    metered = [x.rate.meter for x in outline.lines if x.rate.meter]
    once = dict(zip(spans[: len(metered)], added, strict=False))  # two rates of a meter have the same span
    extra: list[ExtraCharge] = []
    for meter in dict.fromkeys(metered):
        counted = sum((n for span, n in once.items() if span.meter == meter), Decimal(0))
        amount = _billed(after, meter) - _billed(before, meter)
        quantity = drafts.in_unit(catalog, meter, counted)
        extra.append(ExtraCharge(meter, quantity, catalog.meter(meter).unit, amount, currency))
    return extra, problems


def _billed(draft: Draft | None, meter: str) -> Decimal:
    lines = draft.lines if draft is not None else ()
    return sum((line.charge.amount for line in lines if line.rate.meter == meter), Decimal(0))


def accepted(
    warehouse: Warehouse, start: datetime, end: datetime, reason: str | None, earlier: Mapping[str, Any] | None
) -> Accepted:
    """The refused groups of a period and the reason for accepting them: `reason`, or else that of the `earlier` close.

    `earlier` is the content of the period's previous close. Its reason applies only if it accepted all of the groups,
    unchanged.
    """
    found = groups(warehouse, start, end)
    before = (earlier or {}).get("accepted_refused")
    if reason is None and before is not None and all(group.row() in before["groups"] for group in found):
        reason = before["reason"]
    return Accepted(found, reason)


def _groups(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"
