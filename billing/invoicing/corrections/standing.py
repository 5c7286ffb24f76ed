"""Which usage of a settled period stands on issued documents: from which close to which. Pure.

A period is billed up to the table versions of its close. An adjustment bills what came between two closes. Every
adjustment names both, so the usage between its closes stands on exactly one document, and is due again if that document
is voided.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from billing.invoicing.closes import Close, pinned_versions
from billing.rating.settled import SettledPeriod
from schemas.tables import ROLLUPS

ADJUSTMENTS = "adjustments"  # the key in the content of a close


class Adjusted(NamedTuple):
    """The adjustment of a settled period, as the close of the adjusting document stores it.

    It bills the usage of the period that is at the table versions of close `until`, and not at those of `since`. The
    document's own close is `until` if that is None. `close_id` settled the period, and `number` is its invoice, or None
    if there was nothing to pay. `form` is `lines` of the partner's invoice, or a `document` of its own.
    """

    close_id: str
    since: str
    until: str | None
    number: str | None
    period: str
    form: str

    def as_json(self) -> dict[str, Any]:
        """The adjustment as a close stores it."""
        stored = {"close_id": self.close_id, "since": self.since, "number": self.number, "period": self.period}
        return {**stored, "as": self.form, **({} if self.until is None else {"until": self.until})}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Adjusted":
        """The adjustment that a close stored."""
        return cls(
            stored["close_id"],
            stored["since"],
            stored.get("until"),
            stored["number"],
            stored["period"],
            stored["as"],
        )


class Gap(NamedTuple):
    """Usage of a settled period that stands on no document: what came between two closes. `until` None: until now."""

    since: str
    until: str | None


def adjustments_of(made: Close) -> dict[str, list[Adjusted]]:
    """The adjustments of a close, by partner id."""
    if f'"{ADJUSTMENTS}":' not in made.document:  # most have none, and their documents are large
        return {}
    stored = made.content.get(ADJUSTMENTS, {})
    return {partner_id: [Adjusted.from_json(each) for each in some] for partner_id, some in stored.items()}


class StandingUsage:
    """What stands on the issued documents of a lake."""

    def __init__(
        self,
        closes: Mapping[str, Close],
        periods: Iterable[SettledPeriod],
        rows: Iterable[Mapping[str, Any]],
    ) -> None:
        """`periods` are all settled periods, and `rows` are all issued documents (billing/sql/invoices.sql)."""
        self._closes = closes
        self._versions: dict[str, int] = {}
        settled = {(period.partner_id, period.close_id) for period in periods}
        own = {
            (row["partner_id"], row["close_id"], row["period"])
            for row in rows
            if row["kind"] != "invoice" and row["correction_id"] is None and not row["is_voided"]
        }
        self._billed: dict[tuple[str, str], list[tuple[str, str]]] = {}  # partner and close → from and until
        for made in closes.values():
            for partner_id, some in adjustments_of(made).items():
                for each in some:
                    stands = (
                        (partner_id, made.close_id) in settled
                        if each.form == "lines"
                        else (partner_id, made.close_id, each.period) in own
                    )
                    if stands:
                        bounds = each.since, each.until or made.close_id
                        self._billed.setdefault((partner_id, each.close_id), []).append(bounds)

    def version(self, close_id: str) -> int:
        """The version of table `rollups` that a close pins, which grows with each close."""
        if close_id not in self._versions:
            self._versions[close_id] = pinned_versions(self._closes[close_id])[ROLLUPS.name]
        return self._versions[close_id]

    def gaps(self, period: SettledPeriod) -> list[Gap]:
        """The usage of a settled period that stands on no document, in order. The last gap is open."""
        found: list[Gap] = []
        reached = period.close_id
        billed: Sequence[tuple[str, str]] = self._billed.get((period.partner_id, period.close_id), ())
        for since, until in sorted(billed, key=lambda bounds: self.version(bounds[0])):
            if since != reached and self.version(since) > self.version(reached):
                found.append(Gap(reached, since))
            reached = until
        return [*found, Gap(reached, None)]

    def due(self, periods: Iterable[SettledPeriod]) -> dict[tuple[str, Gap], list[SettledPeriod]]:
        """The settled periods by their close and by what may be missing of them."""
        found: dict[tuple[str, Gap], list[SettledPeriod]] = {}
        for period in periods:
            for gap in self.gaps(period):
                found.setdefault((period.close_id, gap), []).append(period)
        return found
