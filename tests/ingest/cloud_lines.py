"""Lines of our own in the formats of clouds and collectors: what each must parse to, and what must be refused for which reason.

Addresses, names and ids are invented. A text is a file's whole content, so that documents over several lines are among them.
"""

import json
from typing import Any, NamedTuple

from tests.ingest.fixtures import changed

TIME = "2026-10-01T06:00:00.000Z"


class Good(NamedTuple):
    """A text, and the record of each of its entries in order."""

    title: str
    text: str
    entries: list[dict[str, Any]]


class Broken(NamedTuple):
    """A text of one entry, and the reason for which it is refused."""

    title: str
    text: str
    reason: str


def entry(*, identity: tuple[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """What `python -m ingest parse` shows of an entry; fields that are not named are absent in the log."""
    names = ["event_id", "time", "method", "path", "route", "status", "request_bytes", "response_bytes", "latency_ms"]
    record: dict[str, Any] = dict.fromkeys([*names, "client_ip", "service", "host"]) | {"time": TIME}
    assert fields.keys() <= record.keys()
    kind, value = identity or ("none", None)
    return record | fields | {"identity": {"kind": kind, "value": value}}


NOBODY = entry()["identity"]


def j(record: object) -> str:
    return json.dumps(record, separators=(",", ":"))


# --- AWS CloudTrail

ROLE = "arn:aws:sts::111122223333:assumed-role/PartnerReader/batch-7"
S3_READ: dict[str, Any] = {
    "eventVersion": "1.11",
    "userIdentity": {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLEROLE:batch-7",
        "arn": ROLE,
        "accountId": "111122223333",
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/wholesale/PartnerReader"}},
    },
    "eventTime": "2026-10-01T06:00:00Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "sourceIPAddress": "203.0.113.9",
    "requestParameters": {"bucketName": "prices", "Host": "prices.s3.eu-west-1.amazonaws.com", "key": "2026/10/all.csv"},
    "additionalEventData": {"bytesTransferredIn": 0, "bytesTransferredOut": 20480},
    "eventID": "11111111-2222-3333-4444-555555555555",
    "eventType": "AwsApiCall",
    "managementEvent": False,
    "eventCategory": "Data",
}  # fmt: skip
S3_READ_ENTRY = entry(
    event_id="11111111-2222-3333-4444-555555555555", route="GetObject", request_bytes=0, response_bytes=20480, client_ip="203.0.113.9",
    identity=("iam", ROLE), service="s3.amazonaws.com", host="prices.s3.eu-west-1.amazonaws.com",
)  # fmt: skip
INVOKE = {
    "userIdentity": {"type": "AWSAccount", "principalId": "AIDAEXAMPLEUSER", "accountId": "444455556666"},
    "eventTime": "2026-10-01T06:00:00Z",
    "eventSource": "lambda.amazonaws.com",
    "eventName": "Invoke",
    "sourceIPAddress": "states.amazonaws.com",
    "requestParameters": None,
    "eventID": "66666666-2222-3333-4444-555555555555",
    "eventType": "AwsApiCall",
    "eventCategory": "Data",
}
INVOKE_ENTRY = entry(
    event_id="66666666-2222-3333-4444-555555555555", route="Invoke", identity=("iam", "AIDAEXAMPLEUSER"), service="lambda.amazonaws.com"
)  # fmt: skip
CLOUDTRAIL = (
    [
        Good("a read by a role's session", j(S3_READ), [S3_READ_ENTRY]),
        Good("an invocation from another account, by a service", j(INVOKE), [INVOKE_ENTRY]),
        Good("a file of two records, on one line", j({"Records": [S3_READ, INVOKE]}), [S3_READ_ENTRY, INVOKE_ENTRY]),
        Good("a file of two records, written over many lines", json.dumps({"Records": [S3_READ, INVOKE]}, indent=2), [S3_READ_ENTRY, INVOKE_ENTRY]),
        Good(
            "an old record: the host is a list, its name is in small letters; the caller is anonymous, and IPv6",
            j(
                changed(
                    S3_READ, eventID=None, eventCategory=None, sourceIPAddress="2001:db8::9", requestParameters={"host": ["s3.amazonaws.com"]},
                    userIdentity={"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"},
                )
            ),
            [S3_READ_ENTRY | {"event_id": None, "client_ip": "2001:db8::9", "host": "s3.amazonaws.com", "identity": NOBODY}],
        ),
        Good(
            "the host that TLS has seen goes first",
            j(changed(S3_READ, tlsDetails={"clientProvidedHostHeader": "s3.eu-west-1.amazonaws.com"})),
            [S3_READ_ENTRY | {"host": "s3.eu-west-1.amazonaws.com"}],
        ),
    ],
    [
        Broken("the endpoint owner's copy", j(changed(S3_READ, eventType="AwsVpceEvent", eventCategory="NetworkActivity")), "NOT_A_REQUEST"),
        Broken("the same by its category alone", j(changed(S3_READ, eventCategory="NetworkActivity")), "NOT_A_REQUEST"),
        Broken("a sign-in", j(changed(S3_READ, eventType="AwsConsoleSignIn")), "NOT_A_REQUEST"),
        Broken("a file without records", j({"Records": []}), "NOT_A_REQUEST"),
        Broken("records that are no list", j({"Records": {"eventName": "GetObject"}}), "NOT_A_REQUEST"),
        Broken("a record that is no object", j({"Records": [7]}), "NOT_OBJECT"),
        Broken("a time without a zone", j(changed(S3_READ, eventTime="2026-10-01T06:00:00")), "NO_ZONE"),
        Broken("no time", j(changed(S3_READ, eventTime=None)), "NO_TIME"),
        Broken("bytes below zero", j(changed(S3_READ, additionalEventData__bytesTransferredOut=-1)), "NUMBER_RANGE"),
        Broken("a file that is cut", j({"Records": [S3_READ, INVOKE]})[:-9], "NOT_JSON"),
        Broken("an id with a line break", j(changed(S3_READ, eventID="a\nb")), "CONTROL_CHAR"),
    ],
)  # fmt: skip

# --- Amazon S3 server access logs

S3_HEAD = "0123abcd prices [01/Oct/2026:06:00:00 +0000] 203.0.113.9"
S3_TAIL = "v1 HoStId= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader prices.s3.eu-west-1.amazonaws.com TLSv1.3 - -"
S3_GET = (
    f"{S3_HEAD} arn:aws:iam::111122223333:user/acme REQUEST0000000A1 REST.GET.OBJECT 2026/all.csv "
    f'"GET /2026/all.csv?versionId=v1 HTTP/1.1" 206 - 65536 1048576 41 12 "-" "aws-sdk-java/2.20" {S3_TAIL}'
)
S3_GET_ENTRY = entry(
    event_id="REQUEST0000000A1", method="GET", path="/2026/all.csv", route="REST.GET.OBJECT", status=206, response_bytes=65536, latency_ms=41,
    client_ip="203.0.113.9", identity=("iam", "arn:aws:iam::111122223333:user/acme"), service="prices", host="prices.s3.eu-west-1.amazonaws.com",
)  # fmt: skip
S3_ACCESS = (
    [
        Good("a read of a part", S3_GET, [S3_GET_ENTRY]),
        Good("quotes in the user agent", S3_GET.replace("aws-sdk-java/2.20", 'a "quoted" agent" 404 - 0 - 0 0 "'), [S3_GET_ENTRY]),
        Good(
            "a write: what was sent is nothing, and the object's size is no request size",
            S3_GET.replace("REST.GET.OBJECT", "REST.PUT.OBJECT").replace('"GET', '"PUT').replace("206 - 65536", "200 - -"),
            [S3_GET_ENTRY | {"method": "PUT", "route": "REST.PUT.OBJECT", "status": 200, "response_bytes": 0}],
        ),
        Good(
            "an anonymous read of 2014: the line ends after the version id",
            f'{S3_HEAD} - REQUEST0000000A1 REST.GET.OBJECT a.csv "GET /a.csv HTTP/1.1" 304 - - 10 3 - "-" "curl" -',
            [
                entry(
                    event_id="REQUEST0000000A1", method="GET", path="/a.csv", route="REST.GET.OBJECT", status=304, response_bytes=0, latency_ms=3,
                    client_ip="203.0.113.9", service="prices",
                )
            ],
        ),
        Good(
            "the two halves of a copy are two entries with two ids",
            S3_GET.replace("GET.OBJECT", "COPY.OBJECT") + "\n" + S3_GET.replace("GET.OBJECT", "COPY.OBJECT_GET"),
            [
                S3_GET_ENTRY | {"route": "REST.COPY.OBJECT"},
                S3_GET_ENTRY | {"route": "REST.COPY.OBJECT_GET", "event_id": "REQUEST0000000A1/REST.COPY.OBJECT_GET"},
            ],
        ),
        Good(
            "a client within AWS, no status, no request line",
            S3_GET.replace("203.0.113.9", "-").replace(" 206 ", " - ").replace("GET /2026/all.csv?versionId=v1 HTTP/1.1", "-"),
            [S3_GET_ENTRY | {"client_ip": None, "status": None, "method": None, "path": None}],
        ),
    ],
    [
        Broken("a part of a delete of many", f"{S3_HEAD} acme REQUEST0000000A1 BATCH.DELETE.OBJECT a.csv - 204 - - 9 - - - - - HoStId=", "NOT_A_REQUEST"),
        Broken("lifecycle", f'{S3_HEAD} AmazonS3 REQUEST0000000A1 S3.EXPIRE.OBJECT a.csv "-" - - - 317 - - "-" "-" HoStId= - - - - -', "NOT_A_REQUEST"),
        Broken("cut within the sizes", S3_GET[: S3_GET.index("65536") + 3], "NOT_JSON"),
        Broken("cut within the request", S3_GET[: S3_GET.index("HTTP")], "NOT_JSON"),
        Broken("no such day", S3_GET.replace("01/Oct", "31/Sep"), "BAD_TIME"),
        Broken("no zone", S3_GET.replace(" +0000]", "]"), "NOT_JSON"),
        Broken("a status beyond 599", S3_GET.replace(" 206 ", " 999 "), "BAD_STATUS"),
        Broken("sizes that are no numbers", S3_GET.replace("65536", "64k"), "NUMBER_RANGE"),
        Broken("another format", j(S3_READ), "NOT_OBJECT"),
    ],
)  # fmt: skip

# --- AWS load balancers

ALB_GET = (
    "https 2026-10-01T06:00:00.123456Z app/api/50dc6c495c0c9188 203.0.113.9:2817 10.0.0.1:80 0.086 0.048 0.0371 200 200 340 5700 "
    '"GET https://api.example:443/v1/orders?key=1 HTTP/1.1" "curl/8" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
    'arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/t/1 "Root=1-5833-mine" "api.example" "-" 0 2026-10-01T05:59:59.9Z "forward" "-" "-"'
)
ALB_ENTRY = entry(
    time="2026-10-01T06:00:00.123Z", method="GET", path="/v1/orders", status=200, request_bytes=340, response_bytes=5700, latency_ms=171.1,
    client_ip="203.0.113.9", service="app/api/50dc6c495c0c9188", host="api.example",
)  # fmt: skip
AWS_ALB = (
    [
        Good("an application load balancer", ALB_GET, [ALB_ENTRY]),
        Good("a classic one: no type", ALB_GET.removeprefix("https "), [ALB_ENTRY]),
        Good("IPv6 without brackets", ALB_GET.replace("203.0.113.9:", "2001:db8::9:"), [ALB_ENTRY | {"client_ip": "2001:db8::9"}]),
        Good("IPv6 with brackets", ALB_GET.replace("203.0.113.9:", "[2001:db8::9]:"), [ALB_ENTRY | {"client_ip": "2001:db8::9"}]),
        Good(
            "the target was not reached, the request is malformed",
            ALB_GET.replace("10.0.0.1:80 0.086 0.048 0.0371 200 200", "- -1 -1 -1 400 -").replace(
                "GET https://api.example:443/v1/orders?key=1 HTTP/1.1", "- http://api.example:80- -"
            ),
            [ALB_ENTRY | {"status": 400, "latency_ms": None, "method": None, "path": None}],
        ),
    ],
    [
        Broken("a connection of a TCP listener", '2026-10-01T06:00:00.1Z lb 203.0.113.9:2817 10.0.0.1:80 0.001 0.000 0.000 - - 82 305 "- - - " "-" - -', "NOT_A_REQUEST"),
        Broken("cut within the bytes", ALB_GET[: ALB_GET.index("5700") + 2], "NOT_JSON"),
        Broken("cut within the request", ALB_GET[: ALB_GET.index(" HTTP")], "NOT_JSON"),
        Broken("a time without a zone", ALB_GET.replace("123456Z", "123456"), "NO_ZONE"),
        Broken("a time that is no number", ALB_GET.replace("0.048", "fast"), "NUMBER_RANGE"),
        Broken("bytes that are no number", ALB_GET.replace(" 5700 ", " many "), "NUMBER_RANGE"),
        Broken("a field more", ALB_GET.replace(" 5700 ", " 5700 1 "), "NOT_JSON"),
    ],
)  # fmt: skip

# --- Amazon CloudFront

CF_NAMES = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) "
    "x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type"
)
CF_ROW = (
    "2026-10-01\t06:00:00\tFRA2-C1\t3920\t203.0.113.9\tGET\td1.cloudfront.net\t/v1/or%20ders\t200\t-\tcurl/8\tkey=1\t-\t"
    "Hit\tEdGeId==\tapi.example\thttps\t230\t0.105\t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tHit"
)
CF_ENTRY = entry(
    event_id="EdGeId==", method="GET", path="/v1/or%20ders", status=200, request_bytes=230, response_bytes=3920, latency_ms=105, client_ip="203.0.113.9",
    service="d1.cloudfront.net", host="api.example",
)  # fmt: skip
CF_CHOSEN = "#Fields: timestamp(ms) sc-status cs-uri-stem cs-method sc-bytes x-edge-request-id"
CF_JSON = {
    "date": "2026-10-01", "time": "06:00:00", "x-edge-location": "FRA2-C1", "timestamp(ms)": "1790834400042", "x-edge-request-id": "EdGeId==",
    "cs-method": "GET", "cs-uri-stem": "/v1/orders", "sc-status": "000", "cs-bytes": "230", "sc-bytes": "0", "time-taken": "-", "c-ip": "2001:db8::9",
    "x-host-header": "api.example", "cs(Host)": "d1.cloudfront.net", "cs(Cookie)": "-",
}  # fmt: skip
CLOUDFRONT = (
    [
        Good("without a header, 23 fields", CF_ROW, [CF_ENTRY]),
        Good("without a header, 33 fields", CF_ROW + "\tHTTP/2.0\t-\t-\t11040\t0.001\tHit\ttext/html\t78\t-\t-", [CF_ENTRY]),
        Good(
            "v2 as JSON: milliseconds, a client that left",
            j(CF_JSON),
            [
                CF_ENTRY | {"time": "2026-10-01T06:00:00.042Z", "path": "/v1/orders", "status": 0, "response_bytes": 0, "latency_ms": None, "client_ip": "2001:db8::9"}
            ],
        ),
    ],
    [
        Broken("a header line", "#Version: 1.0", "NOT_A_REQUEST"),
        Broken("the line that names the fields", f"#Fields: {CF_NAMES}", "NOT_A_REQUEST"),
        Broken("cut within the request's bytes", CF_ROW[: CF_ROW.index("230") + 2], "NOT_JSON"),
        Broken("cut within the time taken", CF_ROW[: CF_ROW.index("0.105") + 3], "NOT_JSON"),
        Broken("no such day", CF_ROW.replace("2026-10-01", "2026-02-30"), "BAD_TIME"),
        Broken("no time", CF_ROW.replace("06:00:00", "-"), "NO_TIME"),
        Broken("a status that is none", CF_ROW.replace("\t200\t", "\tOK\t"), "BAD_STATUS"),
        Broken("a time taken that is no number", CF_ROW.replace("0.105", "soon"), "NUMBER_RANGE"),
        Broken("spaces for tabs", CF_ROW.replace("\t", " "), "NOT_JSON"),
        Broken("JSON without a request", j({"date": "2026-10-01", "time": "06:00:00"}), "NOT_A_REQUEST"),
        Broken("JSON that is cut", j(CF_JSON)[:-9], "NOT_JSON"),
        Broken("a JSON number", "17", "NOT_OBJECT"),
    ],
)  # fmt: skip

# --- Google Cloud load balancers

GCP = {
    "httpRequest": {
        "latency": "0.005192s", "remoteIp": "203.0.113.9:60102", "requestMethod": "GET", "requestSize": "290", "requestUrl": "https://api.example/v1/orders?key=1",
        "responseSize": "7800", "status": 200,
    },
    "insertId": "h91ql8g1",
    "resource": {"type": "http_load_balancer", "labels": {"backend_service_name": "orders", "matched_url_path_rule": "/v1/*"}},
    "timestamp": "2026-10-01T06:00:00.123456789Z",
}  # fmt: skip
GCP_ENTRY = entry(
    event_id="h91ql8g1", time="2026-10-01T06:00:00.123Z", method="GET", path="/v1/orders", route="/v1/*", status=200, request_bytes=290, response_bytes=7800,
    latency_ms=5.192, client_ip="203.0.113.9", service="orders", host="api.example",
)  # fmt: skip
GCP_DENIED = changed(
    GCP, httpRequest__latency=None, httpRequest__responseSize=None, httpRequest__status=403, httpRequest__requestSize=290,
    resource={"type": "http_external_regional_lb_rule", "labels": {"backend_target_name": "orders"}}, timestamp="2026-10-01 06:00:00",
)  # fmt: skip
GCP_DENIED_ENTRY = GCP_ENTRY | {"time": TIME, "route": None, "status": 403, "response_bytes": None, "latency_ms": None}
GCP_LB = (
    [
        Good("a global load balancer", j(GCP), [GCP_ENTRY]),
        Good("a regional one, denied; numbers, a time without zone", j(GCP_DENIED), [GCP_DENIED_ENTRY]),
        Good("an array", json.dumps([GCP, GCP_DENIED], indent=2), [GCP_ENTRY, GCP_DENIED_ENTRY]),
    ],
    [
        Broken("another resource", j(changed(GCP, resource__type="gce_instance")), "NOT_A_REQUEST"),
        Broken("no request", j(changed(GCP, httpRequest=None)), "NOT_A_REQUEST"),
        Broken("no time", j(changed(GCP, timestamp=None)), "NO_TIME"),
        Broken("an hour 25", j(changed(GCP, timestamp="2026-10-01T25:00:00Z")), "BAD_TIME"),
        Broken("a latency without a number", j(changed(GCP, httpRequest__latency="s")), "NUMBER_RANGE"),
        Broken("an entry of an array that is no object", j([[]]), "NOT_OBJECT"),
        Broken("an array that is cut", j([GCP])[:-1], "NOT_JSON"),
    ],
)  # fmt: skip

# --- Cloudflare

CLOUDFLARE_RAY = {
    "ClientIP": "203.0.113.9", "ClientRequestHost": "api.example", "ClientRequestMethod": "GET", "ClientRequestURI": "/v1/orders?key=1",
    "ClientRequestBytes": 567, "EdgeStartTimestamp": 1790834400100000000, "EdgeEndTimestamp": 1790834400123456000, "EdgeResponseBytes": 12480,
    "EdgeResponseStatus": 200, "RayID": "87a1b2c3d4e5f001", "WorkerSubrequest": False, "ZoneName": "example",
}  # fmt: skip
CLOUDFLARE_ENTRY = entry(
    event_id="87a1b2c3d4e5f001", time="2026-10-01T06:00:00.100Z", method="GET", path="/v1/orders", status=200, request_bytes=567, response_bytes=12480,
    latency_ms=23.456, client_ip="203.0.113.9", service="example", host="api.example",
)  # fmt: skip
CLOUDFLARE_SECONDS = changed(
    CLOUDFLARE_RAY, EdgeStartTimestamp="2026-10-01T06:00:00Z", EdgeEndTimestamp="2026-10-01T06:00:01Z", ZoneName=None
)
CLOUDFLARE = (
    [
        Good("nanoseconds", j(CLOUDFLARE_RAY), [CLOUDFLARE_ENTRY]),
        Good("RFC 3339 in seconds: no latency", j(CLOUDFLARE_SECONDS), [CLOUDFLARE_ENTRY | {"time": TIME, "latency_ms": None, "service": None}]),
        Good(
            "RFC 3339 in milliseconds",
            j(changed(CLOUDFLARE_RAY, EdgeStartTimestamp="2026-10-01T06:00:00.100Z", EdgeEndTimestamp="2026-10-01T06:00:00.350Z")),
            [CLOUDFLARE_ENTRY | {"latency_ms": 250}],
        ),
        Good(
            "seconds since the epoch",
            j(changed(CLOUDFLARE_RAY, EdgeStartTimestamp=1790834400, EdgeEndTimestamp=1790834401)),
            [CLOUDFLARE_ENTRY | {"time": TIME, "latency_ms": None}],
        ),
        Good("an array", j([CLOUDFLARE_RAY, CLOUDFLARE_RAY]), [CLOUDFLARE_ENTRY, CLOUDFLARE_ENTRY]),
    ],
    [
        Broken("a worker's own request", j(changed(CLOUDFLARE_RAY, WorkerSubrequest=True)), "NOT_A_REQUEST"),
        Broken("another data set", j({"Datetime": 1790834400, "Action": "block", "RayID": "87a1b2c3d4e5f001"}), "NOT_A_REQUEST"),
        Broken("no time", j(changed(CLOUDFLARE_RAY, EdgeStartTimestamp=None)), "NO_TIME"),
        Broken("a time that is none", j(changed(CLOUDFLARE_RAY, EdgeStartTimestamp="now")), "BAD_TIME"),
        Broken("an end before the start", j(changed(CLOUDFLARE_RAY, EdgeEndTimestamp=1790834400000000000)), "NUMBER_RANGE"),
        Broken("cut", j(CLOUDFLARE_RAY)[:-2], "NOT_JSON"),
    ],
)  # fmt: skip

# --- Azure API Management

APIM = {
    "time": "2026-10-01T06:00:00.4465902Z", "category": "GatewayLogs", "operationName": "Microsoft.ApiManagement/GatewayLogs", "durationMs": 176,
    "callerIpAddress": "203.0.113.9", "correlationId": "99789635-18d0-480f-8182-a3a3c477a6a4",
    "properties": {
        "method": "POST", "url": "https://api.example/v1/orders?key=1", "responseCode": 201, "requestSize": 536, "responseSize": "1604", "apiId": "orders",
        "operationId": "create-order", "apimSubscriptionId": "sub-acme", "backendResponseBody": '{"responseCode":500}',
    },
}  # fmt: skip
APIM_ENTRY = entry(
    event_id="99789635-18d0-480f-8182-a3a3c477a6a4", time="2026-10-01T06:00:00.446Z", method="POST", path="/v1/orders", route="create-order", status=201,
    request_bytes=536, response_bytes=1604, latency_ms=176, client_ip="203.0.113.9", identity=("api_key", "sub-acme"), service="orders", host="api.example",
)  # fmt: skip
APIM_OPEN = changed(APIM, properties__apimSubscriptionId=None)
APIM_OPEN_ENTRY = APIM_ENTRY | {"identity": NOBODY}
AZURE_APIM = (
    [
        Good("a subscription's call", j(APIM), [APIM_ENTRY]),
        Good("an open API", j(APIM_OPEN), [APIM_OPEN_ENTRY]),
        Good("records of an event hub", j({"records": [APIM, APIM_OPEN]}), [APIM_ENTRY, APIM_OPEN_ENTRY]),
        Good("records over many lines", json.dumps({"records": [APIM]}, indent=4), [APIM_ENTRY]),
    ],
    [
        Broken("another category", j(changed(APIM, category="WebSocketConnectionLogs")), "NOT_A_REQUEST"),
        Broken("no properties", j(changed(APIM, properties=None)), "NOT_A_REQUEST"),
        Broken("a masked time", j(changed(APIM, time="2026-10-01T06:xx:xx.xx")), "BAD_TIME"),
        Broken("microseconds in the wrong place", j(changed(APIM, durationMs=-1)), "NUMBER_RANGE"),
        Broken("records that are cut", j({"records": [APIM]})[:-3], "NOT_JSON"),
        Broken("a status of four digits", j(changed(APIM, properties__responseCode=2000)), "BAD_STATUS"),
    ],
)  # fmt: skip

# --- Azure Application Gateway and Front Door

APPGW = {
    "time": "2026-10-01T06:00:00+00:00", "category": "ApplicationGatewayAccessLog", "ruleName": "orders-rule", "backendPoolName": "orders-pool",
    "properties": {
        "instanceId": "appgw_2", "clientIP": "203.0.113.9", "httpMethod": "GET", "requestUri": "/v1/orders", "requestQuery": "key=1", "httpStatus": 200,
        "receivedBytes": 184, "sentBytes": 466, "timeTaken": 0.034, "transactionId": "592d1649f75a8d48", "originalHost": "api.example", "host": "10.0.0.1",
    },
}  # fmt: skip
APPGW_ENTRY = entry(
    event_id="592d1649f75a8d48", method="GET", path="/v1/orders", route="orders-rule", status=200, request_bytes=184, response_bytes=466, latency_ms=34,
    client_ip="203.0.113.9", service="orders-pool", host="api.example",
)  # fmt: skip
APPGW_V1 = {
    "timeStamp": "2026-10-01T06:00:00Z", "category": "ApplicationGatewayAccessLog",
    "properties": {
        "instanceId": "ApplicationGatewayRole_IN_0", "clientIP": "203.0.113.9", "httpMethod": "GET", "requestUri": "/v1/orders", "httpStatus": 404,
        "receivedBytes": 65, "sentBytes": 553, "timeTaken": 205, "host": "api.example",
    },
}  # fmt: skip
APPGW_V1_ENTRY = entry(
    method="GET", path="/v1/orders", status=404, request_bytes=65, response_bytes=553, latency_ms=205, client_ip="203.0.113.9", host="api.example"
)  # fmt: skip
FRONT_DOOR = {
    "time": "2026-10-01T06:00:00.0000000Z", "category": "FrontDoorAccessLog",
    "properties": {
        "trackingReference": "20261001T060000Z-1758", "httpMethod": "GET", "requestUri": "https://api.example:443/v1/orders?key=1", "requestBytes": "60",
        "responseBytes": "1624", "clientIp": "2001:db8::9", "timeTaken": "0.035", "httpStatusCode": "200", "routingRuleName": "orders-route",
        "endpoint": "api.z01.azurefd.net", "hostName": "api.example",
    },
}  # fmt: skip
FRONT_DOOR_ENTRY = entry(
    event_id="20261001T060000Z-1758", method="GET", path="/v1/orders", route="orders-route", status=200, request_bytes=60, response_bytes=1624, latency_ms=35,
    client_ip="2001:db8::9", service="api.z01.azurefd.net", host="api.example",
)  # fmt: skip
AZURE_APPGW = (
    [
        Good("v2: seconds", j(APPGW), [APPGW_ENTRY]),
        Good("v1: milliseconds, no id", j(APPGW_V1), [APPGW_V1_ENTRY]),
        Good("Front Door: numbers as texts", j(FRONT_DOOR), [FRONT_DOOR_ENTRY]),
        Good("all in one document", json.dumps({"records": [APPGW, APPGW_V1, FRONT_DOOR]}, indent=1), [APPGW_ENTRY, APPGW_V1_ENTRY, FRONT_DOOR_ENTRY]),
        Good("a third name for the time", j(changed(APPGW, time=None, timestamp="2026-10-01T06:00:00Z")), [APPGW_ENTRY]),
    ],
    [
        Broken("the firewall's log", j(changed(APPGW, category="ApplicationGatewayFirewallLog")), "NOT_A_REQUEST"),
        Broken("no time", j(changed(APPGW, time=None)), "NO_TIME"),
        Broken("a time taken that is no number", j(changed(APPGW, properties__timeTaken="slow")), "NUMBER_RANGE"),
        Broken("cut", j(APPGW)[:-1], "NOT_JSON"),
        Broken("a text", '"records"', "NOT_OBJECT"),
    ],
)  # fmt: skip

# --- OpenTelemetry


def attributes(**values: Any) -> list[dict[str, Any]]:
    """OTLP's list of keys and values; __ stands for a dot."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [
        {"key": name.replace("__", "."), "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for name, value in values.items()
    ]


def otlp_request(*records: dict[str, Any], **resource: str) -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": attributes(**resource)},
                "scopeLogs": [{"scope": {"name": "access"}, "logRecords": list(records)}],
            }
        ]
    }


def together(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [resource for request in requests for resource in request["resourceLogs"]]}


KONG_RECORD = {
    "timeUnixNano": "1790834400123456789",
    "body": {"stringValue": "GET /v1/orders 200"},
    "attributes": attributes(
        http__request__method="GET", url__path="/v1/orders", url__query="key=1", url__full="https://api.example/v1/orders?key=1", url__domain="api.example",
        http__response__status_code=200, http__request__size=131, http__response__size=1004, client__address="203.0.113.9", kong__request__id="319d1e4e",
        kong__route__name="orders", kong__service__name="orders-svc", kong__latency__total=119.5, kong__consumer__id="c-acme",
    ),
    "traceId": "0af7651916cd43dd8448eb211c80319c",
}  # fmt: skip
KONG_RECORD_ENTRY = entry(
    event_id="319d1e4e", time="2026-10-01T06:00:00.123Z", method="GET", path="/v1/orders", route="orders", status=200, request_bytes=131, response_bytes=1004,
    latency_ms=119.5, client_ip="203.0.113.9", identity=("consumer", "c-acme"), service="orders-svc", host="api.example",
)  # fmt: skip
OLD_NAMES = {
    "timeUnixNano": 0,
    "observedTimeUnixNano": 1790834400000000000,
    "attributes": attributes(
        http__method="POST", http__url="https://api.example:8443/v1/orders?key=1", http__status_code=201, http__request_content_length=10,
        http__response_content_length=20, http__route="/v1/{what}", http__request__server__duration=0.0251, enduser__id="acme",
    ),
}  # fmt: skip
OLD_NAMES_ENTRY = entry(
    method="POST", path="/v1/orders", route="/v1/{what}", status=201, request_bytes=10, response_bytes=20, latency_ms=25.1, identity=("consumer", "acme"),
    service="orders-svc", host="api.example",
)  # fmt: skip
ELB_RECORD = {
    "timeUnixNano": "1790834400000000000",
    "attributes": attributes(
        http__request__method="GET", url__full="https://api.example:443/", aws__elb__status__code=200, aws__elb__request_processing_time=0.1,
        aws__elb__target_processing_time=0.2, aws__elb__response_processing_time=0.0003,
    ),
}  # fmt: skip
ELB_ENTRY = entry(method="GET", path="/", status=200, latency_ms=300.3, service="app/api/1", host="api.example")
PLAIN_RECORD = {
    "timeUnixNano": "1790834400000000000",
    "body": {"stringValue": "started"},
    "attributes": attributes(thread="main"),
}
OTLP = (
    [
        Good("Kong's access log", j(otlp_request(KONG_RECORD, service__name="kong-eu")), [KONG_RECORD_ENTRY]),
        Good("old names of attributes, the time of the observer", j(otlp_request(OLD_NAMES, service__name="orders-svc")), [OLD_NAMES_ENTRY]),
        Good("a load balancer's log: three times are one, exactly", j(otlp_request(ELB_RECORD, cloud__resource_id="app/api/1")), [ELB_ENTRY]),
        Good(
            "two records in one request, over many lines",
            json.dumps(otlp_request(OLD_NAMES, KONG_RECORD, service__name="orders-svc"), indent=2),
            [OLD_NAMES_ENTRY, KONG_RECORD_ENTRY],
        ),
        Good(
            "two resources in one request",
            j(together(otlp_request(OLD_NAMES, service__name="orders-svc"), otlp_request(ELB_RECORD, cloud__resource_id="app/api/1"))),
            [OLD_NAMES_ENTRY, ELB_ENTRY],
        ),
    ],
    [
        Broken("a record that is no request", j(otlp_request(PLAIN_RECORD)), "NOT_A_REQUEST"),
        Broken("a request without records", j({"resourceLogs": []}), "NOT_A_REQUEST"),
        Broken("traces", j({"resourceSpans": []}), "NOT_A_REQUEST"),
        Broken("no time", j(otlp_request(changed(KONG_RECORD, timeUnixNano=None))), "NO_TIME"),
        Broken("seconds for nanoseconds", j(otlp_request(changed(KONG_RECORD, timeUnixNano="1790834400"))), "TIME_RANGE"),
        Broken("a time in words", j(otlp_request(changed(KONG_RECORD, timeUnixNano="noon"))), "BAD_TIME"),
        Broken("cut", j(otlp_request(KONG_RECORD))[:-5], "NOT_JSON"),
        Broken("an array", j([otlp_request(KONG_RECORD)]), "NOT_OBJECT"),
    ],
)  # fmt: skip

# --- CloudEvents

EVENT = {
    "specversion": "1.0", "type": "request", "id": "00001", "time": "2026-10-01T06:00:00.001Z", "source": "orders-svc", "subject": "acme",
    "data": {"method": "GET", "route": "/v1/orders", "path": "/v1/orders?key=1", "status_code": 200, "request_bytes": 10, "response_bytes": 20, "latency_ms": 1.5},
}  # fmt: skip
EVENT_ENTRY = entry(
    event_id="00001", time="2026-10-01T06:00:00.001Z", method="GET", path="/v1/orders", route="/v1/orders", status=200, request_bytes=10, response_bytes=20,
    latency_ms=1.5, identity=("consumer", "acme"), service="orders-svc",
)  # fmt: skip
EVENT_BARE = {
    "specversion": "1.0",
    "type": "prompt",
    "id": "x",
    "source": "/chat/4",
    "time": "2026-10-01T08:00:00+02:00",
    "subject": None,
    "data": "just a text",
}
EVENT_BARE_ENTRY = entry(event_id="x", service="/chat/4")
CLOUDEVENTS = (
    [
        Good("an event with the names of a request", j(EVENT), [EVENT_ENTRY]),
        Good("an event without a customer; its data are a text", j(EVENT_BARE), [EVENT_BARE_ENTRY]),
        Good("a batch", j([EVENT, EVENT_BARE]), [EVENT_ENTRY, EVENT_BARE_ENTRY]),
        Good("a batch over many lines", json.dumps([EVENT_BARE, EVENT], indent=2), [EVENT_BARE_ENTRY, EVENT_ENTRY]),
        Good("a batch without events", "[]", []),
        Good("binary data", j(changed(EVENT_BARE, data=None, data_base64="AAEC")), [EVENT_BARE_ENTRY]),
    ],
    [
        Broken("an object that is no event", j({"id": "1", "source": "s", "time": TIME}), "SCHEMA_UNKNOWN"),
        Broken("a version that is not known", j(changed(EVENT, specversion="2.0")), "SCHEMA_UNKNOWN"),
        Broken("no id", j(changed(EVENT, id=None)), "NO_ID"),
        Broken("an empty id", j(changed(EVENT, id="")), "BAD_ID"),
        Broken("a blank id", j(changed(EVENT, id=" ")), "BAD_ID"),
        Broken("an id that is a number", j(changed(EVENT, id=1)), "WRONG_TYPE"),
        Broken("an id of 129 characters", j(changed(EVENT, id="x" * 129)), "BAD_ID"),
        Broken("an id with a control character", j(changed(EVENT, id="a\x07")), "CONTROL_CHAR"),
        Broken("no source", j(changed(EVENT, source=None)), "BAD_ID"),
        Broken("a source with a space, where source and id could not be told apart", j(changed(EVENT, source="a b")), "BAD_ID"),
        Broken("no time", j(changed(EVENT, time=None)), "NO_TIME"),
        Broken("a time without a zone", j(changed(EVENT, time="2026-10-01T06:00:00")), "NO_ZONE"),
        Broken("bytes that are no number", j(changed(EVENT, data__response_bytes="many")), "WRONG_TYPE"),
        Broken("a batch within a batch", j([[EVENT]]), "NOT_OBJECT"),
        Broken("a batch that is cut", j([EVENT])[:-1], "NOT_JSON"),
    ],
)  # fmt: skip

# --- Tyk

TYK_RECORD = {
    "method": "GET", "host": "api.example:8080", "path": "/v1/orders", "raw_path": "/v1/orders", "content_length": 10, "user_agent": "curl/8", "day": 1,
    "response_code": 200, "api_key": "9f8e7d6c5b4a3f2e", "timestamp": "2026-10-01T08:00:00.123456789+02:00", "api_version": "Non Versioned",
    "api_name": "Orders", "api_id": "3643588ceabb4993", "org_id": "5a6340321df0e60a79bcfc01", "oauth_id": "", "request_time": 93, "ip_address": "203.0.113.9",
    "latency": {"total": 93, "upstream": 90}, "alias": "acme",
}  # fmt: skip
TYK_ENTRY = entry(
    time="2026-10-01T06:00:00.123Z", method="GET", path="/v1/orders", status=200, request_bytes=10, latency_ms=93, client_ip="203.0.113.9",
    identity=("api_key", "9f8e7d6c5b4a3f2e"), service="3643588ceabb4993", host="api.example",
)  # fmt: skip
TYK_KAFKA = changed(
    TYK_RECORD, request_time=None, request_time_ms=7, path="/v1/orders/{id}", raw_path="/v1/orders/5", content_length=-1, api_key="00000000", oauth_id="app-7"
)  # fmt: skip
TYK_CLEAR_KEY = "5a6340321df0e60a79bcfc01" + "c0ffee" * 5
TYK_CLEAR_KEY_SHA256 = "9c5059509a7e11a5f3b14c1bf10fd9128b9f3814edd2789c24a931df6f7d8876"
TYK = (
    [
        Good("the standard output pump", j({"level": "info", "msg": "", "time": "0001-01-01T00:00:00Z", "tyk-analytics-record": TYK_RECORD}), [TYK_ENTRY]),
        Good("flat", j(TYK_RECORD), [TYK_ENTRY]),
        Good(
            "the Kafka pump; a path that Tyk made general, a body of unknown size, a client of OAuth",
            j(TYK_KAFKA),
            [
                TYK_ENTRY
                | {"path": "/v1/orders/5", "route": "/v1/orders/{id}", "request_bytes": None, "latency_ms": 7}
                | {"identity": {"kind": "consumer", "value": "app-7"}}
            ],
        ),
        Good(
            "a key in clear is hashed before anything else sees it",
            j(changed(TYK_RECORD, api_key=TYK_CLEAR_KEY)),
            [TYK_ENTRY | {"identity": {"kind": "api_key", "value": TYK_CLEAR_KEY_SHA256}}],
        ),
        Good("no key", j(changed(TYK_RECORD, api_key="")), [TYK_ENTRY | {"identity": NOBODY}]),
    ],
    [
        Broken("the pump's own log", j({"level": "info", "msg": "Purged 3 records...", "prefix": "stdout-pump", "time": "2026-10-01T06:00:00Z"}), "NOT_A_REQUEST"),
        Broken("the pump's own log as text", 'time="Oct 01 06:00:00" level=info msg="Purged 3 records..." prefix=stdout-pump', "NOT_JSON"),
        Broken("the time that Go writes for none", j(changed(TYK_RECORD, timestamp="0001-01-01T00:00:00Z")), "TIME_RANGE"),
        Broken("no time", j(changed(TYK_RECORD, timestamp=None)), "NO_TIME"),
        Broken("bytes below zero", j(changed(TYK_RECORD, content_length=-2)), "NUMBER_RANGE"),
        Broken("cut", j(TYK_RECORD)[:-1], "NOT_JSON"),
    ],
)  # fmt: skip

CASES: dict[str, tuple[list[Good], list[Broken]]] = {
    "aws_alb": AWS_ALB,
    "azure_apim": AZURE_APIM,
    "azure_appgw": AZURE_APPGW,
    "cloudevents": CLOUDEVENTS,
    "cloudflare": CLOUDFLARE,
    "cloudfront": CLOUDFRONT,
    "cloudtrail": CLOUDTRAIL,
    "gcp_lb": GCP_LB,
    "otlp": OTLP,
    "s3_access": S3_ACCESS,
    "tyk": TYK,
}
