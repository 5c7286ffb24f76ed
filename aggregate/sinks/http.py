"""One POST to a receiver: to an address that was checked, with TLS that verifies the name, and no redirects."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from ssl import SSLContext
from urllib.parse import SplitResult, urlsplit

import httpx

from aggregate.sinks.sink import Answer, BadSink, Outcome

TIMEOUT_S = 15  # from name resolution to the status of the response
PORTS = (443, 8443)
_OK, _REDIRECT, _GONE = 200, 300, 410
_NAT64 = ip_network("64:ff9b::/96")


class Forbidden(Exception):
    """The name resolves to an address that sinks may not reach."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to post. `private` allows this machine and private networks, and on this machine also plain HTTP.

    `plain` allows plain HTTP in private networks as well. The URL is in no repr and no message: it may hold a token.
    """

    name: str  # of the sink, for messages
    url: str = field(repr=False)
    private: bool = False
    plain: bool = False
    tls: SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        url = split_url(self.name, self.url)
        may_be_plain = self.private and (self.plain or is_this_machine(url.hostname or ""))
        if url.scheme != "https" and not (url.scheme == "http" and may_be_plain):
            raise BadSink(f"{self.name}: the URL must begin with https://")
        if url.username is not None or url.password is not None:
            raise BadSink(f"{self.name}: the URL must not contain a user or password")
        if not self.private and (url.port or PORTS[0]) not in PORTS:
            raise BadSink(f"{self.name}: port {url.port} is not among {PORTS}")

    @property
    def is_plain(self) -> bool:
        """Whether it is called without TLS."""
        return self.url.startswith("http:")


def outcome(target: Target, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """Post once. Every answer but 2xx and 410 is one to try again after."""
    try:
        status = asyncio.run(post(target, body, headers))
    except Forbidden as exc:
        return Outcome(Answer.AGAIN, f"Forbidden: {exc}")
    except (httpx.HTTPError, OSError) as exc:  # a timeout is an OSError
        return Outcome(Answer.AGAIN, type(exc).__name__)
    if status == _GONE:
        return Outcome(Answer.DISABLED, f"status {status}")
    return Outcome(Answer.DELIVERED if _OK <= status < _REDIRECT else Answer.AGAIN, f"status {status}")


async def post(target: Target, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the response to one attempt. Nothing else of it is read, and redirects are not followed.

    The name is resolved once. The connection goes to the checked address, and TLS verifies the name.
    """
    url = httpx.URL(target.url)
    async with asyncio.timeout(TIMEOUT_S):
        default = 80 if target.is_plain else PORTS[0]
        address = await resolved(url.host, url.port or default, private=target.private, inside=target.is_plain)
        async with (
            httpx.AsyncClient(
                verify=target.tls or _tls(), trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={"host": url.netloc.decode(), "user-agent": "tollbook", **headers},
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return response.status_code


async def resolved(host: str, port: int, *, private: bool, inside: bool = False) -> str:
    """An address of `host`. Raises Forbidden if one is not on the public internet, unless `private`.

    inside: raise it also if one is on the public internet, where plain HTTP must not go.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(sockaddr[0]) for *_, sockaddr in found]
    within = [a for a in addresses if not is_public(a)]
    if within and not private:
        raise Forbidden(f"{host} resolves to {within[0]}, which is not on the public internet")
    if inside and len(within) < len(addresses):
        raise Forbidden(f"{host} resolves to an address on the public internet, where only https:// may go")
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is on the public internet, also after unwrapping mapped, translated and tunneled addresses."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def split_url(name: str, url: str) -> SplitResult:
    """The parts of a URL. Raises BadSink."""
    try:
        split = urlsplit(url)
        if split.hostname and split.port != 0:
            return split
    except ValueError:
        pass
    raise BadSink(f"{name}: the URL is none")


def is_this_machine(host: str) -> bool:
    """Whether a name or address is the loopback."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def _tls() -> SSLContext:
    return httpx.create_ssl_context()
