"""Who is calling: the producer that a credential belongs to, by API key or by token. Nothing else of a request says who sent it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from ingest.http import api_keys
from ingest.http.producers import ApiKey, Producer, Producers
from ingest.http.tokens import BadToken, Fetch, Verifier


class Unauthenticated(Exception):
    """No credential, or none that holds. The message is for our log, not for the caller."""


class _ProducerIndex(NamedTuple):
    """What one producers file says, ready to be looked up."""

    producers: Producers
    keys: Mapping[str, tuple[Producer, ApiKey]]
    clients: Mapping[tuple[str, str], Producer]
    verifier: Verifier


class Authenticator:
    """All who may send, as the producers file says at the moment."""

    def __init__(self, producers: Producers, fetch: Fetch, clock: Callable[[], float]) -> None:
        """`fetch` and `clock` as in ingest.http.tokens."""
        self._fetch = fetch
        self._clock = clock
        self._index = self._indexed(producers, None)

    @property
    def producers(self) -> Producers:
        """All of them."""
        return self._index.producers

    def replace(self, producers: Producers) -> None:
        """From now on these: in one step, for whichever thread looks."""
        self._index = self._indexed(producers, self._index.verifier)

    async def producer(self, authorization: list[str], now: datetime) -> Producer:
        """Whose the values of header `Authorization` are. Raises Unauthenticated, KeysUnavailable."""
        index = self._index
        if len(authorization) != 1:
            raise Unauthenticated("no credential" if not authorization else "more than one credential")
        scheme, _, token = authorization[0].partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no bearer credential")
        if api_keys.is_key(token):
            owner = api_keys.owner(token, index.keys, now)
            if owner is None:
                raise Unauthenticated("no such key, or not at this time")
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
