"""The options of `tollbook serve`: its address, and the limits of a request.

One frozen record from flags and environment.
"""

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
    """The options of the HTTP server."""

    listen: Annotated[
        str,
        Parameter(
            "--listen",
            env_var="TOLLBOOK_LISTEN",
            help="Address to listen on, host:port. With port 0, a free port is chosen and logged.",
        ),
    ] = "127.0.0.1:8080"
    certificate: Annotated[
        Path | None,
        Parameter(
            "--certificate",
            env_var="TOLLBOOK_CERTIFICATE",
            help="Certificate chain in PEM; enables TLS. Without it, run the server behind a TLS proxy.",
        ),
    ] = None
    certificate_key: Annotated[
        Path | None,
        Parameter(
            "--certificate-key", env_var="TOLLBOOK_CERTIFICATE_KEY", help="Private key of the certificate, in PEM."
        ),
    ] = None
    trusted_proxies: Annotated[
        str,
        Parameter(
            "--trusted-proxies",
            env_var="TOLLBOOK_TRUSTED_PROXIES",
            show_default=False,
            help="Comma-separated addresses or networks of proxies whose X-Forwarded-For header is trusted.",
        ),
    ] = ""
    buffer_mib: Annotated[
        int,
        Parameter(
            "--buffer-mib",
            env_var="TOLLBOOK_BUFFER_MIB",
            validator=Number(gte=64),
            help="Memory for requests in progress. Beyond it, requests get a 503 response. One producer may use a quarter of it.",
        ),
    ] = 256
    request_s: Annotated[
        float,
        Parameter(
            "--request-s",
            env_var="TOLLBOOK_REQUEST_S",
            validator=Number(gt=0),
            help="Timeout in seconds to receive the head of a request, and again for its body.",
        ),
    ] = 30.0

    connections_of_address: Annotated[
        int,
        Parameter(
            "--connections-of-address",
            env_var="TOLLBOOK_CONNECTIONS_OF_ADDRESS",
            validator=Number(gte=1),
            help="Maximum number of concurrent connections of one address (IPv6: a /64). Others get a 503 response. Trusted proxies are exempt.",
        ),
    ] = CONNECTIONS_OF_ONE_MAX

    def address(self) -> Address:
        """The address to listen on. Raises WrongUse if it is invalid."""
        host, _, port = self.listen.rpartition(":")
        if not port.isdigit():
            raise WrongUse(f"--listen {self.listen!r} is not an address; write host:port, such as 127.0.0.1:8080")
        if (self.certificate is None) != (self.certificate_key is None):
            raise WrongUse("--certificate and --certificate-key belong together; give both or neither")
        return Address(
            host=host.strip("[]") or "127.0.0.1",
            port=int(port),
            certificate=self.certificate,
            key=self.certificate_key,
            proxies=tuple(proxy.strip() for proxy in self.trusted_proxies.split(",") if proxy.strip()),
            head_s=self.request_s,
            of_one_max=self.connections_of_address,
        )
