"""Catalogs with one error in access: networks, policies, or the source of a partner."""

from tests.billing.broken_catalogs import Broken

_KEY = "{kind: api_key, id: key-a, valid_from: 2026-01-01}"
_PRINCIPAL = '{kind: iam, id: "arn:aws:sts::1:assumed-role/zeta/x", valid_from: 2026-01-01}'


def _acme(name: str, more: str, field: str, says: str) -> Broken:
    """The key of acme with more fields."""
    return Broken(
        name, "partners", _KEY, f"{_KEY[:-1]}, {more}}}", 11, f"partners.acme.credentials.0{field and '.'}{field}", says
    )


def _zeta(name: str, more: str, field: str, says: str) -> Broken:
    """The principal of zeta with more fields."""
    where = f"partners.zeta.credentials.0{field and '.'}{field}"
    return Broken(name, "partners", _PRINCIPAL, f"{_PRINCIPAL[:-1]}, {more}}}", 19, where, says)


BROKEN_ACCESS = [
    _acme("a name for a network", "networks: [office]", "networks.0", "is not a network; write it like 203.0.113.0/24"),
    _acme("a network without end", "networks: [203.0.113.0/33]", "networks.0", "is not a network"),
    _acme("an address in a network", "networks: [203.0.113.7/24]", "networks.0", "write 203.0.113.0/24, or 203.0.113.7"),
    _acme("an address in one of IPv6", 'networks: ["2001:db8::1/64"]', "networks.0", "write 2001:db8::/64, or 2001:db8::1"),
    _acme("IPv4 in the dress of IPv6", 'networks: ["::ffff:203.0.113.0/120"]', "networks.0", "write 203.0.113.0/24"),
    _acme("an interface of a machine", 'networks: ["fe80::1%eth0"]', "networks.0", "names an interface of one machine"),
    _acme("a network alone", "networks: 203.0.113.0/24", "networks", "must be a list"),
    _acme("nowhere", "networks: []", "networks", "is an empty list"),
    _acme("a policy for a key", 'allow: [{actions: ["s3:*"]}]', "", "`allow` is only for kind iam"),
    _zeta("a policy without actions", "allow: [{actions: []}]", "allow.0.actions", "is an empty list"),
    _zeta("a policy of nothing", "allow: []", "allow", "is an empty list"),
    _zeta("an action without its service", "allow: [{actions: [GetObject]}]", "allow.0.actions.0", "does not have the form"),
    _zeta("no ARN", 'allow: [{actions: ["s3:*"], resources: [wholesale]}]', "allow.0.resources.0", "does not have the form"),
    _zeta("a variable", 'allow: [{actions: ["s3:*"], resources: ["arn:aws:s3:::b/${aws:username}"]}]', "allow.0.resources.0", "contains a policy variable"),
    _zeta("a network of a grant", 'allow: [{actions: ["s3:*"], networks: [here]}]', "allow.0.networks.0", "is not a network"),
    Broken("a source of nobody", "seller",
           "legal_entities:", "sources: [{id: push, partner: gone}]\nlegal_entities:", 1, "sources.push.partner", "'gone'; known ids: acme, zeta"),
]  # fmt: skip
