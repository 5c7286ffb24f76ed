"""Issued documents, as later bills see them: what was billed in which period, without how it was priced."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from billing.rating.extras import ExtraKind


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


class IssuedAmount(NamedTuple):
    """One amount of an issued document: a line of usage (`kind` is None), or an extra with its facts.

    A line of a credit note has the kind and the facts of what it credits, and the opposite sign.
    """

    number: str
    period: str
    kind: ExtraKind | None
    facts: Mapping[str, Any]
    amount: Decimal


Before = Mapping[str, Sequence[IssuedDocument]]  # partner id → the issued documents on which its next bill rests
NOTHING: Before = MappingProxyType({})


@lru_cache(maxsize=1024)
def _read(document: str) -> Mapping[str, Any]:
    return json.loads(document)  # type: ignore[no-any-return]


def entries(documents: Sequence[IssuedDocument]) -> Iterator[IssuedAmount]:
    """Every amount of the documents, in their order. The documents contain whatever their credit notes credit."""
    contents = {issued.number: issued.content for issued in documents}
    for issued in documents:
        for line in (*issued.content["lines"], *issued.content.get("extras", ())):
            source = _credited(contents, line)
            kind = None if source is None or "kind" not in source else ExtraKind(source["kind"])
            yield IssuedAmount(issued.number, issued.period, kind, source or {}, Decimal(line["amount"]))


def _credited(contents: Mapping[str, Mapping[str, Any]], line: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a line of a credit note credits, or the line itself. None for a credit on a document as a whole."""
    while credited := line.get("credits"):
        document = contents[credited["number"]]
        found = [*document["lines"], *document.get("extras", ())]
        if credited["position"] is None:
            return None
        line = next(each for each in found if each["position"] == credited["position"])
    return line
