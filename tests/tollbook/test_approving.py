"""Four eyes as two people use them: the commands, with keys of ssh-keygen, from close to issue."""

import subprocess
from pathlib import Path

from tests.tollbook.fixtures import AFTER_OCTOBER, Ended, Here, requests


def key_of(here: Here, who: str) -> Path:
    """A new private key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", here.folder / who], check=True)
    return here.folder / who


def asking(here: Here) -> None:
    """A catalog whose legal entity asks for the approval of one more person."""
    seller = here.catalog / "seller.yaml"
    people = [
        f'{{id: {who}, keys: ["{Path(f"{key_of(here, who)}.pub").read_text().strip()}"]}}' for who in ("ann", "bob")
    ]
    (file,) = [path for path in here.catalog.glob("*.yaml") if "legal_entities" in path.read_text()]
    book = file.read_text().replace(
        "invoice_prefix: S", f"approval: {{principals: [{', '.join(people)}]}}, invoice_prefix: S"
    )
    assert "approval" in book, seller
    file.write_text(book)


def step(here: Here, name: str, *words: object) -> Ended:
    return here.tollbook("invoice", name, "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER, *words)


def test_a_month_is_proposed_approved_and_issued(here: Here) -> None:
    """One signs here, the other elsewhere; each refusal is one line with exit code 1; the trail holds all acts."""
    asking(here)
    assert here.run(here.log("a.log", *requests(5))).code == 0
    close_id = here.close("--by", "carl", "--json").json["close_id"]
    refused = step(here, "issue")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "is not proposed; one of ann, bob runs `tollbook invoice propose`" in refused.err
    proposed = step(here, "propose", "--by", "ann", "--key", here.folder / "ann")
    assert (proposed.code, proposed.err) == (0, "")
    assert "is proposed by ann. It needs 1 more of: bob." in proposed.out
    refused = step(here, "approve", "--by", "ann", "--key", here.folder / "ann")
    assert (refused.code, "ann proposed close" in refused.err) == (1, True)
    signature = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "tollbook", "-f", here.folder / "bob"], input=close_id, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    made = here.folder / "bob.sig"
    made.write_text(signature)
    approved = step(here, "approve", "--by", "bob", "--signature", made, "--json")
    assert approved.json == {
        "close_id": close_id, "period": "2026-10", "legal_entity": "seller", "proposed_by": "ann", "approved_by": ["bob"], "required": 1,
        "approved": True, "new": True,
    }  # fmt: skip
    assert step(here, "issue", "--by", "dora").code == 0
    rows = here.table("audit", "SELECT what, recorded_by FROM t ORDER BY number")
    assert [(row["what"], row["recorded_by"]) for row in rows] == [
        ("close", "carl"), ("propose", "ann"), ("approve", "bob"), ("issue", "dora"),
    ]  # fmt: skip


def test_how_to_sign_must_be_given(here: Here) -> None:
    """Neither and both are wrong use."""
    for words in ([], ["--key", "a", "--signature", "b"]):
        ended = step(here, "propose", *words)
        assert (ended.code, "give either --key" in ended.err) == (2, True)
