"""Where `tollbook serve` listens, and what a request may take: one frozen record from flags and environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tollbook.cli.errors import WrongUse
from tollbook.workers.http_server import CONNECTIONS_OF_ONE_MAX, Address


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HttpConfig:
    """The door, as it was asked for."""

    listen: Annotated[
        str,
        Parameter(
            "--listen", env_var="TOLLBOOK_LISTEN", help="Address to listen on, host:port; port 0 takes any and logs it."
        ),
    ] = "127.0.0.1:8080"
    certificate: Annotated[
        Path | None,
        Parameter(
            "--certificate",
            env_var="TOLLBOOK_CERTIFICATE",
            help="Certificate chain, PEM: then TLS is spoken. Else put a proxy in front that does.",
        ),
    ] = None
    certificate_key: Annotated[
        Path | None,
        Parameter("--certificate-key", env_var="TOLLBOOK_CERTIFICATE_KEY", help="Key of the certificate, PEM."),
    ] = None
    trusted_proxies: Annotated[
        str,
        Parameter(
            "--trusted-proxies",
            env_var="TOLLBOOK_TRUSTED_PROXIES",
            show_default=False,
            help="Addresses or networks of proxies, with commas between, whose X-Forwarded-For is believed.",
        ),
    ] = ""
    buffer_mib: Annotated[
        int,
        Parameter(
            "--buffer-mib",
            env_var="TOLLBOOK_BUFFER_MIB",
            validator=Number(gte=64),
            help="Memory for requests that are read, decoded or sent; beyond it the answer is 503. One producer may have a quarter.",
        ),
    ] = 256
    request_s: Annotated[
        float,
        Parameter(
            "--request-s",
            env_var="TOLLBOOK_REQUEST_S",
            validator=Number(gt=0),
            help="So long the head of a request may take to come, and so long its body.",
        ),
    ] = 30.0

    connections_of_address: Annotated[
        int,
        Parameter(
            "--connections-of-address",
            env_var="TOLLBOOK_CONNECTIONS_OF_ADDRESS",
            validator=Number(gte=1),
            help="So many connections one address may have at once, of IPv6 a /64; one more is answered with 503. Trusted proxies have no such limit.",
        ),
    ] = CONNECTIONS_OF_ONE_MAX

    def address(self) -> Address:
        """Where to listen. Raises WrongUse when that cannot be an address."""
        host, _, port = self.listen.rpartition(":")
        if not port.isdigit():
            raise WrongUse(f"--listen {self.listen!r} is no address; write host:port, such as 127.0.0.1:8080")
        if (self.certificate is None) != (self.certificate_key is None):
            raise WrongUse("--certificate and --certificate-key belong together; give both, or neither")
        return Address(
            host=host.strip("[]") or "127.0.0.1",
            port=int(port),
            certificate=self.certificate,
            key=self.certificate_key,
            proxies=tuple(proxy.strip() for proxy in self.trusted_proxies.split(",") if proxy.strip()),
            head_s=self.request_s,
            of_one_max=self.connections_of_address,
        )
