"""Merges the credentials of an import model, with the grants of their policies, into the catalog."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.catalog.imports import state
from billing.catalog.imports.model import ImportedCredential, ImportedGrant, Note
from billing.catalog.imports.planned_edits import BY_HAND, CatalogChanges
from schemas.catalog.credentials import Credential
from schemas.catalog.records import Partner

# No request matches this grant, because IAM has no such service. Without any grant a credential would not be checked.
NOTHING = ImportedGrant(("none:Nothing",), ("*",))


class CredentialMerge:
    """Adds credentials and grants to the changes of an import. `others` are the states of other imports."""

    def __init__(self, changes: CatalogChanges, others: Sequence[Mapping[str, Any]]) -> None:
        self._changes, self._others = changes, others
        self._holders: dict[tuple[str, str], list[tuple[Partner, Credential]]] = {}
        for partner in changes.catalog.partners:
            for credential in partner.credentials:
                self._holders.setdefault(credential.key, []).append((partner, credential))

    def add(self, imported: ImportedCredential, partner: Partner) -> None:
        """Adds a credential to its partner, or merges its grants if the catalog has it."""
        entry = f"credential/{partner.id}/{imported.kind}/{imported.id}"
        if entry in self._changes.state:
            return
        key = (imported.kind, str(imported.id))
        named = f"partner {partner.id}: credentials {imported.kind} {imported.id}"
        for other, existing in self._holders.get(key, ()):
            if other.id != partner.id and self._changes.is_live(other, existing):
                self._changes.problems.append(
                    f"{imported.address}: {imported.kind} {imported.id} belongs to {partner.id} by the rules and to {other.id} in the catalog; "
                    "end it there with valid_to and pass --valid-from, or correct the rules"
                )
                return
        self._changes.state[entry] = True
        mine = [(i, c) for i, c in enumerate(partner.credentials) if c.key == key]
        live = [(i, c) for i, c in mine if self._changes.is_live(partner, c)]
        if live:
            self._allow(imported, partner, *live[-1])
            return
        if mine and (
            self._changes.options.valid_from is None
            or (entry in self._changes.previous and not self._changes.options.overwrite)
        ):
            why = f"it ended on {mine[-1][1].valid_to} in the catalog, and the document still has it"
            remedy = "the catalog stays unchanged; remove it from the gateway, or add it again by hand"
            self._changes.notes.append(Note(imported.address, named, why, remedy))
            return
        if not self._changes.may_add(entry, imported.address, named):
            return
        record: dict[str, Any] = {"kind": imported.kind, "id": imported.id}
        if self._changes.options.valid_from is not None:
            record["valid_from"] = self._changes.options.valid_from
        allow = self._grants_of(imported, partner)
        if allow is not None:
            record["allow"] = grants = [state.grant_json(g) for g in allow]
            self._changes.state[f"grants/{imported.kind}/{imported.id}"] = grants
        where = self._changes.edits.location("partners", partner.id)
        self._changes.edits.append(where.file, (*where.path, "credentials"), record, imported.address)

    def _allow(self, imported: ImportedCredential, partner: Partner, index: int, existing: Credential) -> None:
        """Adds the grants of the policy, removes imported grants that it no longer has, and keeps the others."""
        allow = self._grants_of(imported, partner)
        if allow is None:
            return
        entry = f"grants/{imported.kind}/{imported.id}"
        named = f"partner {partner.id}: credentials iam {imported.id}: allow"
        wanted = {g.key: g for g in allow}
        self._changes.state[entry] = [state.grant_json(g) for g in allow]
        before = {g.key for g in state.grants_from_json(self._changes.previous.get(entry))}
        elsewhere = {g.key for other in self._others for g in state.grants_from_json(other.get(entry))}
        where = self._changes.edits.location("partners", partner.id)
        path = (*where.path, "credentials", index)
        if existing.allow is None:
            if entry not in self._changes.previous or self._changes.options.overwrite:
                self._changes.edits.set(where.file, path, "allow", [state.grant_json(g) for g in allow])
            else:
                self._changes.notes.append(
                    Note(imported.address, named, "it was removed by hand, so nothing is checked", BY_HAND)
                )
            return
        now = [ImportedGrant(g.actions, g.resources, g.networks) for g in existing.allow]
        lost = [i for i, g in enumerate(now) if g.key in before and g.key not in wanted and g.key not in elsewhere]
        missing = [g for g in wanted.values() if g.key not in {n.key for n in now}]
        removed = [g for g in missing if g.key in before and not self._changes.options.overwrite]
        new = [g for g in missing if g not in removed]
        for g in removed:
            self._changes.notes.append(
                Note(imported.address, named, f"the grant of {', '.join(g.actions)} was removed by hand", BY_HAND)
            )
        if lost and len(lost) == len(now):  # an empty list would turn the check off
            self._changes.edits.set(where.file, path, "allow", [state.grant_json(g) for g in new or [NOTHING]])
            return
        for i in lost:
            self._changes.edits.drop(where.file, (*path, "allow"), i)
        for g in new:
            self._changes.edits.append(where.file, (*path, "allow"), state.grant_json(g), "")

    def _grants_of(self, imported: ImportedCredential, partner: Partner) -> tuple[ImportedGrant, ...] | None:
        """The grants of a credential.

        If its policy gives none, one grant that matches nothing, so that all its usage is marked.
        """
        if imported.allow != ():
            return imported.allow
        why = "a grant can express no part of its policy, so every request of it will be marked as outside"
        remedy = "add grants by hand; later imports keep them"
        self._changes.notes.append(Note(imported.address, f"partner {partner.id}: allow", why, remedy))
        return (NOTHING,)
