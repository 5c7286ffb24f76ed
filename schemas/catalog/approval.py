"""Four eyes: who may propose and approve the invoices of a legal entity, by their SSH public keys."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from schemas.catalog.fields import CatalogRecord

KEY_TYPES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
)  # fmt: skip
_LENGTH_BYTES = 4  # before the type within a key
_KEY = re.compile(r"(?P<type>[a-z0-9@.-]+) (?P<blob>[A-Za-z0-9+/]+={0,2})(?: [\x20-\x7e]{0,200})?")


def _public_key(text: str) -> str:
    """The type and the key, without the comment."""
    remedy = "write the one line of the file that ends in .pub, such as `ssh-ed25519 AAAA… ann@example.com`"
    found = _KEY.fullmatch(text.strip())
    if found is None or found["type"] not in KEY_TYPES:
        raise ValueError(f"{text[:40]!r} is not an SSH public key of a known type; {remedy}")
    kind = found["type"].encode()
    try:
        blob = base64.b64decode(found["blob"], validate=True)
    except binascii.Error:
        blob = b""
    if not blob.startswith(len(kind).to_bytes(_LENGTH_BYTES) + kind):
        raise ValueError(f"{text[:40]!r} is cut off or not a key of the type that it names; {remedy}")
    return f"{found['type']} {found['blob']}"


PublicKey = Annotated[str, Field(max_length=2000), AfterValidator(_public_key)]


class Principal(CatalogRecord):
    """A person who may propose and approve, with the SSH public keys of that person."""

    # Without the wildcards of a file of allowed signers.
    id: str = Field(pattern=r"^[A-Za-z0-9._@+-]{1,64}$", description="Name of the person, as given with --by.")
    keys: tuple[PublicKey, ...] = Field(
        min_length=1, description="SSH public keys of the person, each the line of a file that ends in .pub."
    )


class Approval(CatalogRecord):
    """Invoices are issued only after one person has proposed them and others have approved them."""

    required: int = Field(default=1, ge=1, le=10, description="How many people approve, besides the one who proposes.")
    principals: tuple[Principal, ...] = Field(
        min_length=1, description="Who may propose and approve: at least one person more than `required`."
    )

    @model_validator(mode="after")
    def _different_people(self) -> "Approval":
        owners: dict[str, str] = {}
        ids = [person.id for person in self.principals]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"principal {twice[0]!r} is there twice; put all keys of a person into one")
        for person in self.principals:
            for key in person.keys:
                if owners.setdefault(key, person.id) != person.id:
                    raise ValueError(
                        f"principals {owners[key]!r} and {person.id!r} have the same key; two people need two keys"
                    )
        if len(ids) <= self.required:
            raise ValueError(
                f"{self.required} approvals and a proposal need {self.required + 1} principals, and there are {len(ids)}; add some"
            )
        return self

    def principal(self, principal_id: str) -> Principal | None:
        """The person with this id, or None."""
        return next((person for person in self.principals if person.id == principal_id), None)
