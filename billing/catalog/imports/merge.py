"""Merges an import model into the catalog: a three-way merge with the import state of the previous import as the base.

The import may change values that it wrote itself. A value that a person wrote, changed or removed stays, and a note
names it if the document differs. The import deletes nothing except grants that a policy no longer has, because records
explain the invoices of earlier months.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from billing.catalog.imports import owners, state
from billing.catalog.imports.model import (
    ImportConflict,
    ImportedCredential,
    ImportedGrant,
    ImportedPlan,
    ImportModel,
    Note,
    Period,
)
from billing.catalog.imports.owners import OwnershipRules
from billing.catalog.imports.planned_edits import PlannedEdits
from schemas.catalog.credentials import Credential
from schemas.catalog.records import Catalog, Partner, Plan
from schemas.money import EXACT, plain
from schemas.yaml.edits import Edit

# No request matches this grant, because IAM has no such service. Without any grant a credential would not be checked.
NOTHING = ImportedGrant(("none:Nothing",), ("*",))
_BY_HAND = "the catalog stays unchanged; pass --overwrite to use the value of the document"


class ImportOptions(NamedTuple):
    """The choices of the user for one import."""

    rate_card: str | None = None
    meter: str | None = None
    valid_from: date | None = None
    overwrite: bool = False


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
    merger = _Merger(catalog, files, new_file, previous, list(others), rules, options)
    merger.add(model)
    if merger.problems:
        raise ImportConflict(merger.problems)
    return MergeResult(
        merger.edits, merger.state, tuple(dict.fromkeys([*model.notes, *merger.notes])), tuple(merger.ignored)
    )


class _Merger:
    def __init__(
        self, catalog: Catalog, files: Mapping[str, str], new_file: str, previous: Mapping[str, Any], others: list[Mapping[str, Any]],
        rules: OwnershipRules, options: ImportOptions,
    ) -> None:  # fmt: skip
        self._catalog, self._new_file, self._previous, self._others = catalog, new_file, previous, others
        self._rules, self._options = rules, options
        self._edits = PlannedEdits(files)
        self._holders: dict[tuple[str, str], list[tuple[Partner, Credential]]] = {}
        for partner in catalog.partners:
            for credential in partner.credentials:
                self._holders.setdefault(credential.key, []).append((partner, credential))
        self.state: dict[str, Any] = {}
        self.notes: list[Note] = []
        self.problems: list[str] = []
        self.ignored: list[str] = []

    @property
    def edits(self) -> dict[str, list[Edit]]:
        return self._edits.by_file

    def add(self, model: ImportModel) -> None:
        owned, self.ignored, problems = owners.owned(model.credentials, self._catalog, self._rules)
        self.problems += problems
        plans = {p.address: p for p in model.plans}
        callers: dict[str, dict[str, list[ImportedCredential]]] = {}  # partner id → address of a plan → its credentials
        for credential, partner in owned:
            if credential.plan in plans:
                callers.setdefault(partner.id, {}).setdefault(credential.plan, []).append(credential)
        used = {address for of_partner in callers.values() for address in of_partner}
        ids, problems = owners.plan_ids([p for p in model.plans if p.address in used], self._rules)
        self.problems += problems
        for address, plan_id in ids.items():
            self._plan(plan_id, plans[address])
        for partner_id, of_partner in callers.items():
            self._assignment(self._partner(partner_id), [(ids[a], plans[a]) for a in of_partner if a in ids])
            for address, credentials in of_partner.items():
                self._note_shared_quota(partner_id, plans[address], credentials)
        for credential, partner in owned:
            if credential.id is not None:
                self._credential(credential, partner)
        self._keep_missing()

    def _plan(self, plan_id: str, imported: ImportedPlan) -> None:
        existing = next((p for p in self._catalog.plans if p.id == plan_id), None)
        quotas = [(self._meter(imported, period, existing), period, limit) for period, limit in imported.quotas.items()]
        limits = [(meter, period, self._in_unit(meter, limit)) for meter, period, limit in quotas if meter is not None]
        if existing is not None:
            for meter, period, limit in limits:
                self._quota(existing, meter, period, limit, imported.address)
            self._throttle(existing, imported)
            return
        if self._rate_card(plan_id, imported) is None:
            return
        record: dict[str, Any] = {"id": plan_id, "rate_card": self._options.rate_card}
        if limits:
            record["quotas"] = [{"meter": meter, "period": period, "limit": limit} for meter, period, limit in limits]
        for meter, period, limit in limits:
            self.state[f"quota/{plan_id}/{meter}/{period}"] = plain(limit)
        if imported.rate_per_s is not None:
            record["throttle"] = {"rate_per_s": imported.rate_per_s, "burst": imported.burst or 0}
            self._record_throttle(plan_id, imported)
        self._edits.append(self._new_file, ("plans",), record, imported.address)

    def _rate_card(self, plan_id: str, imported: ImportedPlan) -> str | None:
        known = [c.id for c in self._catalog.rate_cards]
        if self._options.rate_card in known:
            return self._options.rate_card
        why = (
            f"--rate-card {self._options.rate_card} is not in the catalog"
            if self._options.rate_card
            else "it needs prices"
        )
        self.problems.append(
            f"{imported.address}: plan {plan_id} is new, and {why}; pass --rate-card ID; the catalog has: {', '.join(known) or 'none'}"
        )
        return None

    def _meter(self, imported: ImportedPlan, period: Period, existing: Plan | None) -> str | None:
        """The meter that a quota limits. It counts requests."""
        counting = [m.id for m in self._catalog.meters if m.aggregate == "count"]
        if self._options.meter is not None:
            if self._options.meter in counting:
                return self._options.meter
            self.problems.append(
                f"--meter {self._options.meter} does not name a meter that counts requests; the catalog has: {', '.join(counting) or 'none'}"
            )
            return None
        used = [q.meter for q in existing.quotas if q.period == period and q.meter in counting] if existing else []
        if len(used) == 1:
            return used[0]
        if "requests" in counting or len(counting) == 1:
            return "requests" if "requests" in counting else counting[0]
        self.problems.append(
            f"{imported.address}: the meter of its quota is ambiguous; pass --meter ID; "
            f"the catalog has: {', '.join(counting) or 'none'}"
        )
        return None

    def _in_unit(self, meter: str, requests: Decimal) -> Decimal:
        with localcontext(EXACT):
            return requests / self._catalog.meter(meter).divide_by

    def _quota(self, plan: Plan, meter: str, period: Period, limit: Decimal, address: str) -> None:
        entry = f"quota/{plan.id}/{meter}/{period}"
        self.state[entry] = plain(limit)
        place = next((i for i, q in enumerate(plan.quotas) if (q.meter, q.period) == (meter, period)), None)
        where, named = self._edits.location("plans", plan.id), f"quotas {meter} {period}"
        if place is None:
            if self._may_add(entry, address, f"plan {plan.id}: {named}"):
                self._edits.append(
                    where.file, (*where.path, "quotas"), {"meter": meter, "period": period, "limit": limit}, address
                )
        elif self._may_change(entry, plan.quotas[place].limit, limit, address, f"plan {plan.id}: {named}: limit"):
            self._edits.set(where.file, (*where.path, "quotas", place), "limit", limit)

    def _throttle(self, plan: Plan, imported: ImportedPlan) -> None:
        if imported.rate_per_s is None:
            return
        burst, where = Decimal(imported.burst or 0), self._edits.location("plans", plan.id)
        self._record_throttle(plan.id, imported)
        if plan.throttle is None:
            if self._may_add(f"throttle/{plan.id}/rate_per_s", imported.address, f"plan {plan.id}: throttle"):
                self._edits.set(where.file, where.path, "throttle", {"rate_per_s": imported.rate_per_s, "burst": burst})
            return
        for name, now, wanted in (
            ("rate_per_s", plan.throttle.rate_per_s, imported.rate_per_s),
            ("burst", Decimal(plan.throttle.burst), burst),
        ):
            if self._may_change(
                f"throttle/{plan.id}/{name}", now, wanted, imported.address, f"plan {plan.id}: throttle.{name}"
            ):
                self._edits.set(where.file, (*where.path, "throttle"), name, wanted)

    def _record_throttle(self, plan_id: str, imported: ImportedPlan) -> None:
        self.state[f"throttle/{plan_id}/rate_per_s"] = plain(imported.rate_per_s or Decimal(0))
        self.state[f"throttle/{plan_id}/burst"] = plain(Decimal(imported.burst or 0))

    def _assignment(self, partner: Partner, plans: Sequence[tuple[str, ImportedPlan]]) -> None:
        if len(plans) > 1:
            listed = ", ".join(f"{plan_id} ({p.address})" for plan_id, p in plans)
            why = (
                f"its credentials are in several plans: {listed}; a partner has one plan at a time, so none is assigned"
            )
            self.notes.append(Note(f"partner {partner.id}", "plans", why, "assign one by hand; later imports keep it"))
            return
        for plan_id, imported in plans:
            entry, address = f"assignment/{partner.id}/{plan_id}", imported.address
            self.state[entry] = True
            mine = [a for a in partner.plans if a.plan == plan_id]
            if any(a.valid_to is None or self._after_start(partner, a.valid_to) for a in mine):
                continue
            if not self._may_add(entry, address, f"partner {partner.id}: plans {plan_id}"):
                continue
            start = self._options.valid_from
            if start is None:
                self.problems.append(
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
                self.notes.append(Note(address, "plans", why, remedy))
                del self.state[entry]
                continue
            where = self._edits.location("partners", partner.id)
            self._edits.append(where.file, (*where.path, "plans"), {"plan": plan_id, "valid_from": start}, address)

    def _note_shared_quota(
        self, partner_id: str, plan: ImportedPlan, credentials: Sequence[ImportedCredential]
    ) -> None:
        """Notes that a gateway counts each caller of a partner separately, and that a catalog counts them together."""
        consumers = [c for c in credentials if c.kind == "consumer"]
        count = len(consumers or credentials)
        if count > 1 and plan.quotas:
            kind = "consumers" if consumers else "keys"
            why = (
                f"the gateway gives each of the {count} {kind} of partner {partner_id} the quota separately; "
                f"the catalog counts them together"
            )
            remedy = "raise the limit by hand if that was agreed; later imports keep it"
            self.notes.append(Note(plan.address, "quotas", why, remedy))

    def _credential(self, imported: ImportedCredential, partner: Partner) -> None:
        entry = f"credential/{partner.id}/{imported.kind}/{imported.id}"
        if entry in self.state:
            return
        key, named = (
            (imported.kind, str(imported.id)),
            f"partner {partner.id}: credentials {imported.kind} {imported.id}",
        )
        for other, held in self._holders.get(key, ()):
            if other.id != partner.id and self._is_live(other, held):
                self.problems.append(
                    f"{imported.address}: {imported.kind} {imported.id} belongs to {partner.id} by the rules and to {other.id} in the catalog; "
                    "end it there with valid_to and pass --valid-from, or correct the rules"
                )
                return
        self.state[entry] = True
        mine = [(i, c) for i, c in enumerate(partner.credentials) if c.key == key]
        live = [(i, c) for i, c in mine if self._is_live(partner, c)]
        if live:
            self._allow(imported, partner, *live[-1])
            return
        if mine and (self._options.valid_from is None or (entry in self._previous and not self._options.overwrite)):
            why = f"it ended on {mine[-1][1].valid_to} in the catalog, and the document still has it"
            remedy = "the catalog stays unchanged; remove it from the gateway, or add it again by hand"
            self.notes.append(Note(imported.address, named, why, remedy))
            return
        if not self._may_add(entry, imported.address, named):
            return
        record: dict[str, Any] = {"kind": imported.kind, "id": imported.id}
        if self._options.valid_from is not None:
            record["valid_from"] = self._options.valid_from
        allow = self._grants_of(imported, partner)
        if allow is not None:
            record["allow"] = self.state[f"grants/{imported.kind}/{imported.id}"] = [state.grant_json(g) for g in allow]
        where = self._edits.location("partners", partner.id)
        self._edits.append(where.file, (*where.path, "credentials"), record, imported.address)

    def _allow(self, imported: ImportedCredential, partner: Partner, index: int, existing: Credential) -> None:
        """Adds the grants of the policy, removes earlier imported grants that it no longer has, and keeps the others."""
        allow = self._grants_of(imported, partner)
        if allow is None:
            return
        entry, named = (
            f"grants/{imported.kind}/{imported.id}",
            f"partner {partner.id}: credentials iam {imported.id}: allow",
        )
        wanted = {g.key: g for g in allow}
        self.state[entry] = [state.grant_json(g) for g in allow]
        before = {g.key for g in state.grants_from_json(self._previous.get(entry))}
        elsewhere = {g.key for other in self._others for g in state.grants_from_json(other.get(entry))}
        where = self._edits.location("partners", partner.id)
        path = (*where.path, "credentials", index)
        if existing.allow is None:
            if entry not in self._previous or self._options.overwrite:
                self._edits.set(where.file, path, "allow", [state.grant_json(g) for g in allow])
            else:
                self.notes.append(
                    Note(imported.address, named, "it was removed by hand, so nothing is checked", _BY_HAND)
                )
            return
        now = [ImportedGrant(g.actions, g.resources, g.networks) for g in existing.allow]
        lost = [i for i, g in enumerate(now) if g.key in before and g.key not in wanted and g.key not in elsewhere]
        missing = [g for g in wanted.values() if g.key not in {n.key for n in now}]
        removed = [g for g in missing if g.key in before and not self._options.overwrite]
        new = [g for g in missing if g not in removed]
        for g in removed:
            self.notes.append(
                Note(imported.address, named, f"the grant of {', '.join(g.actions)} was removed by hand", _BY_HAND)
            )
        if lost and len(lost) == len(now):  # an empty list would turn the check off
            self._edits.set(where.file, path, "allow", [state.grant_json(g) for g in new or [NOTHING]])
            return
        for i in lost:
            self._edits.drop(where.file, (*path, "allow"), i)
        for g in new:
            self._edits.append(where.file, (*path, "allow"), state.grant_json(g), "")

    def _grants_of(self, imported: ImportedCredential, partner: Partner) -> tuple[ImportedGrant, ...] | None:
        """The grants of a credential.

        If its policy gives none, one grant that matches nothing, so that all its usage is marked.
        """
        if imported.allow != ():
            return imported.allow
        why = "a grant can express no part of its policy, so every request of it will be marked as outside"
        remedy = "add grants by hand; later imports keep them"
        self.notes.append(Note(imported.address, f"partner {partner.id}: allow", why, remedy))
        return (NOTHING,)

    def _keep_missing(self) -> None:
        """Keeps entries of this import that the document no longer has.

        A note names each of them until a person ends or removes it.
        """
        for entry, value in self._previous.items():
            if entry in self.state:
                continue
            if state.is_in_catalog(self._catalog, entry):
                self.state[entry] = value
                why = "an earlier import wrote it, and the document no longer has it"
                remedy = "end it with valid_to, because earlier months need it; remove it only if it was never billed"
                self.notes.append(Note(*state.display_name(entry), why, remedy))
        for entry in [f for f in self.state if f.startswith("credential/")]:
            grants_key = state.grants_key(entry)
            if grants_key in self._previous:
                self.state.setdefault(grants_key, self._previous[grants_key])

    def _may_add(self, entry: str, address: str, named: str) -> bool:
        """Whether an entry may be added to the catalog.

        It may not if an earlier import added it and a person removed it.
        """
        if entry not in self._previous or self._options.overwrite:
            return True
        self.notes.append(Note(address, named, "it was removed by hand, and the document still has it", _BY_HAND))
        return False

    def _may_change(self, entry: str, now: Decimal, wanted: Decimal, address: str, named: str) -> bool:
        if now == wanted:
            return False
        if self._options.overwrite or self._previous.get(entry) == plain(now):
            return True
        self.notes.append(
            Note(address, named, f"it was set to {plain(now)} by hand; the document has {plain(wanted)}", _BY_HAND)
        )
        if entry in self._previous:
            self.state[entry] = self._previous[entry]
        else:
            del self.state[entry]
        return False

    def _is_live(self, partner: Partner, credential: Credential) -> bool:
        """Whether the credential is valid after the start of the import (`--valid-from`)."""
        return credential.valid_to is None or self._after_start(partner, credential.valid_to)

    def _after_start(self, partner: Partner, bound: Any) -> bool:
        start = self._options.valid_from
        return start is not None and partner.instant(bound) > partner.instant(start)

    def _partner(self, partner_id: str) -> Partner:
        partner = self._catalog.partner(partner_id)
        assert partner is not None
        return partner
