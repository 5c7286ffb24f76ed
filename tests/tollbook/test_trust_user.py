"""A user name that nobody may have checked: refused, and counted when the source says that its gateway checks."""

from collections import Counter

from tests.tollbook.fixtures import Here, write_catalog

LINE = '203.0.113.9 - {user} [01/Oct/2026:10:00:00 +0000] "GET /v1/orders HTTP/1.1" {status} 320 "-" "curl/8"'
LINES = [
    LINE.format(user=user, status=status).encode() + b"\n"
    for user, status in (("c-acme", 200), ("c-acme", 201), ("c-acme", 429), ("c-nobody", 200), ("-", 200))
]


def reasons(here: Here) -> Counter[str]:
    return Counter(row["reason"] for row in here.table("dead", "SELECT reason::VARCHAR AS reason FROM t"))


def words(here: Here) -> tuple[object, ...]:
    return ("--catalog", here.catalog, "--lake", here.lake, "--format", "nginx", "--source", "edge", "--json")


def test_a_claim_is_refused_until_the_source_says_that_users_are_checked(here: Here) -> None:
    """NGINX logs the name of an Authorization header, whether or not anybody has asked for a password."""
    write_catalog(here.catalog)
    assert here.tollbook("run", *words(here), here.log("a.log", *LINES)).json["counted"] == 0
    assert reasons(here) == {"UNVERIFIED_USER": 3, "NO_PARTNER": 2}
    write_catalog(here.catalog, sources="sources: [{id: edge, trust_user: true}]\n")
    outcomes = here.tollbook("dead", "redrive", *words(here)).json["outcomes"]
    assert {(row["reason"], row["became"]): row["entries"] for row in outcomes} == {
        ("UNVERIFIED_USER", "counted"): 2,
        ("UNVERIFIED_USER", "UNKNOWN_CREDENTIAL"): 1,
        ("NO_PARTNER", "NO_PARTNER"): 2,
    }


def test_a_run_may_say_it(here: Here) -> None:
    """For a source that is not in the catalog, or for a trial."""
    write_catalog(here.catalog)
    assert here.tollbook("run", *words(here), "--trust-user", here.log("a.log", *LINES)).json["counted"] == 2
    assert reasons(here) == {"UNKNOWN_CREDENTIAL": 1, "NO_PARTNER": 2}
