"""What a document says, whatever wrote it: plans, credentials, and what no catalog can express."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

Period = Literal["DAY", "WEEK", "MONTH"]


class BadDocument(Exception):
    """The document cannot be read. One line; it shows no value of the document, since any could be a secret."""


class Unsettled(Exception):
    """Something must be said by a person first. `problems` holds all of it; nothing was written."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Note(NamedTuple):
    """Something that the catalog does not say now, or says otherwise: where it stands, what, why, and what to do."""

    address: str
    attribute: str
    why: str
    remedy: str

    def __str__(self) -> str:
        named = f"{self.address}: {self.attribute}" if self.attribute else self.address
        return f"{named}: {self.why}; {self.remedy}"


class Allowed(NamedTuple):
    """A grant: these actions on these resources, from these networks or (None) from anywhere."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    networks: tuple[str, ...] | None = None

    @property
    def key(self) -> tuple[frozenset[str], frozenset[str], frozenset[str] | None]:
        """Equal for grants that mean the same in another order."""
        networks = None if self.networks is None else frozenset(self.networks)
        return frozenset(a.lower() for a in self.actions), frozenset(self.resources), networks


class FoundPlan(NamedTuple):
    """Limits that hold for some credentials. `names`: by what else a person may call it."""

    address: str
    name: str
    quotas: Mapping[Period, Decimal]
    rate_per_s: Decimal | None
    burst: int | None
    names: tuple[str, ...] = ()


class FoundCredential(NamedTuple):
    """A credential as the log shows it. `id` None: not known yet. `plan`: the address of its plan."""

    kind: Literal["api_key", "iam", "consumer"]
    id: str | None
    address: str
    names: tuple[str, ...] = ()
    partner: str | None = None  # as a tag says
    plan: str | None = None
    allow: tuple[Allowed, ...] | None = None  # None: nothing is known about it


@dataclass(frozen=True, kw_only=True)
class Found:
    """All of a document. `secrets` are values that must not show up anywhere, and are never printed themselves."""

    plans: tuple[FoundPlan, ...] = ()
    credentials: tuple[FoundCredential, ...] = ()
    notes: tuple[Note, ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)  # kinds of things that no catalog is about, counted
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
