"""E-mail by SMTP, with TLS. A repeat has the same Message-ID."""

import asyncio
import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime

from aggregate.sinks.http import TIMEOUT_S, Forbidden, is_this_machine, resolved
from aggregate.sinks.notices import Notice
from aggregate.sinks.sink import Answer, BadSink, Outcome, SinkRoute, TellsPeople

TLS_PORT = 465  # TLS from the first byte; on all other ports by STARTTLS


@dataclass(frozen=True, kw_only=True)
class MailSink(TellsPeople):
    """One or more addresses, and the server that takes their mail. Only this machine may be spoken to without TLS."""

    name: str
    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private: bool = False
    plain: bool = False
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    route: SinkRoute = field(default_factory=SinkRoute)

    def __post_init__(self) -> None:
        if self.plain and not (self.private and is_this_machine(self.host)):
            raise BadSink(f"{self.name}: only a server on this machine, with private, may be used without TLS")
        if (self.user is None) != (self.password is None):
            raise BadSink(f"{self.name}: give both a user and a secret, or neither")
        for address in (self.sender, *self.to):
            if "@" not in address or any(c.isspace() or c in ",;<>" for c in address):
                raise BadSink(f"{self.name}: {address!r} is not an e-mail address")

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Hand one message to the server."""
        try:
            self._hand_over(message(notice, now, self.sender, self.to))
        except Forbidden as exc:
            return Outcome(Answer.AGAIN, f"Forbidden: {exc}")
        except smtplib.SMTPResponseException as exc:  # its text may repeat what was sent
            return Outcome(Answer.AGAIN, f"{type(exc).__name__} {exc.smtp_code}")
        except (smtplib.SMTPException, OSError, MessageError) as exc:
            return Outcome(Answer.AGAIN, type(exc).__name__)
        return Outcome(Answer.DELIVERED)

    def _hand_over(self, mail: EmailMessage) -> None:
        address = asyncio.run(asyncio.wait_for(resolved(self.host, self.port, private=self.private), TIMEOUT_S))
        tls = self.tls or ssl.create_default_context()
        if self.port == TLS_PORT and not self.plain:
            client: smtplib.SMTP = _TlsTo(address, self.host, self.port, tls)
        else:
            client = _To(address, self.host, self.port)
        with client:
            if self.port != TLS_PORT and not self.plain:
                client.starttls(context=tls)
            if self.user is not None and self.password is not None:
                client.login(self.user, self.password)
            client.send_message(mail, self.sender, self.to)


class _To(smtplib.SMTP):
    """Connects to the address that was checked, and verifies the name."""

    def __init__(self, address: str, host: str, port: int) -> None:
        self._address = address
        super().__init__(host, port, timeout=TIMEOUT_S)

    def _get_socket(self, _: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)


class _TlsTo(_To):
    def __init__(self, address: str, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(address, host, port)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._tls.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def message(notice: Notice, now: datetime, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The e-mail: a text for people, and the CloudEvent as an attachment."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(f"[{notice.severity.name.lower()}] {notice.title}".split())
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{notice.statement_id}@tollbook>"
    if notice.statement_id != notice.alert_id:
        mail["References"] = f"<{notice.alert_id}@tollbook>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join([notice.title, "", *(f"{name}: {value}" for name, value in notice.facts), ""]))
    mail.add_attachment(
        notice.body, maintype="application", subtype="cloudevents+json", filename=f"{notice.statement_id}.json"
    )
    return mail
