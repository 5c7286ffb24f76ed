"""Authentication: the producer that an API key or token belongs to. Nothing else in a request identifies the sender."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from ingest.http import api_keys
from ingest.http.producers import ApiKey, Producer, Producers
from ingest.http.tokens import BadToken, Fetch, Verifier


class Unauthenticated(Exception):
    """There is no valid credential. The message is for the log, not for the client."""


class _ProducerIndex(NamedTuple):
    """The producers file, indexed by credential."""

    producers: Producers
    keys: Mapping[str, tuple[Producer, ApiKey]]
    clients: Mapping[tuple[str, str], Producer]
    verifier: Verifier


class Authenticator:
    """All producers of the current producers file."""

    def __init__(self, producers: Producers, fetch: Fetch, clock: Callable[[], float]) -> None:
        """`fetch` and `clock` as in ingest.http.tokens."""
        self._fetch = fetch
        self._clock = clock
        self._index = self._indexed(producers, None)

    @property
    def producers(self) -> Producers:
        """The current producers."""
        return self._index.producers

    def replace(self, producers: Producers) -> None:
        """Switch to a new producers file, atomically for all threads."""
        self._index = self._indexed(producers, self._index.verifier)

    async def producer(self, authorization: list[str], now: datetime) -> Producer:
        """The producer of the values of header `Authorization`. Raises Unauthenticated, KeysUnavailable."""
        index = self._index
        if len(authorization) != 1:
            raise Unauthenticated("no credential" if not authorization else "more than one credential")
        scheme, _, token = authorization[0].partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no bearer credential")
        if api_keys.is_key(token):
            owner = api_keys.owner(token, index.keys, now)
            if owner is None:
                raise Unauthenticated("unknown key, or not valid now")
            return owner
        try:
            client = await index.verifier.client(token, now)
        except BadToken as exc:
            raise Unauthenticated(f"token: {exc}") from exc
        if client not in index.clients:
            raise Unauthenticated("token: unknown client")
        return index.clients[client]

    def _indexed(self, producers: Producers, before: Verifier | None) -> _ProducerIndex:
        verifier = Verifier(producers.issuers, self._fetch, self._clock, before)
        return _ProducerIndex(producers, producers.by_prefix(), producers.by_client(), verifier)
