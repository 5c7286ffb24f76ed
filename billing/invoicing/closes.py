"""Closes as they are stored: their documents, the rules and the catalog in them, and the lake that they pin."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from billing.catalog import loading as catalogs
from billing.invoicing import proofs, rules
from billing.usage.warehouse import Warehouse
from lake.errors import Damaged, LakeError
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.tables import CLOSES, GRANTS


class Refused(Exception):
    """A business rule forbids the action. `problems` holds every reason with its remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Close(NamedTuple):
    """A close. `document` is canonical JSON and `close_id` is its hash, so the id does not depend on `closed_at`."""

    close_id: str
    period: str
    legal_entity: str
    document: str
    closed_at: datetime

    @property
    def content(self) -> dict[str, Any]:
        """The parsed document. It is shared between callers; do not modify it."""
        return _read(self.document)

    @property
    def rules(self) -> rules.Rules:
        """The rules by which the close is billed and verified."""
        try:
            return rules.of(self.content)
        except KeyError as exc:
            raise LakeError(f"close {self.close_id} uses rules {exc} of a later version; upgrade tollbook") from exc

    def catalog(self) -> Catalog:
        """The catalog at the time of the close."""
        return catalogs.of_close(self.document)

    def partners(self) -> list[Partner]:
        """The partners whose month the close settles, without blocked partners."""
        return self.rules.partners(self.content, self.catalog())

    @property
    def blocked(self) -> dict[str, list[str]]:
        """The partners without an invoice from this close, each with its problems."""
        return self.content.get("blocked", {})  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _read(document: str) -> dict[str, Any]:
    return json.loads(document)  # type: ignore[no-any-return]


def newest_close(lake: Lake, label: str, legal_entity: str) -> Close | None:
    """The newest close of the period and legal entity, or None."""
    return newest_in(Warehouse(lake, only=[CLOSES.name]), label, legal_entity)


class _ById(dict[str, Close]):
    """Closes by id. A look-up of a missing close raises LakeError, because an invoice refers to it."""

    def __init__(self, lake: Lake) -> None:
        super().__init__({made.close_id: made for made in all_closes(lake)})
        self._lake = lake

    def __missing__(self, close_id: str) -> Close:
        raise LakeError(
            f"close {close_id}, which an invoice names, is missing in {self._lake}; restore table closes from a backup"
        )


def closes_by_id(lake: Lake) -> Mapping[str, Close]:
    """Every close by its id, read and verified once. A look-up of a missing close raises LakeError."""
    return _ById(lake)


def close_by_id(lake: Lake, close_id: str) -> Close:
    """The close with this id, to which an invoice refers."""
    return closes_by_id(lake)[close_id]


def all_closes(lake: Lake) -> list[Close]:
    """All closes. The newest close of a period comes last."""
    return closes_in(Warehouse(lake, only=[CLOSES.name]))


def pinned(lake: Lake, made: Close) -> Warehouse:
    """The lake at the table versions of a close."""
    return Warehouse(lake, pinned_versions(made))


def pinned_versions(made: Close) -> dict[str, int]:
    """The table versions of a close. One that names no version of `grants` was made when there were none."""
    return {GRANTS.name: 0, **made.content["versions"]}


def closes_in(warehouse: Warehouse) -> list[Close]:
    """All closes of a lake at pinned versions. Raises Damaged if the document of one was changed."""
    found = [Close(**row) for row in warehouse.query("closes").to_pylist()]
    if problems := [p for made in found for p in proofs.close_document(made.close_id, made.document)]:
        raise Damaged("; ".join(problems))
    return found


def newest_in(warehouse: Warehouse, label: str, legal_entity: str) -> Close | None:
    """The newest close of the period and legal entity at pinned versions, or None."""
    found = [c for c in closes_in(warehouse) if (c.period, c.legal_entity) == (label, legal_entity)]
    return found[-1] if found else None
