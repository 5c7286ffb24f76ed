"""Detection of secrets in fields for ids.

A catalog is stored in git and in every close, so a secret cannot be removed later.

Text that can only be a secret is refused. Text that is random enough to be one only gets a warning, as some gateways
generate such ids.
"""

import re

# Pairs of a form, and what it is and what to write instead.
_REFUSED = (
    (r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\..*)?", "a JWT; give its issuer and client, with kind oidc"),
    (r"(?i:bearer|basic)\s.+", "an Authorization header; give the id of the credential"),
    (r"tb_[0-9a-f]{12}_.+", "a Tollbook key; give the partner's source, or the key's prefix"),
    (r"(sk|rk)_(live|test)_\w+|gh[pousr]_\w{20,}|github_pat_\w+|glpat-[\w-]{16,}|xox[abprs]-[\w-]+", "an access token; give the id of its owner"),
    (r"(?s:-----BEGIN.*)", "a PEM key or certificate; give the id that it is registered under"),
    (r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@.*", "a URL with a password; remove the password"),
    # 40 characters of base64 with both cases and digits. Ids of this length are SHA-1, which is hexadecimal.
    (
        r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9/+]{40}",
        "an AWS secret access key, or the value of an API key; give the access key's principal, or the API key's id",
    ),
)  # fmt: skip
_ANY = re.compile("|".join(f"(?:{form})" for form, _ in _REFUSED))
# Random text with both cases and digits. Names of 24 characters do not mix them like this.
_DOUBTED = re.compile(r"(?=(?:.*[A-Z]){3})(?=(?:.*[a-z]){3})(?=(?:.*[0-9]){3})[A-Za-z0-9_-]{24,}")


def refused(text: str) -> str | None:
    """The kind of secret, and what to write instead; None if the text may be an id."""
    if not _ANY.fullmatch(text):  # the usual case, decided by one match
        return None
    return next(what for form, what in _REFUSED if re.fullmatch(form, text))


def is_doubted(text: str) -> bool:
    """Whether the text is random enough to be a key itself."""
    return _DOUBTED.fullmatch(text) is not None
