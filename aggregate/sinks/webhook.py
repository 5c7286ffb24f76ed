"""Standard Webhooks: the CloudEvent, signed. During a key rotation there are two keys, and each signs."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks import Webhook

from aggregate.alerts.messages import CONTENT_TYPE
from aggregate.sinks import http
from aggregate.sinks.http import Target
from aggregate.sinks.notices import Notice
from aggregate.sinks.sink import BadSink, Outcome, Remembers, SinkRoute

KEY_BYTES_MIN = 24  # Standard Webhooks: 24 to 64


@dataclass(frozen=True, kw_only=True)
class WebhookSink(Remembers):
    """One endpoint and its signing keys, which appear in no repr and no message."""

    target: Target
    keys: tuple[Webhook, ...] = field(repr=False)
    route: SinkRoute = field(default_factory=SinkRoute)

    def __post_init__(self) -> None:
        if not self.keys:
            raise BadSink(f"{self.name}: there is no key to sign with")

    @property
    def name(self) -> str:
        """The name of its consumer group; a new name receives all alerts again."""
        return self.target.name

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Post the CloudEvent."""
        return http.outcome(self.target, notice.body, self.headers(notice, now))

    def headers(self, notice: Notice, now: datetime) -> Mapping[str, str]:
        """The headers that identify and sign a notice."""
        text = notice.body.decode()
        return {
            "content-type": CONTENT_TYPE,
            "webhook-id": notice.statement_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(key.sign(notice.statement_id, now, text) for key in self.keys),
        }


def keys(lines: Sequence[str], where: str) -> tuple[Webhook, ...]:
    """The signing keys: `whsec_…`, or base64. `where` names their place. Raises BadSink."""
    return tuple(_key(line, where) for line in lines)


def _key(text: str, where: str) -> Webhook:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise BadSink(f"{where} holds no key: whsec_ and base64") from None  # the cause would show the key
    if len(key) < KEY_BYTES_MIN:
        raise BadSink(f"{where} holds a key of {len(key)} bytes; {KEY_BYTES_MIN} is the least")
    return Webhook(key)
