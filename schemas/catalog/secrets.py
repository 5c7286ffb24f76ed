"""What a secret looks like that was put where an id belongs. A catalog is kept in git and goes into every close: too late to take back.

Two lists: what can be nothing but a secret is refused; what is random enough to be one is doubted, since some gateways make ids
like that, and the check says so.
"""

import re

# Form → what it is, and what belongs there instead.
_REFUSED = (
    (r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\..*)?", "a JWT; give its issuer and client, as kind oidc"),
    (r"(?i:bearer|basic)\s.+", "an Authorization header; give the id of what was authorised"),
    (r"tb_[0-9a-f]{12}_.+", "a key of Tollbook's own; give the partner's source, or the key's prefix"),
    (r"(sk|rk)_(live|test)_\w+|gh[pousr]_\w{20,}|github_pat_\w+|glpat-[\w-]{16,}|xox[abprs]-[\w-]+", "an access token; give its owner's id"),
    (r"(?s:-----BEGIN.*)", "a key or certificate in PEM; give the id it is registered by"),
    (r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@.*", "an address with a password in it; leave the password out"),
    # Mixed case and digits in 40 characters of base64; ids of this length (SHA-1) are hexadecimal.
    (
        r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9/+]{40}",
        "an AWS secret access key, or the value of an API key; give the access key's principal, or the API key's id",
    ),
)  # fmt: skip
_ANY = re.compile("|".join(f"(?:{form})" for form, _ in _REFUSED))
# Random text in mixed case, with digits: 24 characters hold more than any name does.
_DOUBTED = re.compile(r"(?=(?:.*[A-Z]){3})(?=(?:.*[a-z]){3})(?=(?:.*[0-9]){3})[A-Za-z0-9_-]{24,}")


def refused(text: str) -> str | None:
    """What secret this is, and what to write instead; None for what may be an id."""
    if not _ANY.fullmatch(text):  # almost always
        return None
    return next(what for form, what in _REFUSED if re.fullmatch(form, text))


def is_doubted(text: str) -> bool:
    """Whether this may be a key itself: random, and none of the ids that are made at random."""
    return _DOUBTED.fullmatch(text) is not None
