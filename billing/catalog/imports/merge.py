"""Merges an import model into the catalog: a three-way merge with the import state of the previous import as the base.

The import may change values that it wrote itself. A value that a person wrote, changed or removed stays, and a note
names it if the document differs. The import deletes nothing except grants that a policy no longer has, because records
explain the invoices of earlier months.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from billing.catalog.imports import owners, state
from billing.catalog.imports.credential_merge import CredentialMerge
from billing.catalog.imports.model import (
    ImportConflict,
    ImportedCredential,
    ImportedPlan,
    ImportModel,
    ImportOptions,
    Note,
    Period,
)
from billing.catalog.imports.owners import OwnershipRules
from billing.catalog.imports.planned_edits import CatalogChanges
from schemas.catalog.records import Catalog, Partner, Plan
from schemas.money import EXACT, plain
from schemas.yaml.edits import Edit


class MergeResult(NamedTuple):
    """Edits by file, the new import state, notes for the user, and the addresses of ignored credentials."""

    edits: Mapping[str, Sequence[Edit]]
    state: Mapping[str, Any]
    notes: tuple[Note, ...]
    ignored: tuple[str, ...]


def merge(
    model: ImportModel,
    catalog: Catalog,
    files: Mapping[str, str],
    *,
    new_file: str,
    previous: Mapping[str, Any],
    others: Iterable[Mapping[str, Any]] = (),
    rules: OwnershipRules,
    options: ImportOptions,
) -> MergeResult:
    """The edits that bring `model` into the catalog. Raises ImportConflict.

    `previous` is the state that this import wrote last. `others` are the states of other imports into the same catalog.
    """
    changes = CatalogChanges(catalog, files, previous, options)
    merger = _Merger(changes, new_file, list(others), rules)
    merger.add(model)
    if changes.problems:
        raise ImportConflict(changes.problems)
    notes = tuple(dict.fromkeys([*model.notes, *changes.notes]))
    return MergeResult(changes.edits.by_file, changes.state, notes, tuple(merger.ignored))


class _Merger:
    """Merges an import model: its plans and their assignments here, its credentials with `CredentialMerge`."""

    def __init__(
        self, changes: CatalogChanges, new_file: str, others: Sequence[Mapping[str, Any]], rules: OwnershipRules
    ) -> None:
        self._changes, self._new_file, self._rules = changes, new_file, rules
        self._credentials = CredentialMerge(changes, others)
        self.ignored: list[str] = []

    def add(self, model: ImportModel) -> None:
        owned, self.ignored, problems = owners.owned(model.credentials, self._changes.catalog, self._rules)
        self._changes.problems += problems
        plans = {p.address: p for p in model.plans}
        by_plan: dict[str, dict[str, list[ImportedCredential]]] = {}  # partner id → address of a plan → its credentials
        for credential, partner in owned:
            if credential.plan in plans:
                by_plan.setdefault(partner.id, {}).setdefault(credential.plan, []).append(credential)
        used = {address for of_partner in by_plan.values() for address in of_partner}
        ids, problems = owners.plan_ids([p for p in model.plans if p.address in used], self._rules)
        self._changes.problems += problems
        for address, plan_id in ids.items():
            self._plan(plan_id, plans[address])
        for partner_id, of_partner in by_plan.items():
            self._assignment(self._partner(partner_id), [(ids[a], plans[a]) for a in of_partner if a in ids])
            for address, credentials in of_partner.items():
                self._note_shared_quota(partner_id, plans[address], credentials)
        for credential, partner in owned:
            if credential.id is not None:
                self._credentials.add(credential, partner)
        self._keep_missing()

    def _plan(self, plan_id: str, imported: ImportedPlan) -> None:
        existing = next((p for p in self._changes.catalog.plans if p.id == plan_id), None)
        quotas = [(self._meter(imported, period, existing), period, limit) for period, limit in imported.quotas.items()]
        limits = [(meter, period, self._in_unit(meter, limit)) for meter, period, limit in quotas if meter is not None]
        if existing is not None:
            for meter, period, limit in limits:
                self._quota(existing, meter, period, limit, imported.address)
            self._throttle(existing, imported)
            return
        if self._rate_card(plan_id, imported) is None:
            return
        record: dict[str, Any] = {"id": plan_id, "rate_card": self._changes.options.rate_card}
        if limits:
            record["quotas"] = [{"meter": meter, "period": period, "limit": limit} for meter, period, limit in limits]
        for meter, period, limit in limits:
            self._changes.state[f"quota/{plan_id}/{meter}/{period}"] = plain(limit)
        if imported.rate_per_s is not None:
            record["throttle"] = {"rate_per_s": imported.rate_per_s, "burst": imported.burst or 0}
            self._record_throttle(plan_id, imported)
        self._changes.edits.append(self._new_file, ("plans",), record, imported.address)

    def _rate_card(self, plan_id: str, imported: ImportedPlan) -> str | None:
        known = [c.id for c in self._changes.catalog.rate_cards]
        if self._changes.options.rate_card in known:
            return self._changes.options.rate_card
        why = (
            f"--rate-card {self._changes.options.rate_card} is not in the catalog"
            if self._changes.options.rate_card
            else "it needs prices"
        )
        self._changes.problems.append(
            f"{imported.address}: plan {plan_id} is new, and {why}; pass --rate-card ID; the catalog has: {', '.join(known) or 'none'}"
        )
        return None

    def _meter(self, imported: ImportedPlan, period: Period, existing: Plan | None) -> str | None:
        """The meter that a quota limits. It counts requests."""
        counting = [m.id for m in self._changes.catalog.meters if m.aggregate == "count" and not m.is_measured]
        if self._changes.options.meter is not None:
            if self._changes.options.meter in counting:
                return self._changes.options.meter
            self._changes.problems.append(
                f"--meter {self._changes.options.meter} does not name a meter that counts requests; the catalog has: {', '.join(counting) or 'none'}"
            )
            return None
        used = [q.meter for q in existing.quotas if q.period == period and q.meter in counting] if existing else []
        if len(used) == 1:
            return used[0]
        if "requests" in counting or len(counting) == 1:
            return "requests" if "requests" in counting else counting[0]
        self._changes.problems.append(
            f"{imported.address}: the meter of its quota is ambiguous; pass --meter ID; "
            f"the catalog has: {', '.join(counting) or 'none'}"
        )
        return None

    def _in_unit(self, meter: str, requests: Decimal) -> Decimal:
        with localcontext(EXACT):
            return requests / self._changes.catalog.meter(meter).divide_by

    def _quota(self, plan: Plan, meter: str, period: Period, limit: Decimal, address: str) -> None:
        entry = f"quota/{plan.id}/{meter}/{period}"
        self._changes.state[entry] = plain(limit)
        place = next((i for i, q in enumerate(plan.quotas) if (q.meter, q.period) == (meter, period)), None)
        where, named = self._changes.edits.location("plans", plan.id), f"quotas {meter} {period}"
        if place is None:
            if self._changes.may_add(entry, address, f"plan {plan.id}: {named}"):
                self._changes.edits.append(
                    where.file, (*where.path, "quotas"), {"meter": meter, "period": period, "limit": limit}, address
                )
        elif self._changes.may_change(
            entry, plan.quotas[place].limit, limit, address, f"plan {plan.id}: {named}: limit"
        ):
            self._changes.edits.set(where.file, (*where.path, "quotas", place), "limit", limit)

    def _throttle(self, plan: Plan, imported: ImportedPlan) -> None:
        if imported.rate_per_s is None:
            return
        burst, where = Decimal(imported.burst or 0), self._changes.edits.location("plans", plan.id)
        self._record_throttle(plan.id, imported)
        if plan.throttle is None:
            if self._changes.may_add(f"throttle/{plan.id}/rate_per_s", imported.address, f"plan {plan.id}: throttle"):
                self._changes.edits.set(
                    where.file, where.path, "throttle", {"rate_per_s": imported.rate_per_s, "burst": burst}
                )
            return
        for name, now, wanted in (
            ("rate_per_s", plan.throttle.rate_per_s, imported.rate_per_s),
            ("burst", Decimal(plan.throttle.burst), burst),
        ):
            if self._changes.may_change(
                f"throttle/{plan.id}/{name}", now, wanted, imported.address, f"plan {plan.id}: throttle.{name}"
            ):
                self._changes.edits.set(where.file, (*where.path, "throttle"), name, wanted)

    def _record_throttle(self, plan_id: str, imported: ImportedPlan) -> None:
        self._changes.state[f"throttle/{plan_id}/rate_per_s"] = plain(imported.rate_per_s or Decimal(0))
        self._changes.state[f"throttle/{plan_id}/burst"] = plain(Decimal(imported.burst or 0))

    def _assignment(self, partner: Partner, plans: Sequence[tuple[str, ImportedPlan]]) -> None:
        if len(plans) > 1:
            listed = ", ".join(f"{plan_id} ({p.address})" for plan_id, p in plans)
            why = (
                f"its credentials are in several plans: {listed}; a partner has one plan at a time, so none is assigned"
            )
            self._changes.notes.append(
                Note(f"partner {partner.id}", "plans", why, "assign one by hand; later imports keep it")
            )
            return
        for plan_id, imported in plans:
            entry, address = f"assignment/{partner.id}/{plan_id}", imported.address
            self._changes.state[entry] = True
            mine = [a for a in partner.plans if a.plan == plan_id]
            if any(a.valid_to is None or self._changes.after_start(partner, a.valid_to) for a in mine):
                continue
            if not self._changes.may_add(entry, address, f"partner {partner.id}: plans {plan_id}"):
                continue
            start = self._changes.options.valid_from
            if start is None:
                self._changes.problems.append(
                    f"{address}: the document does not say from which day partner {partner.id} has plan {plan_id}; pass --valid-from DATE"
                )
                continue
            overlapping = [a for a in partner.plans if a.valid_to is None or a.valid_to > start]
            if overlapping:
                other = overlapping[0]
                until = f" to {other.valid_to}" if other.valid_to else " on"
                why = (
                    f"partner {partner.id} has plan {other.plan} from {other.valid_from}{until}; a partner has one plan at a time, "
                    f"so {plan_id} is not assigned"
                )
                remedy = f"end the other with valid_to: {start} and import again, or map the plan to it with --plan '{address}={other.plan}'"
                self._changes.notes.append(Note(address, "plans", why, remedy))
                del self._changes.state[entry]
                continue
            where = self._changes.edits.location("partners", partner.id)
            self._changes.edits.append(
                where.file, (*where.path, "plans"), {"plan": plan_id, "valid_from": start}, address
            )

    def _note_shared_quota(
        self, partner_id: str, plan: ImportedPlan, credentials: Sequence[ImportedCredential]
    ) -> None:
        """Notes that a gateway counts each client of a partner separately, and that a catalog counts them together."""
        consumers = [c for c in credentials if c.kind == "consumer"]
        count = len(consumers or credentials)
        if count > 1 and plan.quotas:
            kind = "consumers" if consumers else "keys"
            why = (
                f"the gateway gives each of the {count} {kind} of partner {partner_id} the quota separately; "
                f"the catalog counts them together"
            )
            remedy = "raise the limit by hand if that was agreed; later imports keep it"
            self._changes.notes.append(Note(plan.address, "quotas", why, remedy))

    def _keep_missing(self) -> None:
        """Keeps entries of this import that the document no longer has.

        A note names each of them until a person ends or removes it.
        """
        for entry, value in self._changes.previous.items():
            if entry in self._changes.state:
                continue
            if state.is_in_catalog(self._changes.catalog, entry):
                self._changes.state[entry] = value
                why = "an earlier import wrote it, and the document no longer has it"
                remedy = "end it with valid_to, because earlier months need it; remove it only if it was never billed"
                self._changes.notes.append(Note(*state.display_name(entry), why, remedy))
        for entry in [f for f in self._changes.state if f.startswith("credential/")]:
            grants_key = state.grants_key(entry)
            if grants_key in self._changes.previous:
                self._changes.state.setdefault(grants_key, self._changes.previous[grants_key])

    def _partner(self, partner_id: str) -> Partner:
        partner = self._changes.catalog.partner(partner_id)
        assert partner is not None
        return partner
