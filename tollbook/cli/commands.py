"""The table of all commands: the words of each, the function behind them, and its place in the help.

A command's module is imported when the command is chosen, so that no command waits for what others need.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """A command or a group of commands of `tollbook`.

    `target` is `module:function`, or `module:app` for a group. `place` orders the help, and equal places are ordered
    by name. The `extra` has to be installed. A command without `help` is described by its docstring; those whose
    modules take long to import have it, so that the help of all commands does not wait for them.
    """

    place: int
    name: str
    target: str
    extra: str | None = None
    help: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether it is a group, which names its commands itself."""
        return self.target.endswith(":app")


_SERVE = """Accept events over HTTP (POST /api/v1/events) and write them to gateway.access. Runs until SIGTERM.

A 2xx response means that Kafka has confirmed the events. The producers file is reloaded when it changes, or on SIGHUP.

Example: tollbook serve --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --producers examples/producers.yaml
"""
_DECIDE = """Answer gateways whether to allow a request (GET /v1/decision?credential=api_key:ID). Runs until SIGTERM.

It follows the lake and needs no Kafka. The catalog is reloaded when it changes. 200 allows a request.

Example: tollbook decide --lake my-lake --catalog examples/catalog
"""

# In the order of use, not alphabetically.
COMMANDS = (
    Command(1, "demo", "tollbook.demo.run:demo"),
    Command(2, "run", "tollbook.cli.metering.run:run"),
    Command(3, "usage", "tollbook.cli.metering.usage:usage"),
    Command(4, "outside", "tollbook.cli.metering.usage:outside"),
    Command(5, "verify", "tollbook.cli.metering.usage:verify"),
    Command(6, "settle", "tollbook.cli.metering.settle:settle"),
    Command(7, "dead", "tollbook.cli.metering.dead:app"),
    Command(8, "invoice", "tollbook.cli.invoice:app"),
    Command(9, "catalog", "tollbook.cli.catalog.commands:app"),
    Command(9, "credits", "tollbook.cli.invoices.prepaid:app"),
    Command(9, "payments", "tollbook.cli.invoices.payments:app"),
    Command(10, "lake", "tollbook.cli.lakes.commands:app"),
    Command(10, "retention", "tollbook.cli.metering.retention:retention"),
    Command(11, "formats", "tollbook.cli.metering.formats:app"),
    Command(12, "topics", "tollbook.cli.kafka.topics:app", extra="kafka"),
    Command(13, "load", "tollbook.cli.kafka.pipeline:load", extra="kafka"),
    Command(14, "ingest", "tollbook.cli.kafka.pipeline:ingest", extra="kafka"),
    Command(15, "land", "tollbook.cli.kafka.pipeline:land", extra="kafka"),
    Command(16, "quota", "tollbook.cli.quota:app"),
    Command(17, "serve", "tollbook.cli.kafka.serve:serve", extra="http", help=_SERVE),
    Command(18, "producers", "tollbook.cli.kafka.producers:app", extra="http"),
    Command(19, "decide", "tollbook.cli.enforcing.decide:decide", extra="http", help=_DECIDE),
    Command(19, "alerts", "tollbook.cli.alerts.commands:app"),
    Command(20, "neighbours", "tollbook.cli.alerts.neighbours:neighbours"),
    Command(20, "metrics", "tollbook.cli.alerts.metrics:metrics"),
    Command(21, "aws", "tollbook.cli.enforcing.aws:app", extra="aws"),
)
