"""The file of sinks: what it may say, what it must not, and that no key is ever shown."""

import base64
from pathlib import Path
from typing import Any

import pytest

from aggregate.sinks.file import sinks
from aggregate.sinks.sink import BadSink

KEY = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER = "whsec_" + base64.b64encode(b"76543210fedcba9876543210").decode()
ENV = {"KEY": KEY, "SHORT": "whsec_" + base64.b64encode(b"short").decode(), "NONE": "whsec_***"}


def read(tmp_path: Path, text: str) -> list[Any]:
    file = tmp_path / "webhooks.yaml"
    file.write_text(text)
    return sinks(file, ENV)


def test_keys_come_from_elsewhere_two_while_one_is_replaced(tmp_path: Path) -> None:
    """A file that is reviewed and kept in git holds no key; a receiver can change keys without a gap."""
    (tmp_path / "keys").write_text(f"{OTHER}\n{KEY}\n")
    ops, acme = read(
        tmp_path,
        f"""
- {{name: ops, url: https://hooks.example/in, secret_env: KEY}}
- {{name: acme, url: "https://acme.example:8443/in?token=t", secret_file: {tmp_path}/keys, partner: acme}}
""",
    )
    assert (ops.name, ops.route.partner, len(ops.keys)) == ("ops", None, 1)
    assert (acme.name, acme.route.partner, len(acme.keys)) == ("acme", "acme", 2)


def test_no_key_and_no_url_is_in_a_repr(tmp_path: Path) -> None:
    """What is logged or raised must not give away what a receiver trusts."""
    (one,) = read(tmp_path, "- {name: ops, url: https://hooks.example/tok3n, secret_env: KEY}")
    shown = repr(one) + str(one) + repr(one.keys)
    for secret in (KEY, KEY[6:], "0123456789abcdef", "tok3n"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("{name: a, url: http://hooks.example/, secret_env: KEY}", "https://", id="no TLS"),
        pytest.param("{name: a, url: http://127.0.0.1/, secret_env: KEY}", "https://", id="no TLS to this machine, unasked"),
        pytest.param("{name: a, url: http://10.0.0.1/, secret_env: KEY, private: true}", "https://", id="no TLS in a network"),
        pytest.param("{name: a, url: file:///etc/passwd, secret_env: KEY}", "URL is none", id="file"),
        pytest.param("{name: a, url: gopher://x.example/, secret_env: KEY}", "https://", id="gopher"),
        pytest.param("{name: a, url: https://u:p@hooks.example/, secret_env: KEY}", "not contain a user", id="password in the URL"),
        pytest.param("{name: a, url: https://hooks.example@10.0.0.1/, secret_env: KEY}", "not contain a user", id="a name that is none"),
        pytest.param("{name: a, url: https://hooks.example:22/, secret_env: KEY}", "port 22", id="another service's port"),
        pytest.param("{name: a, url: 'https://hooks.example:x/', secret_env: KEY}", "URL is none", id="a port that is none"),
        pytest.param("{name: a, url: https://hooks.example/}", "either secret_env or", id="no key"),
        pytest.param("{name: a, url: https://hooks.example/, secret_env: KEY, secret_file: k}", "either", id="two places"),
        pytest.param("{name: a, url: https://hooks.example/, secret_env: UNSET}", "no key to sign", id="an unset variable"),
        pytest.param("{name: a, url: https://hooks.example/, secret_env: SHORT}", "5 bytes", id="a short key"),
        pytest.param("{name: a, url: https://hooks.example/, secret_env: NONE}", "holds no key", id="no base64"),
        pytest.param("{name: A b, url: https://hooks.example/, secret_env: KEY}", "name", id="a name that names no group"),
        pytest.param("{name: a, url: https://hooks.example/, secret: whsec_x}", "secret", id="a key in the file"),
        pytest.param("{name: a, url: https://h.example/, secret_env: KEY}\n- {name: a, url: https://i.example/, secret_env: KEY}", "more than one", id="one name twice"),
        pytest.param("{", "invalid YAML", id="no YAML"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """At the start, in words, before an alert could go where it must not."""
    with pytest.raises(BadSink, match=message) as refused:
        read(tmp_path, f"- {line}")
    for secret in ("***", KEY[6:], "u:p"):
        assert secret not in str(refused.value)


def test_this_machine_may_be_called_without_tls_when_it_is_asked_for(tmp_path: Path) -> None:
    """A sidecar that forwards alerts; an explicit setting, and never another machine."""
    for host in ("127.0.0.1:9", "localhost:9", "[::1]:9"):
        (one,) = read(tmp_path, f'- {{name: a, url: "http://{host}/", secret_env: KEY, private: true}}')
        assert one.target.private
