"""Four eyes: nothing is issued before one person proposed it and others approved it, by signatures of ssh-keygen."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from billing.invoicing import closing, four_eyes, issuing, stored
from billing.invoicing.closing import Close, Refused
from billing.invoicing.corrections import rebilling, records
from billing.invoicing.corrections.rebilling import Person, Rebilled
from billing.receivables import audit, signatures
from billing.receivables.audit import AuditEntry
from lake.lake import Lake
from schemas.catalog.approval import Approval
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW

pytestmark = pytest.mark.integration
PEOPLE = ("ann", "bob", "cleo")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A private key for each of the people, and one of a person that nobody knows."""
    folder = tmp_path_factory.mktemp("keys")
    for who in (*PEOPLE, "mallory"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / who], check=True)
    return {who: folder / who for who in (*PEOPLE, "mallory")}


def public(keys: Mapping[str, Path], who: str) -> str:
    return Path(f"{keys[who]}.pub").read_text()


def approval(keys: Mapping[str, Path], required: int = 1) -> dict[str, object]:
    people = [{"id": who, "keys": [public(keys, who)]} for who in PEOPLE]
    return {"required": str(required), "principals": people}


def close(root: Path, keys: Mapping[str, Path], required: int = 1) -> Close:
    """October, closed under a catalog that asks for so many approvals."""
    parts = document()
    parts["legal_entities"][0]["approval"] = approval(keys, required)
    return closing.close(Lake(root), book(**parts), "2026-10", "north", prove=lambda *_: [], now=NOW)


def propose(root: Path, made: Close, keys: Mapping[str, Path], by: str, signer: str | None = None) -> bool:
    key = keys[signer or by]
    return four_eyes.propose(Lake(root), made, lambda text: signatures.signed(text, key), by=by, now=NOW)[1]


def approve(root: Path, made: Close, keys: Mapping[str, Path], by: str, signer: str | None = None) -> bool:
    key = keys[signer or by]
    return four_eyes.approve(Lake(root), made, lambda text: signatures.signed(text, key), by=by, now=NOW)[1]


def issued(root: Path, made: Close) -> int:
    return issuing.issue(Lake(root), made, by="cleo", now=NOW).new


def test_a_close_is_issued_once_it_was_proposed_and_approved(root: Path, keys: Mapping[str, Path]) -> None:
    """Each refusal says who can do what next, and the trail has a row for each act."""
    made = close(root, keys)
    with pytest.raises(Refused, match=r"is not proposed; one of ann, bob, cleo runs `tollbook invoice propose`"):
        issued(root, made)
    with pytest.raises(Refused, match="is not proposed"):
        approve(root, made, keys, "bob")
    assert propose(root, made, keys, "ann")
    with pytest.raises(Refused, match=r"proposed by ann, needs 1 more approval; one of bob, cleo runs"):
        issued(root, made)
    assert approve(root, made, keys, "bob")
    assert issued(root, made) == 2
    trail = [(row.what, row.recorded_by) for row in audit.rows(Lake(root))]
    assert trail == [("propose", "ann"), ("approve", "bob"), ("issue", "cleo"), ("issue", "cleo")]
    assert audit.problems(audit.rows(Lake(root))) == []


def test_repeating_changes_nothing(root: Path, keys: Mapping[str, Path]) -> None:
    """Of all three steps."""
    made = close(root, keys)
    assert [propose(root, made, keys, "ann") for _ in range(2)] == [True, False]
    assert [approve(root, made, keys, "bob") for _ in range(2)] == [True, False]
    assert [issued(root, made) for _ in range(2)] == [2, 0]
    assert len(audit.rows(Lake(root))) == 4


def test_the_proposer_cannot_approve_and_another_cannot_propose_again(root: Path, keys: Mapping[str, Path]) -> None:
    """Else one person would be enough."""
    made = close(root, keys)
    propose(root, made, keys, "ann")
    with pytest.raises(Refused, match=r"ann proposed close .* and cannot approve it; one of bob, cleo can"):
        approve(root, made, keys, "ann")
    with pytest.raises(Refused, match=r"is proposed by ann already; approve it"):
        propose(root, made, keys, "bob")
    assert len(audit.rows(Lake(root))) == 1


def test_two_approvals_need_two_people(root: Path, keys: Mapping[str, Path]) -> None:
    """The same one twice is one."""
    made = close(root, keys, required=2)
    propose(root, made, keys, "ann")
    approve(root, made, keys, "bob")
    approve(root, made, keys, "bob")
    with pytest.raises(Refused, match="needs 1 more approval; one of cleo runs"):
        issued(root, made)
    approve(root, made, keys, "cleo")
    assert issued(root, made) == 2


@pytest.mark.parametrize("signer", ["mallory", "bob"])
def test_a_signature_by_another_key_is_refused(root: Path, keys: Mapping[str, Path], signer: str) -> None:
    """Of a person that the catalog does not know, and of somebody else who may approve."""
    made = close(root, keys)
    with pytest.raises(Refused, match="is not by a key of ann in the catalog of the close"):
        propose(root, made, keys, "ann", signer)
    with pytest.raises(Refused, match="'mallory' is no principal of legal entity north; name one of ann, bob, cleo"):
        propose(root, made, keys, "mallory")
    assert audit.rows(Lake(root)) == []


def test_rows_that_somebody_wrote_approve_nothing(root: Path, keys: Mapping[str, Path]) -> None:
    """Issue verifies the signatures again: over this close id, in this namespace, by a key of that person."""
    made = close(root, keys)
    other = signatures.signed("another close", keys["bob"])
    propose(root, made, keys, "ann")
    audit.record(Lake(root), [AuditEntry("approve", made.close_id, {"signature": other})], by="bob", now=NOW)
    with pytest.raises(Refused, match=r"the record of bob holds no valid signature of bob"):
        issued(root, made)
    elsewhere = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", keys["cleo"]], input=made.close_id, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    with pytest.raises(Refused, match="is not by a key of cleo"):
        four_eyes.approve(Lake(root), made, lambda _: elsewhere, by="cleo", now=NOW)
    approve(root, made, keys, "cleo")
    assert issued(root, made) == 2


def test_an_approval_counts_for_one_close(root: Path, keys: Mapping[str, Path]) -> None:
    """Another catalog makes another close, which starts from nothing; whoever signed the earlier one is told so."""
    first = close(root, keys)
    propose(root, first, keys, "ann")
    approve(root, first, keys, "bob")
    with pytest.raises(
        Refused, match=rf"is not proposed; .* \(it superseded {first.close_id}, which ann proposed; .*\)"
    ):
        issued(root, close(root, keys, required=2))


def test_whoever_approved_first_and_proposed_then_is_one_person(root: Path, keys: Mapping[str, Path]) -> None:
    """The rows of a table can be in any order: one person alone never issues."""
    made = close(root, keys)
    signature = signatures.signed(made.close_id, keys["ann"])
    audit.record(Lake(root), [AuditEntry("approve", made.close_id, {"signature": signature})], by="ann", now=NOW)
    assert propose(root, made, keys, "ann")
    with pytest.raises(Refused, match="proposed by ann, needs 1 more approval; one of bob, cleo runs"):
        issued(root, made)


def test_a_rebill_needs_the_approval_of_its_close(root: Path, keys: Mapping[str, Path]) -> None:
    """The refusal leaves the invoice as it is and says how to go on; meanwhile a plain issue is refused, too."""
    made = close(root, keys)
    propose(root, made, keys, "ann")
    approve(root, made, keys, "bob")
    issued(root, made)
    parts = document()
    parts["legal_entities"][0]["approval"] = approval(keys)
    parts["rate_cards"][0]["versions"][0]["rates"][0]["price"]["amount"] = "30"

    def rebill() -> Rebilled:
        person = Person("cleo", "fee")
        return rebilling.rebill(Lake(root), "NM-2026-000001", book(**parts), person, prove=lambda *_: [], now=NOW)

    with pytest.raises(Refused, match=r"is not proposed; .*; then repeat `tollbook invoice rebill NM-2026-000001 …`"):
        rebill()
    assert [row["number"] for row in stored.rows(Lake(root))] == ["NM-2026-000001", "NM-2026-000002"]
    assert records.recorded(Lake(root)) == {}
    new = closing.newest_close(Lake(root), "2026-10", "north")
    assert new is not None
    propose(root, new, keys, "bob")
    approve(root, new, keys, "cleo")
    with pytest.raises(
        Refused, match=r"belongs to an unfinished rebill of NM-2026-000001; repeat `tollbook invoice rebill"
    ):
        issued(root, new)
    found = rebill()
    assert found.invoice is not None
    assert (found.note.number, found.invoice["number"]) == ("NM-CN-2026-000001", "NM-2026-000003")


def test_an_entity_without_approval_is_issued_as_before(root: Path, keys: Mapping[str, Path]) -> None:
    """And a proposal is refused, as it would mean nothing."""
    made = closing.close(Lake(root), book(), "2026-10", "north", prove=lambda *_: [], now=NOW)
    with pytest.raises(Refused, match="asks for no approval"):
        propose(root, made, keys, "ann")
    assert issued(root, made) == 2


def test_what_cannot_be_signed_is_reported(root: Path, keys: Mapping[str, Path], tmp_path: Path) -> None:
    """In one line, with the remedy."""
    made = close(root, keys)
    with pytest.raises(Refused, match=r"did not sign: .*name the file of your private key with --key"):
        four_eyes.propose(Lake(root), made, lambda text: signatures.signed(text, tmp_path / "none"), by="ann", now=NOW)


def test_a_catalog_that_two_people_cannot_use_is_refused(keys: Mapping[str, Path]) -> None:
    """Too few people, a key of two people, a person twice, a key that is none."""
    one, two = ({"id": who, "keys": (public(keys, who),)} for who in ("ann", "bob"))
    for principals, message in (
        ([one], "1 approvals and a proposal need 2 principals, and there are 1"),
        ([one, {**two, "keys": one["keys"]}], "'ann' and 'bob' have the same key"),
        ([one, one], "'ann' is there twice"),
        ([one, {**two, "keys": ("ssh-ed25519 AAAA",)}], "is cut off or not a key of the type"),
        ([one, {**two, "keys": ("-----BEGIN OPENSSH PRIVATE KEY-----",)}], "is not an SSH public key"),
        ([one, {**two, "id": "*"}], "String should match pattern"),
    ):
        with pytest.raises(ValidationError, match=message):
            Approval.model_validate({"principals": principals})
