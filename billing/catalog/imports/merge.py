"""Settles what a document says with what the catalog says: three ways, with what an earlier import wrote as the third.

What the import wrote it may change; what a person wrote, changed or took away stays, and is named if the document says
otherwise. Nothing is deleted but grants that the policy no longer has: records explain old months.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from billing.catalog.imports import owners
from billing.catalog.imports import state as facts
from billing.catalog.imports.model import Allowed, Found, FoundCredential, FoundPlan, Note, Period, Unsettled
from billing.catalog.imports.owners import Rules
from billing.catalog.imports.planned_edits import Worksheet
from schemas.catalog.records import Catalog, Credential, Partner, Plan
from schemas.money import EXACT, plain
from schemas.yaml.edits import Edit

# IAM has no such service: nothing that is asked for fits it. A credential without a grant would not be checked at all.
NOTHING = Allowed(("none:Nothing",), ("*",))
_BY_HAND = "it stays; --overwrite takes what the document says"


class Options(NamedTuple):
    """What the user decides."""

    rate_card: str | None = None
    meter: str | None = None
    valid_from: date | None = None
    overwrite: bool = False


class Merged(NamedTuple):
    """Edits of each file, what this import has now written, what is to be said, and how many credentials were ignored."""

    edits: Mapping[str, Sequence[Edit]]
    facts: Mapping[str, Any]
    notes: tuple[Note, ...]
    ignored: tuple[str, ...]


def merge(
    found: Found,
    catalog: Catalog,
    files: Mapping[str, str],
    *,
    new_file: str,
    base: Mapping[str, Any],
    others: Iterable[Mapping[str, Any]] = (),
    rules: Rules,
    options: Options,
) -> Merged:
    """What must change. `base`: the facts that this import wrote last, `others`: those of other imports. Raises Unsettled."""
    work = _Merge(catalog, files, new_file, base, list(others), rules, options)
    work.take(found)
    if work.problems:
        raise Unsettled(work.problems)
    return Merged(work.edits, work.facts, tuple(dict.fromkeys([*found.notes, *work.notes])), tuple(work.ignored))


class _Merge:
    def __init__(
        self, catalog: Catalog, files: Mapping[str, str], new_file: str, base: Mapping[str, Any], others: list[Mapping[str, Any]], rules: Rules, options: Options
    ) -> None:  # fmt: skip
        self._catalog, self._new_file, self._base, self._others = catalog, new_file, base, others
        self._rules, self._options = rules, options
        self._sheet = Worksheet(files)
        self._holders: dict[tuple[str, str], list[tuple[Partner, Credential]]] = {}
        for partner in catalog.partners:
            for credential in partner.credentials:
                self._holders.setdefault(credential.key, []).append((partner, credential))
        self.facts: dict[str, Any] = {}
        self.notes: list[Note] = []
        self.problems: list[str] = []
        self.ignored: list[str] = []

    @property
    def edits(self) -> dict[str, list[Edit]]:
        return self._sheet.edits

    def take(self, found: Found) -> None:
        owned, self.ignored, problems = owners.owned(found.credentials, self._catalog, self._rules)
        self.problems += problems
        plans = {p.address: p for p in found.plans}
        callers: dict[str, dict[str, list[FoundCredential]]] = {}  # partner → plan's address → its credentials
        for credential, partner in owned:
            if credential.plan in plans:
                callers.setdefault(partner.id, {}).setdefault(credential.plan, []).append(credential)
        used = {address for of_partner in callers.values() for address in of_partner}
        ids, problems = owners.plan_ids([p for p in found.plans if p.address in used], self._rules)
        self.problems += problems
        for address, plan_id in ids.items():
            self._plan(plan_id, plans[address])
        for partner_id, of_partner in callers.items():
            self._assignment(self._partner(partner_id), [(ids[a], plans[a]) for a in of_partner if a in ids])
            for address, credentials in of_partner.items():
                self._shared(partner_id, plans[address], credentials)
        for credential, partner in owned:
            if credential.id is not None:
                self._credential(credential, partner)
        self._gone()

    def _plan(self, plan_id: str, found: FoundPlan) -> None:
        existing = next((p for p in self._catalog.plans if p.id == plan_id), None)
        quotas = [(self._meter(found, period, existing), period, limit) for period, limit in found.quotas.items()]
        limits = [(meter, period, self._in_unit(meter, limit)) for meter, period, limit in quotas if meter is not None]
        if existing is not None:
            for meter, period, limit in limits:
                self._quota(existing, meter, period, limit, found.address)
            self._throttle(existing, found)
            return
        if self._rate_card(plan_id, found) is None:
            return
        record: dict[str, Any] = {"id": plan_id, "rate_card": self._options.rate_card}
        if limits:
            record["quotas"] = [{"meter": meter, "period": period, "limit": limit} for meter, period, limit in limits]
        for meter, period, limit in limits:
            self.facts[f"quota/{plan_id}/{meter}/{period}"] = plain(limit)
        if found.rate_per_s is not None:
            record["throttle"] = {"rate_per_s": found.rate_per_s, "burst": found.burst or 0}
            self._throttle_facts(plan_id, found)
        self._sheet.append(self._new_file, ("plans",), record, found.address)

    def _rate_card(self, plan_id: str, found: FoundPlan) -> str | None:
        known = [c.id for c in self._catalog.rate_cards]
        if self._options.rate_card in known:
            return self._options.rate_card
        given = (
            f"--rate-card {self._options.rate_card} is not in the catalog"
            if self._options.rate_card
            else "it needs prices"
        )
        self.problems.append(
            f"{found.address}: plan {plan_id} is new, and {given}; give --rate-card ID; there are: {', '.join(known) or 'none'}"
        )
        return None

    def _meter(self, found: FoundPlan, period: Period, existing: Plan | None) -> str | None:
        """The meter of requests that a quota counts on."""
        counting = [m.id for m in self._catalog.meters if m.aggregate == "count"]
        if self._options.meter is not None:
            if self._options.meter in counting:
                return self._options.meter
            self.problems.append(
                f"--meter {self._options.meter} is no meter that counts requests; there are: {', '.join(counting) or 'none'}"
            )
            return None
        used = [q.meter for q in existing.quotas if q.period == period and q.meter in counting] if existing else []
        if len(used) == 1:
            return used[0]
        if "requests" in counting or len(counting) == 1:
            return "requests" if "requests" in counting else counting[0]
        self.problems.append(
            f"{found.address}: which meter its quota is on is not clear; give --meter ID; there are: {', '.join(counting) or 'none'}"
        )
        return None

    def _in_unit(self, meter: str, requests: Decimal) -> Decimal:
        with localcontext(EXACT):
            return requests / self._catalog.meter(meter).divide_by

    def _quota(self, plan: Plan, meter: str, period: Period, limit: Decimal, address: str) -> None:
        fact = f"quota/{plan.id}/{meter}/{period}"
        self.facts[fact] = plain(limit)
        place = next((i for i, q in enumerate(plan.quotas) if (q.meter, q.period) == (meter, period)), None)
        where, named = self._sheet.place("plans", plan.id), f"quotas {meter} {period}"
        if place is None:
            if self._may_add(fact, address, f"plan {plan.id}: {named}"):
                self._sheet.append(
                    where.file, (*where.path, "quotas"), {"meter": meter, "period": period, "limit": limit}, address
                )
        elif self._may_change(fact, plan.quotas[place].limit, limit, address, f"plan {plan.id}: {named}: limit"):
            self._sheet.set(where.file, (*where.path, "quotas", place), "limit", limit)

    def _throttle(self, plan: Plan, found: FoundPlan) -> None:
        if found.rate_per_s is None:
            return
        burst, where = Decimal(found.burst or 0), self._sheet.place("plans", plan.id)
        self._throttle_facts(plan.id, found)
        if plan.throttle is None:
            if self._may_add(f"throttle/{plan.id}/rate_per_s", found.address, f"plan {plan.id}: throttle"):
                self._sheet.set(where.file, where.path, "throttle", {"rate_per_s": found.rate_per_s, "burst": burst})
            return
        for name, now, wanted in (
            ("rate_per_s", plan.throttle.rate_per_s, found.rate_per_s),
            ("burst", Decimal(plan.throttle.burst), burst),
        ):
            if self._may_change(
                f"throttle/{plan.id}/{name}", now, wanted, found.address, f"plan {plan.id}: throttle.{name}"
            ):
                self._sheet.set(where.file, (*where.path, "throttle"), name, wanted)

    def _throttle_facts(self, plan_id: str, found: FoundPlan) -> None:
        self.facts[f"throttle/{plan_id}/rate_per_s"] = plain(found.rate_per_s or Decimal(0))
        self.facts[f"throttle/{plan_id}/burst"] = plain(Decimal(found.burst or 0))

    def _assignment(self, partner: Partner, plans: Sequence[tuple[str, FoundPlan]]) -> None:
        if len(plans) > 1:
            listed = ", ".join(f"{plan_id} ({p.address})" for plan_id, p in plans)
            why = f"its credentials are in several plans: {listed}; a partner has one at a time, so none is assigned"
            self.notes.append(Note(f"partner {partner.id}", "plans", why, "assign one by hand, it stays"))
            return
        for plan_id, found in plans:
            fact, address = f"assignment/{partner.id}/{plan_id}", found.address
            self.facts[fact] = True
            mine = [a for a in partner.plans if a.plan == plan_id]
            if any(a.valid_to is None or self._after_start(partner, a.valid_to) for a in mine):
                continue
            if not self._may_add(fact, address, f"partner {partner.id}: plans {plan_id}"):
                continue
            start = self._options.valid_from
            if start is None:
                self.problems.append(
                    f"{address}: since when partner {partner.id} has plan {plan_id} is not in the document; give --valid-from DATE"
                )
                continue
            overlapping = [a for a in partner.plans if a.valid_to is None or a.valid_to > start]
            if overlapping:
                other = overlapping[0]
                until = f" to {other.valid_to}" if other.valid_to else " on"
                why = f"partner {partner.id} has plan {other.plan} from {other.valid_from}{until}, and one plan at a time, so {plan_id} is not assigned"
                remedy = f"end it with valid_to: {start} and import again, or say that the two are one by --plan '{address}={other.plan}'"
                self.notes.append(Note(address, "plans", why, remedy))
                del self.facts[fact]
                continue
            where = self._sheet.place("partners", partner.id)
            self._sheet.append(where.file, (*where.path, "plans"), {"plan": plan_id, "valid_from": start}, address)

    def _shared(self, partner_id: str, plan: FoundPlan, credentials: Sequence[FoundCredential]) -> None:
        """A gateway counts each caller for itself, a catalog all of a partner."""
        consumers = [c for c in credentials if c.kind == "consumer"]
        count = len(consumers or credentials)
        if count > 1 and plan.quotas:
            kind = "consumers" if consumers else "keys"
            why = f"each of the {count} {kind} of partner {partner_id} has the quota for itself at the gateway; the catalog counts them together"
            self.notes.append(Note(plan.address, "quotas", why, "raise the limit by hand if that was agreed; it stays"))

    def _credential(self, found: FoundCredential, partner: Partner) -> None:
        fact = f"credential/{partner.id}/{found.kind}/{found.id}"
        if fact in self.facts:
            return
        key, named = (found.kind, str(found.id)), f"partner {partner.id}: credentials {found.kind} {found.id}"
        for other, held in self._holders.get(key, ()):
            if other.id != partner.id and self._is_live(other, held):
                self.problems.append(
                    f"{found.address}: {found.kind} {found.id} is {partner.id}'s by the rules, and {other.id}'s in the catalog; end it there with valid_to "
                    "and give --valid-from, or correct the rules"
                )
                return
        self.facts[fact] = True
        mine = [(i, c) for i, c in enumerate(partner.credentials) if c.key == key]
        live = [(i, c) for i, c in mine if self._is_live(partner, c)]
        if live:
            self._allow(found, partner, *live[-1])
            return
        if mine and (self._options.valid_from is None or (fact in self._base and not self._options.overwrite)):
            why = f"it ended on {mine[-1][1].valid_to} in the catalog, and the document still has it"
            self.notes.append(
                Note(found.address, named, why, "it stays; take it out of the gateway, or add it again by hand")
            )
            return
        if not self._may_add(fact, found.address, named):
            return
        record: dict[str, Any] = {"kind": found.kind, "id": found.id}
        if self._options.valid_from is not None:
            record["valid_from"] = self._options.valid_from
        allow = self._grants_of(found, partner)
        if allow is not None:
            record["allow"] = self.facts[f"grants/{found.kind}/{found.id}"] = [facts.grant(g) for g in allow]
        where = self._sheet.place("partners", partner.id)
        self._sheet.append(where.file, (*where.path, "credentials"), record, found.address)

    def _allow(self, found: FoundCredential, partner: Partner, index: int, existing: Credential) -> None:
        """Grants: what the policy has is added, what this import wrote and the policy lost is taken away, the rest stays."""
        allow = self._grants_of(found, partner)
        if allow is None:
            return
        fact, named = f"grants/{found.kind}/{found.id}", f"partner {partner.id}: credentials iam {found.id}: allow"
        wanted = {g.key: g for g in allow}
        self.facts[fact] = [facts.grant(g) for g in allow]
        before = {g.key for g in facts.grants(self._base.get(fact))}
        elsewhere = {g.key for other in self._others for g in facts.grants(other.get(fact))}
        where = self._sheet.place("partners", partner.id)
        path = (*where.path, "credentials", index)
        if existing.allow is None:
            if fact not in self._base or self._options.overwrite:
                self._sheet.set(where.file, path, "allow", [facts.grant(g) for g in allow])
            else:
                self.notes.append(
                    Note(found.address, named, "it was taken away by hand, so nothing is checked", _BY_HAND)
                )
            return
        now = [Allowed(g.actions, g.resources, g.networks) for g in existing.allow]
        lost = [i for i, g in enumerate(now) if g.key in before and g.key not in wanted and g.key not in elsewhere]
        missing = [g for g in wanted.values() if g.key not in {n.key for n in now}]
        removed = [g for g in missing if g.key in before and not self._options.overwrite]
        new = [g for g in missing if g not in removed]
        for g in removed:
            self.notes.append(
                Note(found.address, named, f"the grant of {', '.join(g.actions)} was taken away by hand", _BY_HAND)
            )
        if lost and len(lost) == len(now):  # an empty list would be no check at all
            self._sheet.set(where.file, path, "allow", [facts.grant(g) for g in new or [NOTHING]])
            return
        for i in lost:
            self._sheet.drop(where.file, (*path, "allow"), i)
        for g in new:
            self._sheet.append(where.file, (*path, "allow"), facts.grant(g), "")

    def _grants_of(self, found: FoundCredential, partner: Partner) -> tuple[Allowed, ...] | None:
        """What it is allowed; where that is nothing that can be said, a grant that fits nothing, so that all of it is marked."""
        if found.allow != ():
            return found.allow
        why = "nothing of its policy can be said by a grant, so every request of it will be marked as outside"
        self.notes.append(Note(found.address, f"partner {partner.id}: allow", why, "add grants by hand; they stay"))
        return (NOTHING,)

    def _gone(self) -> None:
        """What this import wrote and the document no longer has. It stays in the catalog, and is named until a person decided."""
        for fact, value in self._base.items():
            if fact in self.facts:
                continue
            if facts.is_still_there(self._catalog, fact):
                self.facts[fact] = value
                why = "an earlier import wrote it, and the document no longer has it"
                remedy = "old months need it: end it with valid_to, or take it out if nothing was ever billed by it"
                self.notes.append(Note(*facts.named(fact), why, remedy))
        for fact in [f for f in self.facts if f.startswith("credential/")]:
            grants = facts.grants_beside(fact)
            if grants in self._base:
                self.facts.setdefault(grants, self._base[grants])

    def _may_add(self, fact: str, address: str, named: str) -> bool:
        """Whether something that the catalog has not may be added: not if an earlier import did, and a person took it away."""
        if fact not in self._base or self._options.overwrite:
            return True
        self.notes.append(Note(address, named, "it was taken away by hand, and the document still has it", _BY_HAND))
        return False

    def _may_change(self, fact: str, now: Decimal, wanted: Decimal, address: str, named: str) -> bool:
        if now == wanted:
            return False
        if self._options.overwrite or self._base.get(fact) == plain(now):
            return True
        self.notes.append(
            Note(address, named, f"it is {plain(now)} by hand, and {plain(wanted)} in the document", _BY_HAND)
        )
        if fact in self._base:
            self.facts[fact] = self._base[fact]
        else:
            del self.facts[fact]
        return False

    def _is_live(self, partner: Partner, credential: Credential) -> bool:
        """Whether it is valid at or after the start of what is imported."""
        return credential.valid_to is None or self._after_start(partner, credential.valid_to)

    def _after_start(self, partner: Partner, bound: Any) -> bool:
        start = self._options.valid_from
        return start is not None and partner.instant(bound) > partner.instant(start)

    def _partner(self, partner_id: str) -> Partner:
        partner = self._catalog.partner(partner_id)
        assert partner is not None
        return partner
