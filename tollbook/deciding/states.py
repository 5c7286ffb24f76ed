"""The decisions about all credentials of a catalog, of which only those that changed are made again."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from aggregate.decisions import messages
from aggregate.decisions.credentials import name_of
from aggregate.decisions.rule import Decision, DecisionPolicy
from schemas.catalog.records import Partner
from tollbook.deciding.accounts import Accounts
from tollbook.deciding.follower import View

KEY = "credential|"  # before KIND:ID, so that the keys differ from those of quotas


class CredentialState(NamedTuple):
    """A record of `quota.state`. `value` is None if the catalog does not have the credential any more."""

    partner_id: str
    key: str
    value: dict[str, Any] | None


def decisions(view: View, now: datetime, policy: DecisionPolicy) -> Iterator[Decision]:
    """The decision about each credential that is valid now, in the order of the catalog."""
    for partner in view.accounts.catalog.partners:
        yield from _of_partner(view, partner, now, policy)


def _of_partner(view: View, partner: Partner, now: datetime, policy: DecisionPolicy) -> Iterator[Decision]:
    for credential in dict.fromkeys(name_of(c) for c in partner.credentials):
        decided = view.accounts.decide(credential, as_of=view.as_of, now=now, policy=policy)
        if decided.partner_id == partner.id:
            yield decided


class States:
    """What was published last. Not thread-safe."""

    def __init__(self, policy: DecisionPolicy) -> None:
        self._policy = policy
        self._accounts: Accounts | None = None
        self._marks: dict[str, tuple[int, ...]] = {}  # by partner
        self._published: dict[str, dict[str, CredentialState]] = {}  # by partner, then by key

    def changed(self, view: View, now: datetime) -> list[CredentialState]:
        """The records that changed since the last call, which count as published now."""
        accounts = view.accounts
        if accounts is not self._accounts:
            self._accounts, self._marks = accounts, {}
        found: list[CredentialState] = []
        for partner in accounts.catalog.partners:
            mark = accounts.mark(partner.id, now)
            if self._marks.get(partner.id) == mark:
                continue
            self._marks[partner.id] = mark
            mine = dict(self._published.get(partner.id, {}))
            for decided in _of_partner(view, partner, now, self._policy):
                value = messages.state(decided, events_version=view.events_version)
                made = CredentialState(partner.id, f"{KEY}{decided.credential}", value)
                before = mine.pop(made.key, None)
                if before is None or _lasting(before) != _lasting(made):
                    found.append(made)
            found += [state._replace(value=None) for state in mine.values()]
        known = {partner.id for partner in accounts.catalog.partners}
        gone = [partner_id for partner_id in self._published if partner_id not in known]
        found += [s._replace(value=None) for partner_id in gone for s in self._published[partner_id].values()]
        for state in found:
            if state.value is None:
                del self._published[state.partner_id][state.key]
            else:
                self._published.setdefault(state.partner_id, {})[state.key] = state
        return found


def _lasting(state: CredentialState) -> dict[str, Any]:
    """The value without what every commit changes."""
    assert state.value is not None, "what is withdrawn is not compared"
    return {name: value for name, value in state.value.items() if name not in {"as_of", "events_version"}}
