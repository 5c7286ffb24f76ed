"""Proofs that closes and invoices are unchanged, from their own hashes, totals and lines, without rating them again.

Every function returns a list of problems, each with what was changed and the remedy. `invoice verify` runs the proofs
for every invoice, and `issue` runs them before it assigns numbers (docs/decisions/022-hashes-of-files.md).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.invoicing.render import as_json
from lake import commit_log
from lake.errors import LakeError
from lake.lake import Lake
from schemas import tables


def files_sha256(lake: Lake, versions: Mapping[str, int]) -> dict[str, str]:
    """The digest of the files of each table at its version, by table name. A close stores it under `files_sha256`."""
    return {
        name: commit_log.digest(lake.history(tables.ALL[name], version)) for name, version in sorted(versions.items())
    }


def pinned_files(lake: Lake, content: Mapping[str, Any]) -> list[str]:
    """Problems of the table versions that a close pins: files with changed bytes, or other files than were pinned.

    Reads every file. A close of a version without digests pins none, so its files are compared only with their commits.
    """
    problems: list[str] = []
    digests: Mapping[str, str] = content.get("files_sha256", {})
    for name, version in sorted(content["versions"].items()):
        shape = tables.ALL[name]
        try:
            found = lake.history(shape, version)
        except LakeError as exc:
            problems.append(str(exc))
            continue
        problems += [*found.problems, *lake.changed_files(shape, found)]
        if name in digests and commit_log.digest(found) != digests[name]:
            problems.append(
                f"table {name}: version {version} holds other files than the close pinned; restore {lake.folder(tables.ALL[name])} from a backup made after the close"
            )
    return problems


def close_document(close_id: str, document: str) -> list[str]:
    """A problem if the id of a close is not the hash of its document."""
    if close_id_of(document) == close_id:
        return []
    return [
        f"close {close_id}: its document in table closes was changed after the close; restore table closes from a backup"
    ]


def close_id_of(document: str) -> str:
    """The id of a close with this document, which is canonical JSON."""
    return hashlib.sha256(document.encode()).hexdigest()[:24]


def usage(content: Mapping[str, Any], hashed: Mapping[str, str]) -> list[str]:
    """A problem for each partner whose usage differs from the close.

    `hashed` maps partner ids to current hashes by the close's rules.
    """
    return [
        f"partner {partner_id}: its usage is not what it was at the close (its SHA-256 differs); restore tables rollups and events from a backup"
        for partner_id, found in hashed.items()
        if found != content["usage"][partner_id]
    ]


def invoice(
    row: Mapping[str, Any], content: Mapping[str, Any], rendered: Callable[[Mapping[str, Any]], bytes] = as_json
) -> list[str]:
    """Problems if a row of the table `invoices`, its document, the lines of the document and the close do not agree.

    `row` has the columns of billing/sql/invoices.sql, `content` is the document of the close, and `rendered` is the
    JSON rendering of its rules.
    """
    number, remedy = row["number"], "restore table invoices from a backup"
    try:
        document = json.loads(row["document"])
        stated = {
            "number": document["number"],
            "partner_id": document["buyer"]["id"],
            "period": document["period"]["label"],
            "close_id": document["evidence"]["close_id"],
            "currency": document["currency"],
        }
        total, lines = (
            Decimal(document["total"]),
            sum((Decimal(x["amount"]) for x in [*document["lines"], *document.get("extras", [])]), Decimal(0)),
        )
        usage_sha256 = document["evidence"]["usage_sha256"]
    except (ValueError, KeyError, TypeError, InvalidOperation) as exc:
        return [f"{number}: its document cannot be read ({type(exc).__name__}: {exc}); {remedy}"]
    problems = [
        f"{number}: column {name} is {row[name]}, the document says {value}; {remedy}"
        for name, value in stated.items()
        if row[name] != value
    ]
    if row["total"] != total:
        problems.append(
            f"{number}: column total is {row['total'].normalize():f}, the document says {document['total']}; {remedy}"
        )
    if total != lines:
        problems.append(
            f"{number}: the lines of its document sum up to {lines}, its total is {document['total']}; {remedy}"
        )
    if hashlib.sha256(rendered(document)).hexdigest() != row["json_sha256"]:
        problems.append(f"{number}: its document was changed after it was issued (its SHA-256 differs); {remedy}")
    # The usage of an adjustment is that of the closes that it names. They are proved by their own invoices.
    if "adjusts" not in document["evidence"] and usage_sha256 != content["usage"].get(stated["partner_id"]):
        problems.append(
            f"{number}: its document names other usage than its close {row['close_id']} (usage_sha256); {remedy}"
        )
    return problems
