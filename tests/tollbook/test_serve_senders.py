"""Senders as they are: OpenMeter's client and the CloudEvents SDK, unchanged, over a socket; tokens of a real issuer
over TLS.
"""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any

import httpx
import openmeter
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from corehttp.exceptions import ClientAuthenticationError, HttpResponseError
from corehttp.runtime.policies import RetryPolicy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.conftest import own_prefix
from tests.tollbook.serving import EDGE, PRODUCERS, SINGLE, TIME, HttpServer, event, running_server, write_installation

AUDIENCE = "https://tollbook.example"


@pytest.fixture(scope="module")
def shared(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """One server for the clients."""
    with own_prefix(kafka) as prefix, running_server(kafka, prefix, tmp_path_factory.mktemp("serve")) as opened:
        yield opened


def openmeter_client(shared: HttpServer, token: str = EDGE.text) -> openmeter.Client:
    return openmeter.Client(endpoint=shared.url, token=token, retry_policy=RetryPolicy.no_retries())


def usage(event_id: str, **changes: Any) -> Any:
    fields = {
        "id": event_id, "source": "api", "specversion": "1.0", "type": "request", "subject": "c-acme",
        "time": datetime.fromisoformat(TIME), "data": {"path": "/v1/x", "status_code": 200},
    }  # fmt: skip
    return fields | changes


def test_openmeters_client_sends_events(shared: HttpServer) -> None:
    """One, and many, as its documentation shows: nothing but the address and the token is ours."""
    with openmeter_client(shared) as client:
        client.events.ingest_event(usage("om-1"))
        client.events.ingest_events([usage(f"om-{i}") for i in range(2, 5)])
        client.events.ingest_events_json([usage("om-5"), usage("om-6")])
    assert sorted(i for i in shared.ids() if len(i) == 4 and i.startswith("om-")) == [f"om-{i}" for i in range(1, 7)]


@pytest.mark.slow
def test_openmeters_client_is_told_what_was_wrong(shared: HttpServer) -> None:
    """Its exceptions carry our status and, in the answer, our reason."""
    with openmeter_client(shared) as client:
        with pytest.raises(HttpResponseError) as bad:
            client.events.ingest_event(usage("om-bad", subject="nobody"))
        assert bad.value.status_code == 400
        assert bad.value.response.json()["code"] == "UNKNOWN_CREDENTIAL"
        with pytest.raises(HttpResponseError) as partly:
            client.events.ingest_events([usage("om-part-1"), usage("om-part-2", subject="nobody")])
        assert partly.value.response.json()["rows"][0]["index"] == 1
    with openmeter_client(shared, "nobody") as client, pytest.raises(ClientAuthenticationError):
        client.events.ingest_event(usage("om-unknown"))
    assert [i for i in shared.ids() if i in {"om-bad", "om-part-1", "om-part-2", "om-unknown"}] == ["om-part-1"]


@pytest.mark.parametrize("mode", [to_structured, to_binary])
def test_the_cloudevents_sdk_sends_events(shared: HttpServer, mode: Any) -> None:
    """Structured and binary mode are the same event; data and attributes arrive as they were given."""
    name = mode.__name__
    attributes = {"id": f"sdk {name} é", "source": "api", "type": "request", "subject": "c-acme", "time": TIME}
    headers, body = mode(CloudEvent(attributes, {"path": "/é", "status_code": 201}))
    fields = {k: v if v.isascii() else v.replace("é", "%C3%A9") for k, v in headers.items()}
    kind = {} if "content-type" in {k.lower() for k in fields} else {"Content-Type": "application/json"}
    answer = shared.client.post(
        "/api/v1/events", content=body, headers=fields | kind | {"Authorization": f"Bearer {EDGE.text}"}
    )
    assert answer.status_code == 204, answer.text
    (found,) = [value for _, value in shared.records() if f"sdk {name}".encode() in value]
    read = json.loads(found)
    assert read["id"] == attributes["id"]
    assert read["data"] == {"path": "/é", "status_code": 201}
    assert read["subject"] == "c-acme"


class Idp:
    """An issuer's server: TLS of its own authority, on a free port; it can be asked what it was asked."""

    def __init__(self, folder: Path, name: str) -> None:
        self.asked: list[str] = []
        self.keys: dict[str, Any] = {"keys": []}
        self.redirect: str | None = None
        self.padding = 0
        self.slow = threading.Event()
        self.slow.set()
        idp = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                idp.asked.append(self.path)
                idp.slow.wait(30)
                body = json.dumps(idp.keys).encode() + b" " * idp.padding
                self.send_response(302 if idp.redirect else 200)
                if idp.redirect:
                    self.send_header("Location", idp.redirect)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.ca = folder / f"{name}.pem"
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate(folder, name))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is meant
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.slow.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _certificate(self, folder: Path, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = folder / f"{name}.key"
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))  # fmt: skip
        return self.ca, secret


@pytest.fixture
def idps(tmp_path: Path) -> Iterator[tuple[Idp, Idp]]:
    """The issuer that is trusted, and another server, which must never be asked."""
    made = Idp(tmp_path, "idp"), Idp(tmp_path, "evil")
    yield made
    for idp in made:
        idp.close()


def with_issuer(idp: Idp) -> str:
    issuer = f"issuers:\n  - {{issuer: '{idp.url}', audience: '{AUDIENCE}', jwks_url: '{idp.url}/keys', algorithms: [RS256, ES256], ca_file: '{idp.ca}'}}\n"
    return issuer + PRODUCERS.replace(
        "    source: edge\n", f"    source: edge\n    clients: [{{issuer: '{idp.url}', client: exporter}}]\n"
    )


def token(idp: Idp, key: RSAKey | ECKey, algorithm: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    fields = {"iss": idp.url, "aud": AUDIENCE, "azp": "exporter", "exp": now + 300} | claims
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode({"alg": algorithm, "kid": key.kid} | (header or {}), fields, key, registry=registry)


def opened_for(kafka: str, prefix: str, folder: Path, producers: str) -> HttpServer:
    write_installation(folder / "site", producers)
    return HttpServer(kafka, prefix, folder / "site")


def test_tokens_of_a_trusted_issuer_are_taken_and_nothing_else_is_asked(
    kafka: str, kafka_prefix: str, tmp_path: Path, idps: tuple[Idp, Idp]
) -> None:
    """S11 to S13, S15 on the wire: the issuer is asked once over TLS; what a token points at is never asked."""
    idp, evil = idps
    rsa, ec_key, other_key = RSAKey.generate_key(2048, {"kid": "r"}), ECKey.generate_key("P-256", {"kid": "e"}), RSAKey.generate_key(2048, {"kid": "r"})  # fmt: skip
    idp.keys = {"keys": [rsa.as_dict(private=False), ec_key.as_dict(private=False)]}
    evil.keys = {"keys": [other_key.as_dict(private=False)]}
    opened = opened_for(kafka, kafka_prefix, tmp_path, with_issuer(idp))
    try:
        good = [token(idp, rsa, "RS256"), token(idp, ec_key, "ES256")]
        for i, text in enumerate(good):
            assert opened.post(json.dumps(event(f"jwt-{i}")).encode(), key=text).status_code == 204
        assert {fields["source"] for fields, _ in opened.records()} == {"edge"}
        pointers = [{"jku": f"{evil.url}/keys"}, {"x5u": f"{evil.url}/cert"}, {"jwk": other_key.as_dict(private=False)}]
        bad = [token(idp, other_key, "RS256", header) for header in ({}, *pointers)]
        bad += [token(idp, rsa, "RS256", {"kid": f"no{i}"}) for i in range(5)]
        bad += [token(idp, rsa, "RS256", azp="nobody"), token(idp, rsa, "RS256", iss=evil.url), good[0][:-4] + "AAAA"]
        answers = [opened.post(b"{}", key=text) for text in bad]
        assert {(a.status_code, a.content) for a in answers} == {(401, answers[0].content)}
        assert idp.asked == ["/keys"]
        assert evil.asked == []
        log = json.dumps(list(opened.process.log_lines))
        assert not [text for text in good + bad if text[:60] in log or text[-40:] in log]
    finally:
        opened.close()


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("fault", ["redirect", "too long", "wrong authority", "down", "slow"])
def test_an_issuer_that_cannot_be_asked_lets_nobody_in(
    kafka: str, kafka_prefix: str, tmp_path: Path, idps: tuple[Idp, Idp], fault: str
) -> None:
    """S15, S16: no redirect is followed, 64 KiB are read, TLS is checked, five seconds are waited. API keys work on."""
    idp, evil = idps
    key = ECKey.generate_key("P-256", {"kid": "e"})
    idp.keys = evil.keys = {"keys": [key.as_dict(private=False)]}
    producers = with_issuer(idp)
    if fault == "redirect":
        idp.redirect = f"{idp.url}/elsewhere"
    elif fault == "too long":
        idp.padding = 65_536
    elif fault == "wrong authority":
        producers = producers.replace(str(idp.ca), str(evil.ca))
    elif fault == "down":
        idp.close()
    else:
        idp.slow.clear()
    opened = opened_for(kafka, kafka_prefix, tmp_path, producers)
    try:
        began = time.monotonic()
        answer = opened.post(json.dumps(event("x")).encode(), key=token(idp, key, "ES256"))
        assert (answer.status_code, answer.json()["code"]) == (503, "KEYS_UNAVAILABLE")
        assert time.monotonic() - began < 10
        assert evil.asked == []
        assert set(idp.asked) <= {"/keys"}
        assert opened.post(json.dumps(event("key")).encode(), SINGLE).status_code == 204
    finally:
        opened.close()


@pytest.mark.slow
def test_the_server_speaks_tls_itself_where_it_is_given_a_certificate(kafka: str, kafka_prefix: str, tmp_path: Path, idps: tuple[Idp, Idp]) -> None:  # fmt: skip
    """Credentials in clear on a network are anybody's."""
    write_installation(tmp_path / "site")
    opened = HttpServer(kafka, kafka_prefix, tmp_path / "site", "--certificate", tmp_path / "idp.pem", "--certificate-key", tmp_path / "idp.key")  # fmt: skip
    try:
        with httpx.Client(verify=create_default_context(cafile=tmp_path / "idp.pem"), trust_env=False) as client:
            headers = {"Authorization": f"Bearer {EDGE.text}", "Content-Type": SINGLE}
            answer = client.post(f"https://127.0.0.1:{opened.port}/api/v1/events", content=json.dumps(event("tls")), headers=headers)  # fmt: skip
        assert answer.status_code == 204
        with pytest.raises(httpx.TransportError):
            opened.post(b"{}")
    finally:
        opened.close()
