"""What lies outside of a credential's policy is marked, exactly, and nothing else is. docs/decisions/011-marked-not-dropped.md"""

import ipaddress
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.attribution import policies
from ingest.attribution.catalog_rules import attribution
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder, SourceRules
from schemas.catalog.credentials import Credential
from tests.ingest.fixtures import kong, line
from tests.ingest.test_credential_types import ROLE, SESSION, catalog, iam

BUCKET, OBJECTS = "arn:aws:s3:::wholesale", "arn:aws:s3:::wholesale/*"
QUOTE = "arn:aws:lambda:eu-central-1:111122223333:function:quote"
READS = {"actions": ["s3:GetObject", "s3:ListBucket"], "resources": [BUCKET, OBJECTS], "networks": ["203.0.113.0/24"]}
CALLS = {"actions": ["lambda:InvokeFunction"], "resources": [QUOTE]}
POLICY = [READS, CALLS]
INSIDE, ELSEWHERE = "203.0.113.7", "198.51.100.7"

A, ALL = {"bucketName": "wholesale", "key": "a"}, {"bucketName": "wholesale"}


def trail(name: str, ip: str = INSIDE, service: str = "s3", **fields: Any) -> bytes:
    """A CloudTrail record of the role's session; dotted names are written with two underscores."""
    record: dict[str, Any] = {
        "eventTime": "2026-10-01T00:00:00Z", "eventSource": f"{service}.amazonaws.com", "eventName": name, "eventType": "AwsApiCall",
        "awsRegion": "eu-central-1", "recipientAccountId": "111122223333", "sourceIPAddress": ip, "userIdentity": {"arn": SESSION},
        **fields,
    }  # fmt: skip
    return line(record)


def got(key: str = "daily/a.csv", ip: str = INSIDE, bucket: str = "wholesale", **fields: Any) -> bytes:
    return trail("GetObject", ip, requestParameters={"bucketName": bucket, "key": key}, **fields)


def listed(name: str = "ListObjects", ip: str = INSIDE, bucket: str = "wholesale") -> bytes:
    return trail(name, ip, requestParameters={"bucketName": bucket, "prefix": "daily/"})


def invoked(function: str = QUOTE, ip: str = ELSEWHERE, name: str = "Invoke") -> bytes:
    return trail(name, ip, "lambda", requestParameters={"functionName": function})


def resource(kind: str, arn: str) -> dict[str, str]:
    return {"type": f"AWS::{kind}", "ARN": arn}


def marks(credential: dict[str, Any], *lines: bytes, format_name: str = "cloudtrail") -> list[str | None]:
    """The marks of these lines, all of which count."""
    decoder = Decoder(format_name, SourceRules("edge"), attribution(catalog(acme=[credential])))
    decoded = decoder.decode(split_lines(b"".join(lines), 0), "g")
    assert decoded.refused.num_rows == 0
    assert decoded.events.num_rows == len(lines)
    return decoded.events["outside"].to_pylist()  # type: ignore[no-any-return]


@pytest.mark.integration
@pytest.mark.sampled(keep=6)
@pytest.mark.parametrize(
    ("text", "mark"),
    [
        pytest.param(got(), None, id="an object from the network"),
        pytest.param(got(ip=ELSEWHERE), "NETWORK", id="an object from elsewhere"),
        pytest.param(got(ip="203.0.112.255"), "NETWORK", id="the last address before the network"),
        pytest.param(got(ip="203.0.113.0"), None, id="the first address of it"),
        pytest.param(got(ip="203.0.113.255"), None, id="the last address of it"),
        pytest.param(got(ip="203.0.114.0"), "NETWORK", id="the first address after it"),
        pytest.param(got(ip="::ffff:203.0.113.7"), None, id="IPv4 within IPv6"),
        pytest.param(got(ip="2001:db8::7"), "NETWORK", id="IPv6"),
        pytest.param(got(ip="athena.amazonaws.com"), "UNKNOWN", id="a service on its behalf: no address"),
        pytest.param(got(bucket="retail"), "RESOURCE", id="an object of another bucket"),
        pytest.param(got(bucket="wholesale-old"), "RESOURCE", id="of one that begins alike"),
        pytest.param(got(key="Daily/ümlaut %_*.csv"), None, id="any object of the bucket"),
        pytest.param(got(bucket="retail", ip=ELSEWHERE), "RESOURCE", id="two things wrong: the resource is told"),
        pytest.param(listed(), None, id="a listing"),
        pytest.param(listed("ListObjectsV2"), None, id="a listing by its newer name"),
        pytest.param(listed("HeadBucket"), None, id="asking for the bucket is listing it"),
        pytest.param(listed("HeadBucket", bucket="retail"), "RESOURCE", id="asking for another bucket"),
        pytest.param(listed("ListObjectVersions"), "ACTION", id="versions are another action"),
        pytest.param(trail("HeadObject", requestParameters=A), None, id="asking for an object is getting it"),
        pytest.param(trail("GetObject", requestParameters={"bucketName": "wholesale", "key": "a", "versionId": "3"}), "ACTION", id="an old version is another action"),
        pytest.param(trail("PutObject", requestParameters=A), "ACTION", id="writing"),
        pytest.param(trail("GetObject"), "UNKNOWN", id="an object that the record does not name"),
        pytest.param(
            trail("GetObject", resources=[resource("S3::Object", f"{BUCKET}/a"), resource("S3::Bucket", BUCKET)], requestParameters=A),
            None,
            id="the object among the resources",
        ),
        pytest.param(
            trail("GetObject", resources=[resource("S3::Object", "arn:aws:s3:::retail/a"), resource("S3::Bucket", BUCKET)], requestParameters=A),
            "RESOURCE",
            id="the resources go before the parameters",
        ),
        pytest.param(
            trail("ListObjects", resources=[{"type": "AWS::S3::Object", "ARNPrefix": f"{BUCKET}/"}, resource("S3::Bucket", BUCKET)], requestParameters=ALL),
            None,
            id="a listing names a prefix and its bucket",
        ),
        pytest.param(invoked(), None, id="the function from anywhere"),
        pytest.param(invoked(ip="2001:db8::7"), None, id="the function from IPv6"),
        pytest.param(invoked(ip="AWS Internal"), None, id="the function from nowhere: no rule needs to know"),
        pytest.param(invoked("quote"), None, id="the function by its name"),
        pytest.param(invoked(name="InvokeWithResponseStream"), None, id="invoked as a stream"),
        pytest.param(invoked("quote2"), "RESOURCE", id="another function"),
        pytest.param(invoked(name="GetFunction20150331v2"), "ACTION", id="looking at the function"),
        pytest.param(trail("Invoke", ELSEWHERE, "lambda", resources=[resource("Lambda::Function", QUOTE)]), None, id="the function among the resources"),
        pytest.param(trail("ListBuckets"), "ACTION", id="all buckets"),
        pytest.param(trail("GetItem", service="dynamodb"), "ACTION", id="another service"),
    ],
)  # fmt: skip
def test_a_call_is_judged_by_the_policy(text: bytes, mark: str | None) -> None:
    """Reads of one bucket from one network, one function from anywhere."""
    assert marks(iam(ROLE, allow=POLICY), text) == [mark]


S3_LINE = (
    'o wholesale [01/Oct/2026:00:00:00 +0000] {ip} {who} 3E57427F33A59F07 {operation} {key} "GET /x HTTP/1.1" 200 - 10 10 5 4 "-" "cli" '
    "{version} hostid SigV4 ECDHE AuthHeader b.s3.amazonaws.com TLSv1.2\n"
)


@pytest.mark.sampled(keep=4)
@pytest.mark.parametrize(
    ("operation", "more", "mark"),
    [
        ("REST.GET.OBJECT", {}, None),
        ("REST.HEAD.OBJECT", {}, None),
        ("REST.GET.OBJECT", {"ip": ELSEWHERE}, "NETWORK"),
        ("REST.GET.OBJECT", {"ip": "-"}, "UNKNOWN"),
        ("REST.GET.OBJECT", {"key": "secret%2Fa.csv"}, "RESOURCE"),
        ("REST.GET.OBJECT", {"key": "daily%2Fa+b%20c.csv"}, None),
        ("REST.GET.OBJECT", {"version": "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"}, "ACTION"),
        ("REST.GET.BUCKET", {"key": "-"}, None),
        ("REST.HEAD.BUCKET", {"key": "-"}, None),
        ("REST.PUT.OBJECT", {}, "ACTION"),
        ("REST.GET.SOMETHING_NEW", {}, "UNKNOWN"),
    ],
)
def test_an_access_log_of_s3_is_judged_alike(operation: str, more: dict[str, str], mark: str | None) -> None:
    """By method and kind of resource, which the log writes in a language of its own; what the table does not know is UNKNOWN."""
    policy = [{**READS, "resources": [BUCKET, f"{BUCKET}/daily/*"]}]
    text = S3_LINE.format(
        **{"ip": INSIDE, "who": SESSION, "key": "daily%2Fa.csv", "version": "-", "operation": operation, **more}
    )
    assert marks(iam(ROLE, allow=policy), text.encode(), format_name="s3_access") == [mark]


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize(
    ("networks", "ip", "mark"),
    [
        pytest.param(["203.0.113.0/24"], INSIDE, None, id="inside"),
        pytest.param(["203.0.113.0/24"], ELSEWHERE, "NETWORK", id="outside"),
        pytest.param(["203.0.113.77"], "203.0.113.77", None, id="one address"),
        pytest.param(["203.0.113.77"], "203.0.113.76", "NETWORK", id="its neighbour, in the same /24"),
        pytest.param(["203.0.113.64/26"], "203.0.113.127", None, id="the last of a /26"),
        pytest.param(["203.0.113.64/26"], "203.0.113.128", "NETWORK", id="the first beyond"),
        pytest.param(["198.51.100.0/24", "203.0.113.0/24"], INSIDE, None, id="one of several"),
        pytest.param(["0.0.0.0/0"], INSIDE, None, id="all of IPv4"),
        pytest.param(["0.0.0.0/0"], "2001:db8::1", "NETWORK", id="all of IPv4 is not IPv6"),
        pytest.param(["2001:db8:85a3::/48"], "2001:db8:85a3:ffff:ffff:ffff:ffff:ffff", None, id="the last of a /48"),
        pytest.param(["2001:db8:85a3::/48"], "2001:db8:85a4::", "NETWORK", id="the first beyond of IPv6"),
        pytest.param(
            ["2001:db8:85a3:0:8000::/65"], "2001:db8:85a3:0:7fff:ffff::", "NETWORK", id="a bit within a group"
        ),
        pytest.param(["203.0.113.0/24"], None, "UNKNOWN", id="no address"),
        pytest.param(["203.0.113.0/24"], "203.0.113.0x7", "UNKNOWN", id="no address, but text"),
    ],
)
def test_any_credential_may_have_networks(networks: list[str], ip: str | None, mark: str | None) -> None:
    """Exact to the bit, from the whole address, though only its /24 or /48 is kept."""
    record = kong(client_ip=ip)
    credential = {"kind": "consumer", "id": "c-acme", "networks": networks}
    assert marks(credential, line(record), format_name="kong") == [mark]


def test_networks_of_the_credential_and_of_a_grant_must_both_hold() -> None:
    """A grant from anywhere does not widen what was agreed for the credential as a whole."""
    credential = iam(ROLE, allow=POLICY, networks=["203.0.113.0/25"])
    assert marks(
        credential, got(ip="203.0.113.200"), invoked(ip=ELSEWHERE), got(ip="203.0.113.3"), got(bucket="x", ip=ELSEWHERE)
    ) == [
        "NETWORK",
        "NETWORK",
        None,
        "RESOURCE",
    ]


@pytest.mark.sampled(keep=4)
@pytest.mark.parametrize(
    ("actions", "name", "mark"),
    [
        (["*"], "GetObject", None),
        (["s3:*"], "GetObject", None),
        (["S3:getobject"], "GetObject", None),
        (["s3:Get*"], "GetObject", None),
        (["s3:Get*"], "PutObject", "ACTION"),
        (["s3:?etObject"], "GetObject", None),
        (["s3:??etObject"], "GetObject", "ACTION"),
        (["*:GetObject"], "GetObject", None),
        (["lambda:*"], "GetObject", "ACTION"),
    ],
)
def test_actions_have_the_wildcards_of_iam(actions: list[str], name: str, mark: str | None) -> None:
    """Compared without case, as IAM does."""
    text = trail(name, requestParameters=A)
    assert marks(iam(ROLE, allow=[{"actions": actions}]), text) == [mark]


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize(
    ("pattern", "key", "mark"),
    [
        ("a_b", "a_b", None),
        ("a_b", "axb", "RESOURCE"),
        ("50%", "50%", None),
        ("50%", "50 of 100", "RESOURCE"),
        ("a\\b", "a\\b", None),
        ("A", "a", "RESOURCE"),
        ("a?c", "abc", None),
        ("a?c", "aßc", None),
        ("a?c", "ac", "RESOURCE"),
        ("*/2026/*", "eu/2026/10:31/x", None),
        ("a.c", "abc", "RESOURCE"),
        ("(a|b)+", "(a|b)+", None),
    ],
)
def test_only_the_wildcards_of_a_resource_are_wild(pattern: str, key: str, mark: str | None) -> None:
    """What is special to the language that compares is a letter like any other; case counts."""
    policy = [{"actions": ["s3:GetObject"], "resources": [f"{BUCKET}/{pattern}"]}]
    assert marks(iam(ROLE, allow=policy), got(key)) == [mark]


def test_a_format_that_shows_no_action_is_not_taken_for_allowed() -> None:
    """API Gateway names the caller, not the action of a policy."""
    record = line(
        {"requestId": "r", "routeKey": "GET /", "requestTimeEpoch": "1790812800000", "userArn": SESSION, "ip": INSIDE}
    )
    assert marks(iam(ROLE, allow=POLICY), record, format_name="aws_apigw") == ["UNKNOWN"]


def test_each_entry_is_judged_by_its_own_credential() -> None:
    """In one batch: rules of one partner do not touch another's, nor a credential without any; refusals are not judged."""
    book = catalog(
        acme=[{"kind": "consumer", "id": "c-acme", "networks": ["203.0.113.0/24"]}],
        bolt=[
            {"kind": "consumer", "id": "c-bolt", "networks": ["198.51.100.0/24"]},
            {"kind": "consumer", "id": "c-free"},
        ],
    )
    consumers = ["c-acme", "c-bolt", "c-free", "c-nobody", "c-bolt", "c-acme"]
    ips = [INSIDE, INSIDE, INSIDE, INSIDE, ELSEWHERE, ELSEWHERE]
    lines = [
        line(kong(f"id-{n}", consumer__id=c, client_ip=ip))
        for n, (c, ip) in enumerate(zip(consumers, ips, strict=True))
    ]
    decoded = Decoder("kong", SourceRules("edge"), attribution(book)).decode(split_lines(b"".join(lines), 0), "g")
    found = dict(zip(decoded.events["event_id"].to_pylist(), decoded.events["outside"].to_pylist(), strict=True))
    assert found == {"id-0": None, "id-1": "NETWORK", "id-2": None, "id-4": None, "id-5": "NETWORK"}
    assert decoded.refused["event_id"].to_pylist() == ["id-3"]


def test_rules_hold_while_their_credential_does() -> None:
    """A network that was agreed from a day on is a credential of its own from that day on."""
    moved = [
        {"kind": "consumer", "id": "c-acme", "networks": ["203.0.113.0/24"], "valid_to": "2026-10-01"},
        {"kind": "consumer", "id": "c-acme", "networks": ["198.51.100.0/24"], "valid_from": "2026-10-01"},
    ]
    start = 1_790_812_800_000
    lines = [
        line(kong(f"{at}-{ip}", started_at=at, client_ip=ip)) for at in (start - 1, start) for ip in (INSIDE, ELSEWHERE)
    ]
    decoded = Decoder("kong", SourceRules("edge"), attribution(catalog(acme=moved))).decode(
        split_lines(b"".join(lines), 0), "g"
    )
    assert decoded.events["outside"].to_pylist() == [None, "NETWORK", "NETWORK", None]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


def keys(con: duckdb.DuckDBPyConnection, texts: list[str]) -> dict[str, str | None]:
    """What ingest/decode/sql/addresses.sql makes of each."""
    con.register("calls", pa.table({"client_ip": pa.array(texts, pa.string())}))
    return dict(con.execute(files("ingest.decode.sql").joinpath("addresses.sql").read_text()).fetchall())


ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
SPELLED = ADDRESSES.flatmap(lambda a: st.sampled_from([str(a), a.exploded, str(a).upper()]))


@pytest.mark.integration
@given(st.lists(SPELLED, min_size=1, max_size=20), st.lists(ADDRESSES, min_size=1, max_size=4), st.data())
def test_an_address_lies_in_a_network_as_the_standard_library_says(
    con: duckdb.DuckDBPyConnection, texts: list[str], bases: list[Any], data: st.DataObject
) -> None:
    """Any address, any network, however it is spelled: the same answer to the bit."""
    networks = [ipaddress.ip_network((b, data.draw(st.integers(0, b.max_prefixlen))), strict=False) for b in bases]
    found = keys(con, texts)
    made = Credential.model_validate({"kind": "api_key", "id": "k", "networks": ["0.0.0.0/0"]})
    compiled = policies.compile_policies(
        [made.model_copy(update={"networks": tuple(map(str, networks))})]
    ).networks.to_pylist()
    for text in texts:
        key, address = found[text], ipaddress.ip_address(text)
        plain = getattr(address, "ipv4_mapped", None) or address
        for network, row in zip(networks, compiled, strict=True):
            assert key
            assert (row["first_key"] <= key <= row["last_key"]) == (plain in network)


@pytest.mark.integration
@given(st.text(alphabet="0123456789abcdefABCDEF.:%/x ", max_size=40))
def test_what_the_standard_library_does_not_take_for_an_address_has_no_key(
    con: duckdb.DuckDBPyConnection, text: str
) -> None:
    """Half an address is none: it is UNKNOWN, and not somewhere."""
    key = keys(con, [text])[text]
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert key is None
    else:
        assert key is not None or "%" in text
