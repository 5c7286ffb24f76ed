"""Late usage of settled periods: which is due, and what it costs by the catalog and the period of the original close.

An adjustment is what the period costs with the usage at one state of the lake, minus what it costs at an earlier one.
Each side is rounded per line as on an invoice. So the documents of a period sum up to the period, priced once with all
its usage.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from billing.invoicing.closes import Close, pinned_versions
from billing.invoicing.corrections.originals import only, stored_period, without_price
from billing.invoicing.corrections.standing import Adjusted, Gap, StandingUsage
from billing.rating.drafts import Draft, Line, description
from billing.rating.extras import Extra, ExtraKind
from billing.rating.settled import SettledPeriod
from billing.rating.terms.commitments import TERM_FACTS
from billing.usage.warehouse import Meters, Span, Warehouse
from lake import duck
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import EXACT, plain
from schemas.tables import ROLLUPS
from schemas.texts.wording import ENGLISH, Wording, wording

ZERO = Decimal(0)
# What is not a part of the price of a period, or has amounts of its own.
_APART = (ExtraKind.ADJUSTMENT, ExtraKind.CREDIT, ExtraKind.COMMITMENT)


class PricedAdjustment(NamedTuple):
    """The adjustment of a period with its amounts. `extras` is empty if no quantity differs."""

    adjusted: Adjusted
    currency: str
    extras: tuple[Extra, ...]

    @property
    def total(self) -> Decimal:
        """What the partner owes for it; negative if it gets something back."""
        with localcontext(EXACT):
            return sum((extra.amount for extra in self.extras), ZERO)


class PinnedLakes:
    """The lake at the versions of closes, opened once each, and the drafts of closes at them."""

    def __init__(self, lake: Lake, closes: Mapping[str, Close], now: Mapping[str, int]) -> None:
        """`now` has the table versions that the adjusting close pins."""
        self._lake, self._closes, self._now = lake, closes, dict(now)
        self._opened: dict[str | None, Warehouse] = {}
        self._drafts: dict[tuple[str, str | None, frozenset[str]], dict[str, Any]] = {}

    def at(self, close_id: str | None) -> Warehouse:
        """Table `rollups` at the versions of a close, or of the adjusting one."""
        if close_id not in self._opened:
            versions = self._now if close_id is None else pinned_versions(self._closes[close_id])
            self._opened[close_id] = Warehouse(self._lake, versions, only=[ROLLUPS.name])
        return self._opened[close_id]

    def drafts(self, original: str, state: str | None, partners: frozenset[str]) -> dict[str, Any]:
        """What the periods of a close cost with the usage of another state, by the rules of the close."""
        key = original, state, partners
        if key not in self._drafts:
            made = self._closes[original]
            content = only(made.content, partners)
            found = made.rules.drafts(self.at(state), content, made.catalog())
            self._drafts[key] = {draft.partner.id: draft for draft in found if draft.partner.id in partners}
        return self._drafts[key]


def touched(lake: Lake, standing: StandingUsage, periods: Sequence[SettledPeriod], now: int) -> list[SettledPeriod]:
    """The periods that may have usage on no document, at a version of `rollups`. Reads only what was added since.

    Table `rollups` only grows. So the files of two versions say what was added between them.
    """
    gaps = [standing.gaps(period) for period in periods]
    since = [standing.version(some[-1].since) for some in gaps]
    found = {place for place, some in enumerate(gaps) if len(some) > 1}
    for before, after in itertools.pairwise([*sorted(set(since)), now]):
        added = sorted(set(lake.files(ROLLUPS, after)) - set(lake.files(ROLLUPS, before)))
        if not added:
            continue
        meters = Meters()
        duck.scan(meters.con, ROLLUPS.name, added, ROLLUPS, mixed=False)
        places = [place for place, version in enumerate(since) if version <= before]
        spans = [Span(periods[place].partner_id, "", periods[place].start, periods[place].end) for place in places]
        found |= {places[span] for span in meters.touched(spans)}
    return [period for place, period in enumerate(periods) if place in found]


def due(
    states: PinnedLakes, standing: StandingUsage, closes: Mapping[str, Close], periods: Sequence[SettledPeriod]
) -> dict[str, list[PricedAdjustment]]:
    """The adjustments of settled periods that are due, by partner id, each in the form of a document of its own.

    A period is adjusted if its usage differs, even if that costs nothing. A period with usage without a price or a plan
    is not adjusted, as nobody can say what that costs.
    """
    found: dict[str, list[PricedAdjustment]] = {}
    for (close_id, gap), some in standing.due(periods).items():
        made = closes[close_id]
        differ = [period for period in _differing(states, made, gap, some) if _has_prices(states, made, gap, period)]
        partners = frozenset(period.partner_id for period in differ)
        for period in differ:
            adjusted = Adjusted(close_id, gap.since, gap.until, period.number, period.label, "document")
            found.setdefault(period.partner_id, []).append(
                priced(states, adjusted, period.partner_id, partners, made.catalog())
            )
    return found


def _differing(states: PinnedLakes, made: Close, gap: Gap, periods: Sequence[SettledPeriod]) -> Iterable[SettledPeriod]:
    """The periods of a close whose usage differs between the ends of a gap."""
    catalog = made.catalog()
    meters = [meter.id for meter in catalog.meters if meter.billable]
    spans = [Span(period.partner_id, meter, period.start, period.end) for period in periods for meter in meters]
    usage = (states.at(at).usage_of(catalog).of_spans(spans) for at in (gap.since, gap.until))
    differ = {span.partner_id for span, was, now in zip(spans, *usage, strict=True) if was != now}
    return [period for period in periods if period.partner_id in differ]


def _has_prices(states: PinnedLakes, made: Close, gap: Gap, period: SettledPeriod) -> bool:
    catalog = made.catalog()
    return not without_price(states.at(gap.until), catalog, stored_period(made, catalog, period))


def priced(
    states: PinnedLakes, adjusted: Adjusted, partner_id: str, partners: frozenset[str], catalog: Catalog | None = None
) -> PricedAdjustment:
    """An adjustment with its amounts. `partners` are those whose periods are priced together.

    `catalog` names its lines. Without it they have the names that documents of the first layout have: ids of meters.
    """
    before = states.drafts(adjusted.close_id, adjusted.since, partners).get(partner_id)
    after = states.drafts(adjusted.close_id, adjusted.until, partners).get(partner_id)
    either = after or before
    currency = "" if either is None else either.currency  # without lines in either state there is no amount
    return PricedAdjustment(adjusted, currency, tuple(_differences(adjusted, before, after, catalog)))


def _differences(adjusted: Adjusted, before: Any, after: Any, catalog: Catalog | None) -> Iterable[Extra]:
    """One amount for each line whose quantity differs, and one for what terms of the contract make of them."""
    old, new = _lines(before), _lines(after)
    say = wording((after or before).partner.language) if after or before else ENGLISH
    shared = _facts(adjusted, say)
    kinds = Counter(line.rate.meter for line in {**old, **new}.values())
    for key in dict.fromkeys([*new, *old]):
        was, now = old.get(key), new.get(key)
        quantity_before = ZERO if was is None else was.quantity
        quantity_now = ZERO if now is None else now.quantity
        amount = EXACT.subtract(_amount(now), _amount(was))
        if quantity_before == quantity_now and not amount:
            continue
        line: Any = now or was
        facts = {
            "description": f"{adjusted.period}: {_name(line, catalog, say, is_only=kinds[line.rate.meter] == 1)}",
            "meter": line.rate.meter or "",
            "plan": line.plan.id if hasattr(line, "plan") else line.segment.plan.id,
            "quantity_before": plain(quantity_before),
            "quantity_now": plain(quantity_now),
        }
        exact = EXACT.subtract(_exact(now), _exact(was))
        yield Extra(ExtraKind.ADJUSTMENT, amount, exact, {**facts, **shared})
    rest = EXACT.subtract(_terms(after), _terms(before))
    if rest:
        facts = {"description": say("contract_terms", period=adjusted.period)}
        yield Extra(ExtraKind.ADJUSTMENT, rest, rest, {**facts, **shared})
    was_added, is_added = _commitments(before), _commitments(after)
    for term in dict.fromkeys([*is_added, *was_added]):
        if change := EXACT.subtract(is_added.get(term, ZERO), was_added.get(term, ZERO)):
            # The months of the term say that this changes what the commitment added, and does not count towards it.
            facts = {"description": say("commitment_of", period=adjusted.period)}
            facts |= dict(zip(TERM_FACTS, term, strict=True))
            yield Extra(ExtraKind.ADJUSTMENT, change, change, {**facts, **shared})


def _name(line: Any, catalog: Catalog | None, say: Wording, *, is_only: bool) -> str:
    """What an adjusted line is called: as on the invoice. Of several of a meter, each names its plan and its days."""
    if catalog is None or not isinstance(line, Line):
        return line.rate.description or line.rate.meter or say("fee")
    name = description(catalog, line.rate)
    days = say("days", first=line.interval.first_day.isoformat(), last=line.interval.last_day.isoformat())
    return name if is_only else f"{name} ({line.plan.id}, {days})"


def _facts(adjusted: Adjusted, say: Wording) -> dict[str, str]:
    """What each line of an adjustment says about the invoice that it corrects."""
    return {
        "number": adjusted.number or "",
        "period": adjusted.period,
        "close_id": adjusted.close_id,
        "reason": say("late_usage"),
    }


def _lines(draft: Any) -> dict[tuple[str, Any, str, Any], Any]:
    """The lines of a draft of any rules by plan, start, what they charge for, and which rate of it they have."""
    if draft is None:
        return {}
    found: dict[tuple[str, Any, str, Any], Any] = {}
    for line in draft.lines:
        plan = line.plan if hasattr(line, "plan") else line.segment.plan
        start = line.start if hasattr(line, "start") else line.segment.start
        found[
            plan.id, start, line.rate.meter or line.rate.description, getattr(line, "position", line.rate.description)
        ] = line
    return found


def _amount(line: Any) -> Decimal:
    return ZERO if line is None else line.charge.amount


def _exact(line: Any) -> Decimal:
    return ZERO if line is None else line.charge.exact


def _terms(draft: Any) -> Decimal:
    """The amounts of a draft beside its lines that are a part of the price of the period."""
    with localcontext(EXACT):
        extras = getattr(draft, "extras", ())
        return sum((extra.amount for extra in extras if extra.kind not in _APART), ZERO)


def _commitments(draft: Any) -> dict[tuple[str, ...], Decimal]:
    """What commitments add to a draft, by the first and the last month of their terms."""
    found: dict[tuple[str, ...], Decimal] = {}
    for extra in getattr(draft, "extras", ()):
        if extra.kind is ExtraKind.COMMITMENT:
            term = tuple(extra.facts[name] for name in TERM_FACTS)
            found[term] = EXACT.add(found.get(term, ZERO), extra.amount)
    return found


def document_draft(made: Close, period: SettledPeriod, found: PricedAdjustment) -> Draft:
    """The draft of a document of its own: the partner and the period as they were at the original close."""
    catalog = made.catalog()
    stored = stored_period(made, catalog, period)
    assert stored is not None, "a settled period has instants"
    partner = catalog.known_partner(period.partner_id)
    return Draft(partner, stored._replace(quotas=()), found.currency, (), ZERO, ()).with_extras(found.extras)
