"""Log lines of our own for the gateway formats: what each must be read as, and which must be refused with which reason.

They stand for what the gateways' documentation says, in names and networks set aside for examples.
"""

from typing import Any, NamedTuple

AT = "2026-10-01T00:00:00.000Z"


class Good(NamedTuple):
    """A line and its fields; those that are not named are absent. `identity` is kind:value. `safe`: its id is used."""

    why: str
    line: str
    fields: dict[str, Any]
    safe: bool = False


class Bad(NamedTuple):
    """A line that must not be counted."""

    why: str
    line: str
    reason: str


GOOD: dict[str, list[Good]] = {
    "nginx": [
        Good(
            "combined",
            '203.0.113.77 - c-acme [01/Oct/2026:02:00:00 +0200] "GET /v1/orders?page=2 HTTP/1.1" 200 900 "-" "acme/2.1"',
            {"time": AT, "method": "GET", "path": "/v1/orders", "status": 200, "response_bytes": 900, "client_ip": "203.0.113.77", "identity": "consumer:c-acme"},
        ),
        Good(
            "a host before, the forwarded list after; no user",
            r'api.example:443 2001:db8::7 - - [01/Oct/2026:00:00:00 +0000] "POST /v1/orders HTTP/2.0" 201 12 "-" "a \x22b\x22" "198.51.100.1, 10.0.0.1"',
            {"time": AT, "method": "POST", "path": "/v1/orders", "status": 201, "response_bytes": 12, "client_ip": "2001:db8::7", "host": "api.example"},
        ),
        Good(
            "a user with a space",
            '203.0.113.77 - acme data feed [01/Oct/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"',
            {"time": AT, "method": "GET", "path": "/", "status": 200, "response_bytes": 1, "client_ip": "203.0.113.77", "identity": "consumer:acme data feed"},
        ),
        Good(
            "on 401 the user is only a claim",
            '203.0.113.77 - c-acme [01/Oct/2026:00:00:00 +0000] "GET / HTTP/1.1" 401 179 "-" "-"',
            {"time": AT, "method": "GET", "path": "/", "status": 401, "response_bytes": 179, "client_ip": "203.0.113.77"},
        ),
        Good(
            "a TLS handshake on the plain port: a request without method and path",
            r'203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "\x16\x03\x01 \x02" 400 157 "-" "-"',
            {"time": AT, "status": 400, "response_bytes": 157, "client_ip": "203.0.113.77"},
        ),
        Good(
            "an absolute target names the host",
            '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET http://other.example:8080/x?y HTTP/1.1" 499 0 "-" "-"',
            {"time": AT, "method": "GET", "path": "/x", "status": 499, "response_bytes": 0, "client_ip": "203.0.113.77", "host": "other.example"},
        ),
        Good(
            "a user and a password in the target are no part of the host, as a client sent them to NGINX 1.31",
            '127.0.0.1 - - [01/Oct/2026:00:00:00 +0000] "GET http://victim:x@api.example/v1/orders HTTP/1.1" 400 157 "-" "-"',
            {"time": AT, "method": "GET", "path": "/v1/orders", "status": 400, "response_bytes": 157, "client_ip": "127.0.0.1", "host": "api.example"},
        ),
        Good(
            "ingress-nginx in a container's log: a client may have set the id",
            '2026-10-01T00:00:00.120304506Z stdout F 203.0.113.77 - c-acme [01/Oct/2026:00:00:00 +0000] "PUT /v1/orders/7 HTTP/2.0" 200 88 "-" "acme/2.1" '
            "462 0.250 [shop-orders-8080] [] 10.0.0.4:8080, 10.0.0.5:8080 0, 88 0.100, 0.149 502, 200 0123456789abcdef0123456789abcdef",
            {"event_id": "0123456789abcdef0123456789abcdef", "time": AT, "method": "PUT", "path": "/v1/orders/7", "status": 200, "request_bytes": 462,
             "response_bytes": 88, "latency_ms": 250, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "service": "shop-orders-8080"},
        ),
        Good(
            "JSON with NGINX's own id and milliseconds",
            '{"msec":"1790812800.123","request_id":"fedcba9876543210fedcba9876543210","remote_addr":"203.0.113.77","remote_user":"c-acme","request_method":"GET",'
            '"request_uri":"/v1/orders?page=2","status":"200","request_length":"310","bytes_sent":"1100","body_bytes_sent":"900","request_time":"0.007",'
            '"proxy_host":"orders","host":"api.example"}',
            {"event_id": "fedcba9876543210fedcba9876543210", "time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "status": 200,
             "request_bytes": 310, "response_bytes": 1100, "latency_ms": 7, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "service": "orders",
             "host": "api.example"},
            safe=True,
        ),
        Good(
            "JSON with token claims; the id is one that a client may set",
            '{"time_iso8601":"2026-10-01T02:00:00+02:00","req_id":"chosen","remote_addr":"203.0.113.77","request":"GET /v1/x HTTP/1.1","status":200,'
            '"body_bytes_sent":5,"jwt_claim_iss":"https://id.example","jwt_claim_azp":"client-1"}',
            {"event_id": "chosen", "time": AT, "method": "GET", "path": "/v1/x", "status": 200, "response_bytes": 5, "client_ip": "203.0.113.77",
             "identity": "oidc:https://id.example"},
        ),
        Good(
            "Nginx Proxy Manager",
            '[01/Oct/2026:00:00:00 +0000] - 200 200 - GET https api.example "/v1/orders?x=1" [Client 203.0.113.77] [Length 345] [Gzip -] [Sent-to x] "acme" "-"',
            {"time": AT, "method": "GET", "path": "/v1/orders", "status": 200, "response_bytes": 345, "client_ip": "203.0.113.77", "host": "api.example"},
        ),
        Good(
            "NPMplus: bytes with headers",
            '[01/Oct/2026:00:00:00 +0000] api.example 203.0.113.77 0.002 "GET /v1/orders HTTP/2.0" 200 300 645 - acme/2.1 (linux)',
            {"time": AT, "method": "GET", "path": "/v1/orders", "status": 200, "response_bytes": 645, "latency_ms": 2, "client_ip": "203.0.113.77",
             "host": "api.example"},
        ),
    ],
    "apache": [
        Good(
            "common",
            '203.0.113.77 - c-acme [30/Sep/2026:20:00:00 -0400] "GET /v1/orders?page=2 HTTP/1.1" 200 900',
            {"time": AT, "method": "GET", "path": "/v1/orders", "status": 200, "response_bytes": 900, "client_ip": "203.0.113.77", "identity": "consumer:c-acme"},
        ),
        Good(
            "combined; quotes and backslashes within quotes, no body",
            r'203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET /a\"b?c=\\ HTTP/1.1" 304 - "https://shop.example/\\" "agent \"7\" \\"',
            {"time": AT, "method": "GET", "path": r"/a\"b", "status": 304, "response_bytes": 0, "client_ip": "203.0.113.77"},
        ),
        Good(
            "a virtual host before, a duration after",
            'api.example:443 2001:db8::7 - c-acme [01/Oct/2026:00:00:00 +0000] "DELETE /v1/orders/7 HTTP/1.1" 204 0 "-" "acme/2.1" 1234',
            {"time": AT, "method": "DELETE", "path": "/v1/orders/7", "status": 204, "response_bytes": 0, "client_ip": "2001:db8::7",
             "identity": "consumer:c-acme", "host": "api.example"},
        ),
        Good(
            "a timeout: no request line came",
            '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "-" 408 - "-" "-"',
            {"time": AT, "status": 408, "response_bytes": 0, "client_ip": "203.0.113.77"},
        ),
        Good(
            "on 401 the user is only a claim; HTTP/0.9",
            '203.0.113.77 - c-acme [01/Oct/2026:00:00:00 +0000] "GET /v1" 401 12 "-" "-"',
            {"time": AT, "method": "GET", "path": "/v1", "status": 401, "response_bytes": 12, "client_ip": "203.0.113.77"},
        ),
    ],
    "traefik": [
        Good(
            "CLF",
            '203.0.113.77 - c-acme [01/Oct/2026:00:00:00 +0000] "GET /v1/orders?page=2 HTTP/2.0" 200 900 "-" "acme \\"2\\"" 41 "orders@docker" "http://10.0.0.4:80" 12ms',
            {"time": AT, "method": "GET", "path": "/v1/orders", "route": "orders@docker", "status": 200, "response_bytes": 900, "latency_ms": 12,
             "client_ip": "203.0.113.77", "identity": "consumer:c-acme"},
        ),
        Good(
            "CLF, no router matched and nothing was sent",
            '2001:db8::7 - - [01/Oct/2026:00:00:00 +0000] "GET /x HTTP/1.1" - - "-" "-" 42 "-" "-" 0ms',
            {"time": AT, "method": "GET", "path": "/x", "latency_ms": 0, "client_ip": "2001:db8::7"},
        ),
        Good(
            "JSON: nanoseconds",
            '{"ClientHost":"203.0.113.77","ClientUsername":"c-acme","DownstreamContentSize":900,"DownstreamStatus":200,"Duration":12345678,"RequestContentSize":17,'
            '"RequestCount":7,"RequestHost":"api.example","RequestMethod":"POST","RequestPath":"/v1/orders?x=1","RouterName":"orders@docker",'
            '"ServiceName":"orders@docker","ServiceURL":{"Host":"10.0.0.4"},"StartUTC":"2026-10-01T00:00:00.123999999Z","level":"info","msg":""}',
            {"time": "2026-10-01T00:00:00.123Z", "method": "POST", "path": "/v1/orders", "route": "orders@docker", "status": 200, "request_bytes": 17,
             "response_bytes": 900, "latency_ms": 12.345678, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "service": "orders@docker",
             "host": "api.example"},
        ),
        Good(
            "JSON: a forwarded list, no router",
            '{"ClientHost":"203.0.113.77, 10.0.0.9","ClientUsername":"-","DownstreamContentSize":19,"DownstreamStatus":404,"Duration":1,"RequestHost":"api.example",'
            '"RequestMethod":"GET","RequestPath":"/","StartUTC":"2026-10-01T00:00:00Z"}',
            {"time": AT, "method": "GET", "path": "/", "status": 404, "response_bytes": 19, "latency_ms": 0.000001, "client_ip": "203.0.113.77", "host": "api.example"},
        ),
    ],
    "haproxy": [
        Good(
            "quotes in a path, which HAProxy 2.6 writes as #22",
            '127.0.0.1:60948 [01/Oct/2026:00:00:00.000] api orders_api/one 0/0/0/0/0 200 127 - - ---- 1/1/0/0/0 0/0 "GET /v1/a#22b\\c\\#22d?x=#22 HTTP/1.1"',
            {"time": AT, "method": "GET", "path": '/v1/a"b\\c\\"d', "route": "api", "status": 200, "response_bytes": 127, "latency_ms": 0,
             "client_ip": "127.0.0.1", "service": "orders_api"},
        ),
        Good(
            "HTTP log without a syslog header, IPv6",
            '2001:db8::7:50123 [01/Oct/2026:00:00:00.042] public~ orders/srv1 0/0/3/40/43 200 900 - - ---- 2/1/0/0/0 0/0 "GET /v1/orders?page=2 HTTP/1.1"',
            {"time": "2026-10-01T00:00:00.042Z", "method": "GET", "path": "/v1/orders", "route": "public", "status": 200, "response_bytes": 900, "latency_ms": 43,
             "client_ip": "2001:db8::7", "service": "orders"},
        ),
        Good(
            "syslog, captured headers",
            "Oct  1 00:00:01 lb-1 haproxy[77]: 203.0.113.77:50123 [01/Oct/2026:00:00:00.000] public orders/srv1 0/0/3/40/43 201 12 - - --VN 2/1/0/0/0 0/0 "
            '{api.example|acme/2.1 (linux)} {|text/plain} "POST http://api.example/v1/orders HTTP/1.1"',
            {"time": AT, "method": "POST", "path": "/v1/orders", "route": "public", "status": 201, "response_bytes": 12, "latency_ms": 43,
             "client_ip": "203.0.113.77", "service": "orders", "host": "api.example"},
        ),
        Good(
            "RFC 5424; a bad request that reached no server",
            "<134>1 2026-10-01T00:00:01.1+02:00 lb-1 haproxy 77 - - 203.0.113.77:50123 [01/Oct/2026:00:00:00.000] public public/<NOSRV> "
            '-1/-1/-1/-1/5000 408 212 - - cR-- 2/1/0/0/0 0/0 "<BADREQ>"',
            {"time": AT, "route": "public", "status": 408, "response_bytes": 212, "latency_ms": 5000, "client_ip": "203.0.113.77", "service": "public"},
        ),
        Good(
            "cut by syslog within the request; no response: status and time are -1",
            "2026-10-01T00:00:01+00:00 lb-1 haproxy[77]: 203.0.113.77:50123 [01/Oct/2026:00:00:00.000] public orders/srv1 0/0/-1/-1/-1 -1 0 - - CC-- 2/1/0/0/0 0/0 "
            '"GET /v1/orders/very/long',
            {"time": AT, "method": "GET", "path": "/v1/orders/very/long", "route": "public", "status": 0, "response_bytes": 0,
             "client_ip": "203.0.113.77", "service": "orders"},
        ),
        Good(
            "JSON with an id of HAProxy's own",
            '{"client_ip":"203.0.113.77","client_port":50123,"request_date":"01/Oct/2026:00:00:00.042","frontend_name":"public~","backend_name":"orders",'
            '"server_name":"srv1","time_active":43,"status_code":200,"bytes_read":900,"bytes_uploaded":17,"request_line":"GET /v1/orders?page=2 HTTP/1.1",'
            '"unique_id":"CB00714D:C3CB_0A000001:01BB_66FB3E00_0001:004D","api_key_id":"k-acme"}',
            {"event_id": "CB00714D:C3CB_0A000001:01BB_66FB3E00_0001:004D", "time": "2026-10-01T00:00:00.042Z", "method": "GET", "path": "/v1/orders",
             "route": "public", "status": 200, "request_bytes": 17, "response_bytes": 900, "latency_ms": 43, "client_ip": "203.0.113.77",
             "identity": "api_key:k-acme", "service": "orders"},
            safe=True,
        ),
        Good(
            "JSON with a date that has its zone, and token claims",
            '{"client_ip":"203.0.113.77","request_date":"01/Oct/2026:02:00:00 +0200","frontend_name":"public","backend_name":"orders","status_code":"200",'
            '"bytes_read":"9","method":"GET","uri":"/v1/x?y","host":"api.example:443","iss":"https://id.example","azp":"client-1"}',
            {"time": AT, "method": "GET", "path": "/v1/x", "route": "public", "status": 200, "response_bytes": 9, "client_ip": "203.0.113.77",
             "identity": "oidc:https://id.example", "service": "orders", "host": "api.example"},
        ),
        Good(
            "JSON by hand of what is no request",
            '{"request_date":"01/Oct/2026:00:00:00 +0000","unique_id":"-","client_ip":"127.0.0.1","frontend_name":"api","backend_name":"api","method":"<BADREQ>",'
            '"uri":"-","host":"-","status_code":400,"time_active":0,"bytes_uploaded":0,"bytes_read":0,"api_key_id":"-"}',
            {"time": AT, "route": "api", "status": 400, "request_bytes": 0, "response_bytes": 0, "latency_ms": 0, "client_ip": "127.0.0.1", "service": "api"},
        ),
    ],
    "caddy": [
        Good(
            "seconds with digits beyond the microsecond are cut, not rounded",
            '{"level":"info","ts":1790812800.1239999,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"10.0.0.9",'
            '"client_ip":"203.0.113.77",'
            '"method":"GET","host":"api.example:8443","uri":"/v1/orders?page=2","headers":{"Authorization":["REDACTED"]}},"bytes_read":17,"user_id":"c-acme",'
            '"duration":0.012345678,"size":900,"status":200,"resp_headers":{"Server":["Caddy"]}}',
            {"time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "status": 200, "request_bytes": 17, "response_bytes": 900,
             "latency_ms": 12.345678, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "host": "api.example"},
        ),
        Good(
            "in compose's output, with an id of Caddy's own; a duration of nanoseconds",
            'edge-1  | {"ts":1790812800,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"2001:db8::7",'
            '"method":"GET","host":"[2001:db8::1]:443",'
            '"uri":"/"},'
            '"bytes_read":0,"user_id":"c-acme","duration":0.000000701,"size":0,"status":0,"uuid":"6f0c8a1e-0f1a-4d7c-9a51-3b1f7f1f7a11"}',
            {"event_id": "6f0c8a1e-0f1a-4d7c-9a51-3b1f7f1f7a11", "time": AT, "method": "GET", "path": "/", "status": 0, "request_bytes": 0, "response_bytes": 0,
             "latency_ms": 0.000701, "client_ip": "2001:db8::7", "identity": "consumer:c-acme", "host": "2001:db8::1"},
            safe=True,
        ),
        Good(
            "on 401 the user is only a claim; time as text, an old address field",
            '{"ts":"2026-10-01T00:00:00.000Z","logger":"http.log.access","msg":"handled request","request":{"remote_addr":"203.0.113.77:50123","method":"GET",'
            '"host":"api.example","uri":"/"},"bytes_read":0,"user_id":"c-acme","duration":1,"size":0,"status":401}',
            {"time": AT, "method": "GET", "path": "/", "status": 401, "request_bytes": 0, "response_bytes": 0, "latency_ms": 1000, "client_ip": "203.0.113.77",
             "host": "api.example"},
        ),
    ],
    "apisix": [
        Good(
            "default entry of APISIX 3",
            '{"start_time":1790812800123,"client_ip":"203.0.113.77","route_id":"orders","service_id":"shop","latency":12.5,"apisix_latency":0.5,"upstream_latency":12,'
            '"request":{"method":"GET","uri":"/v1/orders?page=2","url":"http://api.example:9080/v1/orders?page=2","size":210,"querystring":{"page":"2"},'
            '"headers":{"host":"api.example:9080"}},"response":{"status":200,"size":1100,"headers":{}},"consumer":{"username":"c-acme"},"upstream":"10.0.0.4:80"}',
            {"time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "route": "orders", "status": 200, "request_bytes": 210, "response_bytes": 1100,
             "latency_ms": 12.5, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "service": "shop", "host": "api.example"},
        ),
        Good(
            "older: the sum of two latencies; no service",
            '{"start_time":1790812800000,"client_ip":"203.0.113.77","route_id":"1","service_id":"","apisix_latency":0.25,"upstream_latency":12,'
            '"request":{"method":"POST","uri":"/","size":90,"headers":{"host":"api.example"}},"response":{"status":201,"size":190}}',
            {"time": AT, "method": "POST", "path": "/", "route": "1", "status": 201, "request_bytes": 90, "response_bytes": 190, "latency_ms": 12.25,
             "client_ip": "203.0.113.77", "host": "api.example"},
        ),
        Good(
            "a log_format of one's own; the hour is east of Greenwich",
            '{"host":"api.example","@timestamp":"2026-10-01T05:45:00+05:45","client_ip":"203.0.113.77","route_id":"orders","status":200,"consumer_name":"c-acme"}',
            {"time": AT, "route": "orders", "status": 200, "client_ip": "203.0.113.77", "identity": "consumer:c-acme", "host": "api.example"},
        ),
    ],
    "envoy": [
        Good(
            "default text",
            '[2026-10-01T00:00:00.123Z] "GET /v1/orders?page=2 HTTP/2" 200 - 17 900 12 11 "203.0.113.77" "acme" "chosen-by-the-client" "api.example:443" "10.0.0.4:80"',
            {"event_id": "chosen-by-the-client", "time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "status": 200, "request_bytes": 17,
             "response_bytes": 900, "latency_ms": 12, "client_ip": "203.0.113.77", "host": "api.example"},
        ),
        Good(
            "quotes in the user agent move neither id nor host; details, a forwarded list",
            '[2026-10-01T00:00:00.000Z] "GET / HTTP/1.1" 0 DC downstream_remote_disconnect 0 0 7 - "[2001:db8::7]:443, 10.0.0.9" "a" "b" "c" "id-7" "api.example" "-"',
            {"event_id": "id-7", "time": AT, "method": "GET", "path": "/", "status": 0, "request_bytes": 0, "response_bytes": 0, "latency_ms": 7,
             "client_ip": "2001:db8::7", "host": "api.example"},
        ),
        Good(
            "a quote in a path, which Envoy 1.40 writes as it was sent",
            r'''[2026-10-01T00:00:00.000Z] "GET /v1/a"b\c\"d?x=" HTTP/1.1" 200 - 0 12 43 0 "-" "-" "id-7" "api.example" "127.0.0.1:80"''',
            {"event_id": "id-7", "time": AT, "method": "GET", "path": r'''/v1/a"b\c\"d''', "status": 200, "request_bytes": 0, "response_bytes": 12,
             "latency_ms": 43, "host": "api.example"},
        ),
        Good(
            "JSON of Envoy Gateway in a container's log, with a key's id",
            '2026-10-01T02:00:00.5+02:00 stdout F {":authority":"api.example","bytes_received":17,"bytes_sent":900,"downstream_remote_address":"203.0.113.77:50123",'
            '"duration":12,"method":"GET","response_code":200,"response_flags":"-","route_name":"orders","start_time":"2026-10-01T00:00:00.000Z",'
            '"upstream_cluster":"shop","x-envoy-origin-path":"/v1/orders?x","x-forwarded-for":"198.51.100.1","x-request-id":"id-8","x_api_key_id":"k-acme"}',
            {"event_id": "id-8", "time": AT, "method": "GET", "path": "/v1/orders", "route": "orders", "status": 200, "request_bytes": 17, "response_bytes": 900,
             "latency_ms": 12, "client_ip": "203.0.113.77", "identity": "api_key:k-acme", "service": "shop", "host": "api.example"},
        ),
        Good(
            "JSON with token claims; what is absent is null",
            '{"start_time":"2026-10-01T00:00:00.000Z","method":"GET","path":"/","response_code":"200","bytes_sent":"9","route_name":null,"jwt_iss":"https://id.example",'
            '"jwt_sub":"client-1","downstream_peer_uri_san":"spiffe://c/ns/x"}',
            {"time": AT, "method": "GET", "path": "/", "status": 200, "response_bytes": 9, "identity": "oidc:https://id.example"},
        ),
        Good(
            "access log service: seconds with nanoseconds, a size of zero is left out",
            '[{"commonProperties":{"startTime":"2026-10-01T00:00:00.123456789Z","timeToLastDownstreamTxByte":"0.001586901s","upstreamCluster":"shop",'
            '"downstreamRemoteAddress":{"socketAddress":{"address":"203.0.113.77","portValue":1}}},"request":{"requestMethod":"GET","originalPath":"/v1/orders",'
            '"path":"/rewritten","authority":"api.example","requestId":"id-9"},"response":{"responseCode":200,"responseBodyBytes":"142"}}]',
            {"event_id": "id-9", "time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "status": 200, "request_bytes": 0, "response_bytes": 142,
             "latency_ms": 1.586901, "client_ip": "203.0.113.77", "service": "shop", "host": "api.example"},
        ),
    ],
    "istio": [
        Good(
            "text",
            '[2026-10-01T00:00:00.123Z] "GET /v1/orders?page=2 HTTP/1.1" 200 - via_upstream - "-" 17 900 12 11 "-" "acme/2.1" "id-1" "orders:9080" "10.0.0.4:9080" '
            "inbound|9080|| 127.0.0.6:58811 10.0.0.4:9080 203.0.113.77:50123 outbound_.9080_._.orders.shop.svc.cluster.local default",
            {"event_id": "id-1", "time": "2026-10-01T00:00:00.123Z", "method": "GET", "path": "/v1/orders", "route": "default", "status": 200, "request_bytes": 17,
             "response_bytes": 900, "latency_ms": 12, "client_ip": "203.0.113.77", "service": "inbound|9080||", "host": "orders"},
        ),
        Good(
            "a quote in a path",
            '[2026-10-01T00:00:00.000Z] "GET /v1/a"b?x=" HTTP/1.1" 200 - via_upstream - "-" 17 900 12 11 "-" "acme/2.1" "id-1" "orders:9080" "10.0.0.4:9080" '
            "inbound|9080|| 127.0.0.6:58811 10.0.0.4:9080 203.0.113.77:50123 - default",
            {"event_id": "id-1", "time": AT, "method": "GET", "path": '/v1/a"b', "route": "default", "status": 200, "request_bytes": 17,
             "response_bytes": 900, "latency_ms": 12, "client_ip": "203.0.113.77", "service": "inbound|9080||", "host": "orders"},
        ),
        Good(
            "quotes in the user agent do not move the route; a failure with a reason, no protocol",
            '[2026-10-01T00:00:00.000Z] "GET /v1 -" 503 UF upstream_reset - "TLS error: 7" 0 91 3 - "-" "a" "b" 1 "c" "id-2" "orders:9080" "-" '
            "outbound|9080||orders.shop - 10.0.0.4:9080 [2001:db8::7]:50123 - orders-v1",
            {"event_id": "id-2", "time": AT, "method": "GET", "path": "/v1", "route": "orders-v1", "status": 503, "request_bytes": 0, "response_bytes": 91,
             "latency_ms": 3, "client_ip": "2001:db8::7", "service": "outbound|9080||orders.shop", "host": "orders"},
        ),
        Good(
            "JSON with the mTLS principal",
            '{"authority":"orders:9080","bytes_received":17,"bytes_sent":900,"downstream_remote_address":"203.0.113.77:50123","duration":12,"method":"GET",'
            '"path":"/v1/orders?x","request_id":"id-3","response_code":200,"route_name":"default","start_time":"2026-10-01T00:00:00.000Z",'
            '"upstream_cluster":"inbound|9080||","downstream_peer_uri_san":"spiffe://cluster.local/ns/acme/sa/feed"}',
            {"event_id": "id-3", "time": AT, "method": "GET", "path": "/v1/orders", "route": "default", "status": 200, "request_bytes": 17, "response_bytes": 900,
             "latency_ms": 12, "client_ip": "203.0.113.77", "identity": "consumer:spiffe://cluster.local/ns/acme/sa/feed", "service": "inbound|9080||", "host": "orders"},
        ),
        Good(
            "JSON of a broken request: everything is '-'",
            '{"authority":"-","bytes_received":0,"bytes_sent":11,"downstream_remote_address":"203.0.113.77:50123","duration":46,"method":"-","path":"-",'
            '"request_id":"-","response_code":400,"route_name":"-","start_time":"2026-10-01T00:00:00.000Z","upstream_cluster":null}',
            {"time": AT, "status": 400, "request_bytes": 0, "response_bytes": 11, "latency_ms": 46, "client_ip": "203.0.113.77"},
        ),
    ],
}  # fmt: skip

_REQUEST = '"GET /v1 HTTP/1.1"'

BAD: dict[str, list[Bad]] = {
    "nginx": [
        Bad("the error log in the same stream", "2026/10/01 00:00:00 [error] 31#31: *46 open() failed, client: 203.0.113.77", "NOT_A_REQUEST"),
        Bad("two fields before the time", f'203.0.113.77 - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200 1 "-" "-"', "NOT_JSON"),
        Bad("cut within the request", '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET /v1', "NOT_JSON"),
        Bad("cut before the size", f"203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200", "NOT_JSON"),
        Bad("a status of two digits", f'203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 20 1 "-" "-"', "NOT_JSON"),
        Bad("no such day", f'203.0.113.77 - - [31/Sep/2026:00:00:00 +0000] {_REQUEST} 200 1 "-" "-"', "BAD_TIME"),
        Bad("no zone", f'203.0.113.77 - - [01/Oct/2026:00:00:00] {_REQUEST} 200 1 "-" "-"', "NO_ZONE"),
        Bad("JSON without a request", '{"time":"2026-10-01T00:00:00Z","message":"reload"}', "NOT_A_REQUEST"),
        Bad("JSON without a time", '{"request":"GET / HTTP/1.1","status":200}', "NO_TIME"),
        Bad("JSON time without a zone", '{"time":"2026-10-01T00:00:00","status":200}', "NO_ZONE"),
        Bad("a negative duration", '{"msec":"1790812800.000","status":200,"request_time":"-0.001"}', "NUMBER_RANGE"),
        Bad("a duration that is no number", '{"msec":"1790812800.000","status":200,"request_time":"0.1, 0.2"}', "NUMBER_RANGE"),
        Bad("a safe id with a line break", '{"msec":"1790812800.000","status":200,"request_id":"a\\nb"}', "CONTROL_CHAR"),
        Bad("JSON, cut", '{"msec":"1790812800.000","status":200,"request_id":"ab', "NOT_JSON"),
        Bad("JSON, no object", '"GET / HTTP/1.1"', "NOT_OBJECT"),
        Bad("a container's line that is cut", f'2026-10-01T00:00:00Z stdout P 203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200 1', "NOT_JSON"),
    ],
    "apache": [
        Bad("the error log in the same stream", "[Thu Oct 01 00:00:00.880562 2026] [auth_basic:error] [pid 10:tid 14] [client 203.0.113.77:5] AH01618", "NOT_A_REQUEST"),
        Bad("two fields before the time", f"203.0.113.77 - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200 1", "NOT_JSON"),
        Bad("no zone", f"203.0.113.77 - - [01/Oct/2026:00:00:00] {_REQUEST} 200 1", "NO_ZONE"),
        Bad("an unescaped quote", '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET /"x HTTP/1.1" 200 1', "NOT_JSON"),
        Bad("a size that is no number", f"203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200 1k", "NOT_JSON"),
        Bad("a size beyond 10^16", f"203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200 {10**16 + 1}", "NUMBER_RANGE"),
        Bad("a year before there were logs", f"203.0.113.77 - - [31/Dec/1989:23:59:59 +0000] {_REQUEST} 200 1", "TIME_RANGE"),
        Bad("JSON", '{"status":200}', "NOT_JSON"),
        Bad("hyphens", "- - - - - - -", "NOT_JSON"),
    ],
    "traefik": [
        Bad("a plugin's message", "DEBUG: BouncerPlugin: 2026/10/01 00:00:00 cache updated", "NOT_JSON"),
        Bad("Traefik's own log", '{"level":"info","msg":"Configuration loaded","time":"2026-10-01T00:00:00Z"}', "NOT_A_REQUEST"),
        Bad("no start", '{"RequestMethod":"GET","DownstreamStatus":200,"Duration":5}', "NO_TIME"),
        Bad("a start without a zone", '{"RequestMethod":"GET","DownstreamStatus":200,"StartUTC":"2026-10-01T00:00:00"}', "NO_ZONE"),
        Bad("a status beyond 599", '{"RequestMethod":"GET","DownstreamStatus":600,"StartUTC":"2026-10-01T00:00:00Z"}', "BAD_STATUS"),
        Bad("a negative duration", '{"RequestMethod":"GET","Duration":-1000000,"StartUTC":"2026-10-01T00:00:00Z"}', "NUMBER_RANGE"),
        Bad("cut before the size", f"203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] {_REQUEST} 200", "NOT_JSON"),
    ],
    "haproxy": [
        Bad("a handshake that failed", "203.0.113.77:50123 [01/Oct/2026:00:00:00.000] public/1: SSL handshake failure", "NOT_A_REQUEST"),
        Bad("TCP mode", "Oct  1 00:00:01 lb-1 haproxy[7]: 203.0.113.77:5 [01/Oct/2026:00:00:00.000] ssh ssh/srv1 1/1/861 1485 -- 2/1/0/0/0 0/0", "NOT_A_REQUEST"),
        Bad("a start message", "Oct  1 00:00:01 lb-1 haproxy[7]: Proxy public started.", "NOT_A_REQUEST"),
        Bad("no such month", f"203.0.113.77:5 [01/Okt/2026:00:00:00.000] public orders/srv1 0/0/3/40/43 200 9 - - ---- 2/1/0/0/0 0/0 {_REQUEST}", "BAD_TIME"),
        Bad("cut before the request", "203.0.113.77:5 [01/Oct/2026:00:00:00.000] public orders/srv1 0/0/3/40/43 200 9 - - ---- 2/1/0/0/0 0/0", "NOT_JSON"),
        Bad("a size that is cut", '203.0.113.77:5 [01/Oct/2026:00:00:00.000] public orders/srv1 0/0/3/40/43 200 9"', "NOT_JSON"),
        Bad("JSON without a request", '{"client_ip":"203.0.113.77","request_date":"01/Oct/2026:00:00:00.000"}', "NOT_A_REQUEST"),
        Bad("JSON without a date", '{"status_code":200,"request_line":"GET / HTTP/1.1"}', "NO_TIME"),
        Bad("a status of 99", '{"status_code":99,"request_date":"01/Oct/2026:00:00:00.000"}', "BAD_STATUS"),
    ],
    "caddy": [
        Bad("another message of the server", '{"level":"info","ts":1790812800.5,"logger":"tls","msg":"storage cleaned"}', "NOT_A_REQUEST"),
        Bad("another message of the access logger", '{"ts":1790812800.5,"logger":"http.log.access","msg":"other","request":{}}', "NOT_A_REQUEST"),
        Bad("no time", '{"logger":"http.log.access","msg":"handled request","request":{"method":"GET"}}', "NO_TIME"),
        Bad("a local time", '{"ts":"2026-10-01T00:00:00","logger":"http.log.access","msg":"handled request","request":{"method":"GET"}}', "NO_ZONE"),
        Bad("microseconds", '{"ts":1790812800000000,"logger":"http.log.access","msg":"handled request","request":{"method":"GET"}}', "TIME_RANGE"),
        Bad("a duration with a unit", '{"ts":1790812800,"logger":"http.log.access","msg":"handled request","request":{},"duration":"1.2ms"}', "NUMBER_RANGE"),
        Bad("a duration beyond measure", '{"ts":1790812800,"logger":"http.log.access","msg":"handled request","request":{},"duration":1e400}', "NUMBER_RANGE"),
        Bad("cut", 'caddy  | {"ts":1790812800,"logger":"http.log.acc', "NOT_JSON"),
    ],
    "apisix": [
        Bad("meta_format origin", "GET /v1/orders HTTP/1.1", "NOT_JSON"),
        Bad("another program's log", '{"level":"info","msg":"reload"}', "NOT_A_REQUEST"),
        Bad("an empty batch", "[]", "NOT_OBJECT"),
        Bad("a batch of nothing", "[null]", "NOT_OBJECT"),
        Bad("no time", '{"route_id":"1","request":{"method":"GET"},"response":{"status":200}}', "NO_TIME"),
        Bad("a local time", '{"route_id":"1","@timestamp":"2026-10-01T00:00:00"}', "NO_ZONE"),
        Bad("a negative size", '{"route_id":"1","start_time":1790812800000,"request":{"size":-1}}', "NUMBER_RANGE"),
    ],
    "envoy": [
        Bad("another program's log", '{"level":"info","msg":"starting main dispatch loop"}', "NOT_A_REQUEST"),
        Bad("cut before the sizes", '[2026-10-01T00:00:00.123Z] "GET / HTTP/2" 200 - 17 9', "NOT_JSON"),
        Bad("no zone", '[2026-10-01T00:00:00.123] "GET / HTTP/2" 200 - 17 900 12 11 "-" "-" "-" "-" "-"', "NO_ZONE"),
        Bad("no time", '{"method":"GET","response_code":200}', "NO_TIME"),
        Bad("an empty batch", "[]", "NOT_OBJECT"),
        Bad("a status of two digits", '[2026-10-01T00:00:00.123Z] "GET / HTTP/2" 20 - 17 900 12 11 "-" "-" "-" "-" "-"', "BAD_STATUS"),
    ],
    "istio": [
        Bad("the default text of plain Envoy", '[2026-10-01T00:00:00.123Z] "GET / HTTP/2" 200 - 17 900 12 11 "-" "-" "-" "-" "-"', "NOT_JSON"),
        Bad("another program's log", '{"level":"info","msg":"Envoy proxy is ready"}', "NOT_A_REQUEST"),
        Bad(
            "cut before the route",
            '[2026-10-01T00:00:00.123Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 17 900 12 11 "-" "-" "id" "a" "b" inbound|9080|| 127.0.0.6:5',
            "NOT_JSON",
        ),
        Bad("no such hour", '{"method":"GET","response_code":200,"start_time":"2026-10-01T25:00:00Z"}', "BAD_TIME"),
    ],
}  # fmt: skip

# A line with SENT where the client's text stands, and a text that tries to be the rest of the line, as the gateway writes it:
# NGINX, Apache and HAProxy escape quotes, Traefik all but those of the path, Envoy none.
_CLF = '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET /v1'
_TRAEFIK = '"orders@docker" "http://10.0.0.4:80" 12ms'
_ENVOY = '[2026-10-01T00:00:00.123Z] "GET /v1'
_ISTIO = "inbound|9080|| 127.0.0.6:5 10.0.0.4:9080 203.0.113.77:5 sni orders"
FORGERIES: list[tuple[str, str, str]] = [
    ("nginx", _CLF + ' HTTP/1.1" 200 900 "-" "SENT"', r"\x22 429 1 [x] [] y"),
    ("nginx", _CLF + '?SENT HTTP/1.1" 200 900 "-" "-"', r"\x22 429 1 \x22-\x22"),
    ("apache", _CLF + ' HTTP/1.1" 200 900 "SENT" "-"', r"\" 429 1 \"-\\\""),
    ("apache", _CLF + '?SENT HTTP/1.1" 200 900 "-" "-"', r"\" 429 1 \"-\\\""),
    ("traefik", _CLF + f' HTTP/1.1" 200 900 "-" "SENT" 41 {_TRAEFIK}', r"\" 7 \"free@docker\" \"http://x\" 1ms"),
    ("traefik", _CLF + f'?SENT HTTP/1.1" 200 900 "-" "-" 41 {_TRAEFIK}', '"429"0""'),
    (
        "haproxy",
        '203.0.113.77:5 [01/Oct/2026:00:00:00.000] public orders/srv1 0/0/3/40/43 200 900 - - ---- 2/1/0/0/0 0/0 {SENT} "GET /v1 HTTP/1.1"',
        "#22GET /free HTTP/1.1#22 0/0/0/0/0 429 1 - - ---- ",
    ),
    ("envoy", _ENVOY + ' HTTP/2" 200 - 17 900 12 11 "SENT" "a" "id" "api.example" "10.0.0.4:80"', '1" "x" 429 - 0 0 1 1 "'),
    ("envoy", _ENVOY + ' HTTP/2" 200 - 17 900 12 11 "-" "SENT" "id" "api.example" "10.0.0.4:80"', '" 429 - 0 0 1 1 "" "'),
    ("envoy", _ENVOY + '?SENT HTTP/2" 200 - 17 900 12 11 "-" "a" "id" "api.example" "10.0.0.4:80"', 'a"b"'),
    (
        "istio",
        _ENVOY + f' HTTP/1.1" 200 - via_upstream - "-" 17 900 12 11 "-" "SENT" "id" "api" "10.0.0.4:9080" {_ISTIO}',
        '" "i" "a" "u" inbound|1|| 1:1 1:1 1:1 sni free" "',
    ),
    ("istio", _ENVOY + f'?SENT HTTP/1.1" 200 - via_upstream - "-" 17 900 12 11 "-" "a" "id" "api" "10.0.0.4:9080" {_ISTIO}', '"429"-"'),
]  # fmt: skip
