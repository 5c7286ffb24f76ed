"""The import model: plans, credentials and unsupported settings of a document, independent of its format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

Period = Literal["DAY", "WEEK", "MONTH"]


class BadDocument(Exception):
    """The document cannot be read. The message is one line and shows no value, which could be a secret."""


class ImportConflict(Exception):
    """The import needs a decision of the user. `problems` lists every open question; nothing was written."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Note(NamedTuple):
    """A setting that the catalog cannot express, or that differs in the catalog: where it is, why, and what to do."""

    address: str
    attribute: str
    why: str
    remedy: str

    def __str__(self) -> str:
        named = f"{self.address}: {self.attribute}" if self.attribute else self.address
        return f"{named}: {self.why}; {self.remedy}"


class ImportedGrant(NamedTuple):
    """A grant: actions on resources, from the given networks. `networks=None` means any network."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    networks: tuple[str, ...] | None = None

    @property
    def key(self) -> tuple[frozenset[str], frozenset[str], frozenset[str] | None]:
        """A key that is equal for grants that differ only in order or in the case of actions."""
        networks = None if self.networks is None else frozenset(self.networks)
        return frozenset(a.lower() for a in self.actions), frozenset(self.resources), networks


class ImportedPlan(NamedTuple):
    """Limits that apply to some credentials. `names` lists the other names that a rule may use for the plan."""

    address: str
    name: str
    quotas: Mapping[Period, Decimal]
    rate_per_s: Decimal | None
    burst: int | None
    names: tuple[str, ...] = ()


class ImportedCredential(NamedTuple):
    """A credential as the access log shows it. `id=None`: the id is not yet known. `plan`: the address of its plan."""

    kind: Literal["api_key", "iam", "consumer"]
    id: str | None
    address: str
    names: tuple[str, ...] = ()
    partner: str | None = None  # from a tag
    plan: str | None = None
    allow: tuple[ImportedGrant, ...] | None = None  # None: the document holds no policy for it


@dataclass(frozen=True, kw_only=True)
class ImportModel:
    """The content of a document. `secrets` are values that must not be written or printed anywhere."""

    plans: tuple[ImportedPlan, ...] = ()
    credentials: tuple[ImportedCredential, ...] = ()
    notes: tuple[Note, ...] = ()
    others: Mapping[str, int] = field(
        default_factory=dict
    )  # number of objects of each kind that a catalog does not hold
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class ImportOptions(NamedTuple):
    """The choices of the user for one import."""

    rate_card: str | None = None
    meter: str | None = None
    valid_from: date | None = None
    overwrite: bool = False
