"""Catalogs with one thing wrong about routes, filters and own traffic: filters that no request passes, claims on
somebody else's money.
"""

from tests.billing.broken_catalogs import Broken

_EGRESS = "unit: GB, divide_by: 1000000000"


def _filter(name: str, filters: str, field: str, says: str) -> Broken:
    """The meter egress with a filter."""
    where = f"meters.egress.filter{field and '.'}{field}"
    return Broken(name, "prices", _EGRESS, f"{_EGRESS}, filter: {{{filters}}}", 3, where, says)


def _source(name: str, source: str, field: str, says: str) -> Broken:
    """A source edge."""
    where = f"sources.edge{field and '.'}{field}"
    return Broken(
        name, "seller", "legal_entities:", f"sources: [{{id: edge, {source}}}]\nlegal_entities:", 1, where, says
    )


BROKEN_ROUTES = [
    _filter("a method that is none", "methods: [GET, 'P OST']", "methods.1", "is not an HTTP method"),
    _filter("a route with a query", "routes: ['/v1/x?y=1']", "routes.0", "routes have no query"),
    _filter("an empty route", "routes: ['']", "routes.0", "is empty; write a route, or `**`"),
    _filter("a method and no route", "routes: ['GET ']", "routes.0", "begins or ends with a space"),
    _filter("half a brace", "routes: ['/v1/{id']", "routes.0", "an unbalanced brace"),
    _filter("a route of a method that is left out", "methods: [POST], routes: ['/v1/x', 'get /v1/y']", "routes.1", "`methods` does not list"),
    _filter("a status that is taken off again", "status: ['404'], exclude_status: [4xx]", "", "no request is counted"),
    _source("a name without a pattern", "routes: [{name: export}]", "routes.0.logged", "is missing"),
    _source("a pattern with half a brace", "routes: [{logged: '/{id', name: x}]", "routes.0.logged", "an unbalanced brace"),
    _source("own traffic of nobody", "own: {partner: us, without_credential: true}", "own.partner", "'us'; known ids: acme, zeta"),
    _source("own traffic of a partner that pays", "own: {partner: acme, without_credential: true}", "own.partner", "'acme' is invoiced"),
    _source("a claim of nothing", "own: {partner: acme}", "own", "exactly one of `routes`"),
    _source("a claim twice", "own: {partner: acme, routes: ['/x'], without_credential: true}", "own", "exactly one of `routes`"),
    _source("a source of two owners", "partner: acme, own: {partner: acme, routes: ['/x']}", "", "remove `partner` or `own`"),
    Broken("a partner whom nobody invoices", "partners", "    legal_entity: north\n    time_zone: Europe/Berlin", "    time_zone: Europe/Berlin", 2, "partners.acme",
           "`legal_entity` is missing; name the entity"),
    Broken("an internal partner with a plan", "partners", "time_zone: Europe/Berlin", "time_zone: Europe/Berlin\n    status: internal", 2, "partners.acme",
           "is never invoiced; remove `legal_entity` and `plans`"),
]  # fmt: skip
