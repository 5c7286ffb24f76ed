"""Adjustments in a close and on its documents: which are due, on which document each stands, and what it shows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from billing.invoicing import document, render, stored
from billing.invoicing.closes import Close, Refused, pinned_versions
from billing.invoicing.corrections import adjusting
from billing.invoicing.corrections.adjusting import PinnedLakes, PricedAdjustment
from billing.invoicing.corrections.standing import ADJUSTMENTS, Adjusted, Gap, StandingUsage, adjustments_of
from billing.invoicing.stored import Staged
from billing.periods import local_day, month
from billing.rating.bills import Bills
from billing.rating.drafts import Draft
from billing.rating.extras import Extra
from billing.rating.settled import SettledPeriod
from lake.lake import Lake, Table
from schemas.tables import ROLLUPS
from schemas.texts.wording import wording


class EarlierBooks(NamedTuple):
    """What was closed, settled and issued before."""

    closes: Mapping[str, Close]
    periods: Sequence[SettledPeriod]
    rows: Sequence[Mapping[str, Any]]

    @property
    def standing(self) -> StandingUsage:
        """The usage that stands on the documents."""
        return StandingUsage(self.closes, self.periods, self.rows)


class OwnDocument(NamedTuple):
    """An adjustment that is a document of its own: its partner and its draft."""

    partner_id: str
    adjusted: Adjusted
    draft: Draft

    @property
    def kind(self) -> str:
        """A document by which the partner gets something back is a credit note."""
        return "credit_note" if self.draft.total < 0 else "adjustment"


class Carried(NamedTuple):
    """The adjustments of a close: those that are lines of invoices, by partner id, and documents of their own."""

    lines: Mapping[str, Sequence[Extra]]
    documents: Sequence[OwnDocument]


def of_close(
    lake: Lake, books: EarlierBooks, ready: Bills, versions: Mapping[str, int], legal_entity: str
) -> dict[str, list[dict[str, Any]]]:
    """The adjustments that a close stores, by partner id: of all earlier periods of the partners that it bills.

    An adjustment stands on the partner's invoice. It is a document of its own if the partner has no invoice in this
    month, if it is of another currency or legal entity, or if the partner gets something back.
    """
    earlier = [s for s in books.periods if s.partner_id in ready.periods and s.end <= ready.periods[s.partner_id].start]
    currencies = {draft.partner.id: draft.currency for draft in ready.drafts}

    def formed(partner_id: str, found: PricedAdjustment) -> Adjusted:
        fits = is_line(books, found, legal_entity, currencies.get(partner_id))
        return found.adjusted._replace(form="lines" if fits or not found.extras else "document")

    late = due(lake, books, earlier, versions)
    return {p: [formed(p, each).as_json() for each in late[p]] for p in sorted(late)}


def is_line(books: EarlierBooks, found: PricedAdjustment, legal_entity: str | None, currency: str | None) -> bool:
    """Whether an adjustment stands on the partner's invoice by a legal entity and in a currency. None: it has none."""
    same = books.closes[found.adjusted.close_id].legal_entity == legal_entity
    return same and currency == found.currency and found.total >= 0


def of_period(
    lake: Lake, books: EarlierBooks, label: str, legal_entity: str, versions: Mapping[str, int]
) -> dict[str, list[dict[str, Any]]]:
    """The adjustments of one month of a legal entity, each as a document of its own."""
    periods = [s for s in books.periods if s.label == label and books.closes[s.close_id].legal_entity == legal_entity]
    late = due(lake, books, periods, versions)
    found = {p: [each.adjusted.as_json() for each in late[p] if each.extras] for p in sorted(late)}
    return {partner_id: some for partner_id, some in found.items() if some}


def due(
    lake: Lake, books: EarlierBooks, periods: Sequence[SettledPeriod], versions: Mapping[str, int]
) -> dict[str, list[PricedAdjustment]]:
    """The adjustments that are due of settled periods, at table versions, by partner id."""
    standing = books.standing
    candidates = adjusting.touched(lake, standing, periods, versions[ROLLUPS.name])
    return adjusting.due(PinnedLakes(lake, books.closes, versions), standing, books.closes, candidates)


def carried(lake: Lake, closes: Mapping[str, Close], made: Close) -> Carried:
    """The adjustments of a close with their amounts: a pure function of the closes that it names."""
    lines: dict[str, list[Extra]] = {}
    documents: list[OwnDocument] = []
    adjustments = adjustments_of(made)
    if not adjustments:
        return Carried(lines, documents)
    states = PinnedLakes(lake, closes, pinned_versions(made))
    is_named = made.content.get("layout", 1) > 1  # documents of earlier closes keep their bytes
    together: dict[tuple[str, str, str | None], set[str]] = {}
    for partner_id, some in adjustments.items():
        for each in some:
            together.setdefault((each.close_id, each.since, each.until), set()).add(partner_id)
    for partner_id, some in adjustments.items():
        for each in some:
            partners = frozenset(together[each.close_id, each.since, each.until])
            catalog = closes[each.close_id].catalog() if is_named else None
            found = adjusting.priced(states, each, partner_id, partners, catalog)
            if each.form == "lines":
                lines.setdefault(partner_id, []).extend(found.extras)
            else:
                original = closes[each.close_id]
                draft = adjusting.document_draft(original, _period(original, partner_id, each), found)
                documents.append(OwnDocument(partner_id, each, draft))
    return Carried(lines, documents)


def still_due(books: EarlierBooks, made: Close) -> None:
    """Raises Refused if an adjustment of a close was issued by another one, or if what it adjusts was voided."""
    standing = books.standing
    periods = {(s.partner_id, s.close_id): s for s in books.periods}
    problems = []
    for partner_id, some in adjustments_of(made).items():
        for each in some:
            period = periods.get((partner_id, each.close_id))
            if period is None or Gap(each.since, each.until) not in standing.gaps(period):
                problems.append(
                    f"late usage of {each.period} of {partner_id} was billed or voided since close {made.close_id} was made: "
                    f"close {made.period} again"
                )
    if problems:
        raise Refused(problems)


def own_document(made: Close, original: Close, own: OwnDocument, *, number: str, issued_on: date) -> dict[str, Any]:
    """The document of an adjustment that stands alone, by the legal entity and the partner of the original close."""
    content = {"rules": 1, **original.content, "replaces": {}}
    content["usage"] = {own.partner_id: content["usage"].get(own.partner_id)}
    shown = document.invoice(made.close_id, content, original.catalog(), own.draft, number=number, issued_on=issued_on)
    refers_to = None if own.adjusted.number is None else {"number": own.adjusted.number}
    evidence = {**shown["evidence"], "adjusts": own.adjusted.as_json()}
    return {
        "kind": own.kind,
        **shown,
        "refers_to": refers_to,
        "reason": wording(own.draft.partner.language)("late_usage"),
        "evidence": evidence,
    }


def numbered(
    table: Table,
    made: Close,
    closes: Mapping[str, Close],
    documents: Iterable[OwnDocument],
    staged: Staged,
    reached: dict[str, int],
    *,
    now: datetime,
) -> list[dict[str, Any]]:
    """The rows of adjustments that are documents of their own, with their documents written to `staged`.

    `reached` maps a series to its last number, and is updated.
    """
    rows = []
    for own in documents:
        original = closes[own.adjusted.close_id]
        entity = original.catalog().legal_entity(original.legal_entity)
        issued_on = local_day(now, entity.time_zone)
        series, code = f"{entity.id}/{issued_on.year}", ""
        if own.kind == "credit_note":
            series, code = f"{series}/credit", "CN-"
        sequence = reached.get(series, table.transaction_version(f"issue/{series}") or 0) + 1
        reached[series] = sequence
        number = f"{entity.invoice_prefix}-{code}{issued_on.year}-{sequence:06d}"
        shown = own_document(made, original, own, number=number, issued_on=issued_on)
        rows.append(
            {
                "number": number,
                "series": series,
                "sequence": sequence,
                "partner_id": own.partner_id,
                "period": own.adjusted.period,
                "close_id": made.close_id,
                "issued_at": now,
                "currency": own.draft.currency,
                "total": own.draft.total,
                "document": json.dumps(shown, ensure_ascii=False),
                "legal_entity": entity.id,
                "kind": own.kind,
                "refers_to": own.adjusted.number,
                "voids": False,
                **stored.hashes(staged.write(number, render.rendered(shown))),
            }
        )
    return rows


def problems(lake: Lake, row: Mapping[str, Any], made: Close, closes: Mapping[str, Close], found: Carried) -> list[str]:
    """Problems of an adjustment that is a document of its own: renders it again and compares the bytes."""
    shown = json.loads(row["document"])
    stated = shown["evidence"]["adjusts"]
    for own in found.documents:
        if own.partner_id == row["partner_id"] and own.adjusted.as_json() == stated:
            issued_on = date.fromisoformat(shown["issued_on"])
            again = own_document(made, closes[own.adjusted.close_id], own, number=row["number"], issued_on=issued_on)
            return stored.rendering_problems(row, render.rendered(again)) + stored.file_problems(lake, row)
    return [f"{row['number']}: the close no longer gives this adjustment; restore the lake from a backup"]


def _period(original: Close, partner_id: str, adjusted: Adjusted) -> SettledPeriod:
    """The settled period of an adjustment. A close of rules 1 stored none: it is the month of the partner."""
    bounds = month(adjusted.period, original.catalog().known_partner(partner_id).time_zone)
    return SettledPeriod(partner_id, adjusted.period, *bounds, adjusted.number, adjusted.close_id)


def stored_adjustments(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the content of a close gets. Nothing if there are none, so that it equals that of an earlier version."""
    return {ADJUSTMENTS: dict(found)} if found else {}
