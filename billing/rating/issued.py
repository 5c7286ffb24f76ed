"""Issued documents, as later bills see them: what was billed in which period, without how it was priced."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from billing.rating.extras import ExtraKind
from schemas.money import EXACT


class IssuedDocument(NamedTuple):
    """An issued document of a partner. `document` is its JSON, whose rendering has the hash `json_sha256`."""

    number: str
    kind: str  # invoice, credit_note or adjustment
    partner_id: str
    period: str
    currency: str
    total: Decimal
    json_sha256: str
    document: str

    @property
    def content(self) -> Mapping[str, Any]:
        """The parsed document. It is shared between callers; do not modify it."""
        return _read(self.document)

    def extras(self, kind: ExtraKind) -> Iterator[Mapping[str, Any]]:
        """The amounts of one kind that are not usage at a rate."""
        return (extra for extra in self.content.get("extras", ()) if extra["kind"] == kind.value)

    def without(self, *kinds: ExtraKind) -> Decimal:
        """The total without the amounts of these kinds."""
        with localcontext(EXACT):
            left_out = (Decimal(extra["amount"]) for kind in kinds for extra in self.extras(kind))
            return self.total - sum(left_out, Decimal(0))


Before = Mapping[str, Sequence[IssuedDocument]]  # partner id → the issued documents on which its next bill rests
NOTHING: Before = MappingProxyType({})


@lru_cache(maxsize=1024)
def _read(document: str) -> Mapping[str, Any]:
    return json.loads(document)  # type: ignore[no-any-return]
