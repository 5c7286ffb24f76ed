"""Policies as grants: exactly where a grant can say it, else named and never looser than the policy."""

import fnmatch
import itertools
import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.imports.iam import grants, patterns_overlap, policy
from billing.catalog.imports.model import BadDocument, ImportedGrant, Note
from schemas.catalog.credentials import Grant
from tests.billing.import_documents import POLICY, VALUES, places, spoiled
from tests.long import amount

BUCKET = "arn:aws:s3:::b/*"


def read(*statements: dict[str, Any]) -> tuple[tuple[ImportedGrant, ...], tuple[Note, ...]]:
    found = policy({"Version": "2012-10-17", "Statement": list(statements)}, "p")
    return grants([found]), found.notes


def allow(action: Any = "s3:GetObject", resource: Any = BUCKET, **rest: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **rest}


def deny(action: Any = "*", resource: Any = "*", **rest: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **rest}


def test_the_policy_of_a_partner_with_a_network_becomes_two_grants_and_nothing_is_left_out() -> None:
    """Two actions on a bucket and its objects from one network, one function from anywhere: what issue 5 asks for,
    exactly.
    """
    found = policy(POLICY, "policy.json")
    assert grants([found]) == (
        ImportedGrant(
            ("s3:GetObject", "s3:ListBucket"),
            ("arn:aws:s3:::wholesale-exports", "arn:aws:s3:::wholesale-exports/*"),
            ("203.0.113.0/24",),
        ),
        ImportedGrant(("lambda:InvokeFunction",), ("arn:aws:lambda:eu-central-1:111122223333:function:quote",), None),
    )
    assert found.notes == ()


@pytest.mark.parametrize(
    ("condition", "networks"),
    [
        ({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}, ("203.0.113.0/24", "2001:db8::/32")),
        ({"IpAddress": {"AWS:sourceip": "203.0.113.7"}}, ("203.0.113.7/32",)),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.7/24"}}, ("203.0.113.0/24",)),
    ],
    ids=["two families", "a single address, the key in other letters", "host bits"],
)
def test_source_networks_are_read_as_iam_reads_them(condition: dict[str, Any], networks: tuple[str, ...]) -> None:
    """The catalog keeps networks in one form; a policy may write them in several."""
    (grant,), notes = read(allow(Condition=condition))
    assert grant.networks == networks
    assert notes == ()


# A statement of which nothing may be imported, and the attribute that is named for it.
LEFT_OUT = {
    "NotAction": ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "NotAction"),
    "NotResource": ({"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::secret"}, "NotResource"),
    "Principal": (allow(Principal="*"), "Principal"),
    "another condition key": (
        allow(Condition={"StringLike": {"s3:prefix": ["a/*"]}}),
        "Condition.StringLike.s3:prefix",
    ),
    "the network of a VPC": (
        allow(Condition={"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}}),
        "Condition.IpAddress.aws:VpcSourceIp",
    ),
    "StringLike on SourceVpc": (
        allow(Condition={"StringLike": {"aws:SourceVpc": "vpc-*"}}),
        "Condition.StringLike.aws:SourceVpc",
    ),
    "NotIpAddress": (
        allow(Condition={"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
        "Condition.NotIpAddress.aws:SourceIp",
    ),
    "one condition of two": (
        allow(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}, "Bool": {"aws:SecureTransport": "true"}}),
        "Condition.Bool.aws:SecureTransport",
    ),
    "no network at all": (allow(Condition={"IpAddress": {"aws:SourceIp": []}}), "Condition"),
    "a network that is none": (
        allow(Condition={"IpAddress": {"aws:SourceIp": "office"}}),
        "Condition.IpAddress.aws:SourceIp",
    ),
    "IPv4 in the dress of IPv6": (
        allow(Condition={"IpAddress": {"aws:SourceIp": "::ffff:203.0.113.0/120"}}),
        "Condition.IpAddress.aws:SourceIp",
    ),
    "a variable": (allow(resource="arn:aws:s3:::home/${aws:username}/*"), "Resource"),
    "an action that is none": (allow(action="GetObject"), "Action"),
    "no resource": ({"Effect": "Allow", "Action": "s3:*"}, "Resource"),
    "no action": ({"Effect": "Allow", "Resource": "*"}, "Action"),
    "a field that is unknown": (allow(Conditions={}), "Conditions"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_allow_that_a_grant_cannot_say_is_left_out_and_named(name: str) -> None:
    """Without its condition it would allow more than the policy: a check that is looser than AWS finds nothing."""
    statement, attribute = LEFT_OUT[name]
    found, notes = read(allow("sqs:SendMessage", "*"), statement)
    assert found == (ImportedGrant(("sqs:SendMessage",), ("*",)),)
    assert attribute in {n.attribute.partition(".")[2] for n in notes}
    assert all(n.attribute.startswith("Statement[1]") and n.why and n.remedy for n in notes)


def test_of_several_resources_only_the_one_with_a_variable_is_left_out() -> None:
    """Every part that a grant can express is imported."""
    (grant,), (note,) = read(allow(resource=[BUCKET, "arn:aws:s3:::home/${aws:username}/*"]))
    assert grant.resources == (BUCKET,)
    assert "${aws:username}" in note.why


def test_a_deny_takes_away_what_it_touches_and_nothing_else() -> None:
    """A catalog has no Deny; an Allow that stayed whole beside one would be looser than the policy."""
    found, notes = read(
        allow(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::b/open/*", "arn:aws:s3:::b/closed/*"]),
        allow("sqs:SendMessage", "*"),
        deny("s3:Put*", "arn:aws:s3:::b/closed/*"),
    )
    assert found == (
        ImportedGrant(("s3:GetObject",), ("arn:aws:s3:::b/open/*", "arn:aws:s3:::b/closed/*")),
        ImportedGrant(("s3:PutObject",), ("arn:aws:s3:::b/open/*",)),
        ImportedGrant(("sqs:SendMessage",), ("*",)),
    )
    assert [n.attribute for n in notes] == ["Statement[2].Effect Deny"]


def test_a_deny_of_all_other_networks_becomes_the_networks_of_the_grants() -> None:
    """The usual way to bind a role to an office: exact, also with the exception for AWS's own services beside it."""
    outside = {
        "NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "198.51.100.0/24"]},
        "Bool": {"aws:ViaAWSService": "false"},
    }
    found, _ = read(
        allow(),
        allow("sqs:SendMessage", "*", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.128/25"}}),
        deny(Condition=outside),
    )
    assert found == (
        ImportedGrant(("s3:GetObject",), (BUCKET,), ("203.0.113.0/24", "198.51.100.0/24")),
        ImportedGrant(("sqs:SendMessage",), ("*",), ("203.0.113.128/25",)),
    )


def test_a_deny_of_one_policy_holds_for_the_others_of_the_principal() -> None:
    """AWS looks at all of them together."""
    one = policy({"Statement": [allow()]}, "one")
    other = policy({"Statement": [deny("s3:GetObject", BUCKET)]}, "other")
    assert grants([one, other]) == ()


@pytest.mark.parametrize(
    "document",
    [
        {}, {"Statement": []}, {"Statement": "x"}, {"Statement": [1]}, {"Statement": [{"Effect": "Perhaps"}]},
        {"Version": "2031-01-01", "Statement": [allow()]}, {"Statement": [allow(action=[1])]}, {"Statement": [allow(resource=[None])]},
        {"Statement": [allow(Condition=["IpAddress"])]}, {"Statement": [allow(Condition={"IpAddress": "x"})]}, {"Statement": [deny(action={})]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_policy_is_refused_in_one_line(document: dict[str, Any]) -> None:
    """A typing error must not become a policy that allows less, or more."""
    with pytest.raises(BadDocument) as refused:
        policy(document, "policy.json")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("policy.json")


PATTERNS = st.text("ab*?", max_size=7)
TEXTS = ["".join(t) for n in range(6) for t in itertools.product("ab", repeat=n)]


def as_regex(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)


@pytest.mark.integration
@given(PATTERNS, PATTERNS)
def test_two_patterns_meet_if_some_text_fits_both(one: str, other: str) -> None:
    """A Deny that was thought not to touch a grant would leave it too wide. Checked against all short texts."""
    common = [t for t in TEXTS if re.fullmatch(as_regex(one), t) and re.fullmatch(as_regex(other), t)]
    if common:
        assert patterns_overlap(one, other)
    elif len(one.replace("*", "")) + len(other.replace("*", "")) <= 5:  # else the shortest common text may be longer
        assert not patterns_overlap(one, other)
    assert patterns_overlap(one, other) == patterns_overlap(other, one)


ACTIONS = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
RESOURCES = ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2", "arn:aws:s3:::c/1"]
ADDRESSES = ["203.0.113.9", "203.0.113.200", "198.51.100.1"]
NETWORKS = ["203.0.113.0/24", "203.0.113.128/25", "198.51.100.0/24"]
CONDITIONS = st.sampled_from(
    [{}, {"Bool": {"aws:SecureTransport": "true"}}]
    + [{op: {"aws:SourceIp": n}} for op in ("IpAddress", "NotIpAddress") for n in NETWORKS]
    + [{"NotIpAddress": {"aws:SourceIp": NETWORKS[0]}, "Bool": {"aws:ViaAWSService": "false"}}]
)
STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.lists(st.sampled_from([*ACTIONS, "s3:*", "*"]), min_size=1, max_size=2),
        "Resource": st.lists(st.sampled_from([*RESOURCES, "arn:aws:s3:::b/*", "*"]), min_size=1, max_size=2),
        "Condition": CONDITIONS,
    }
)


def applies(statement: dict[str, Any], action: str, resource: str, address: str, others: bool) -> bool:
    """Whether a statement applies to a request; `others`: what conditions that are not about networks give."""

    def holds(operator: str, value: str) -> bool:
        inside = ip_address(address) in ip_network(value)
        return inside if operator == "IpAddress" else not inside

    fits = any(fnmatch.fnmatchcase(action.lower(), a.lower()) for a in statement["Action"])
    fits = fits and any(fnmatch.fnmatchcase(resource, r) for r in statement["Resource"])
    return fits and all(
        others if operator == "Bool" else holds(operator, next(iter(keys.values())))
        for operator, keys in statement["Condition"].items()
    )


@given(st.lists(STATEMENTS, min_size=1, max_size=4), st.booleans())
def test_a_grant_never_allows_what_the_policy_does_not(statements: list[dict[str, Any]], others: bool) -> None:
    """The law of the import. The policy is evaluated as AWS documents it: a Deny goes before every Allow."""
    found, _ = read(*statements)
    for action in ACTIONS:
        for resource in RESOURCES:
            for address in ADDRESSES:
                applying = [s["Effect"] for s in statements if applies(s, action, resource, address, others)]
                checked = any(
                    any(fnmatch.fnmatchcase(action.lower(), a.lower()) for a in g.actions)
                    and any(fnmatch.fnmatchcase(resource, r) for r in g.resources)
                    and (g.networks is None or any(ip_address(address) in ip_network(n) for n in g.networks))
                    for g in found
                )
                assert not checked or ("Allow" in applying and "Deny" not in applying)


SPOILED = {
    "Version": "2012-10-17",
    "Statement": [
        *POLICY["Statement"],
        deny("s3:Put*", Condition={"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}}),
    ],
}
PLACES = places(SPOILED)[1:]


@settings(max_examples=amount(50, 200))
@given(st.sampled_from(PLACES), VALUES)
def test_reading_is_total(place: tuple[str | int, ...], value: Any) -> None:
    """Whatever stands anywhere: grants that a catalog takes, or a BadDocument."""
    try:
        found = grants([policy(spoiled(SPOILED, place, value), "p")])
    except BadDocument:
        found = ()
    for grant in found:
        Grant(actions=grant.actions, resources=grant.resources, networks=grant.networks)
