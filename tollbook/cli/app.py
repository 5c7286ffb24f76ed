"""The application: all commands, and how one is run."""

import gc
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from lake import duck
from tollbook.cli import extras, grants
from tollbook.cli.alerts import commands as alert_commands
from tollbook.cli.alerts import metrics as alert_metrics
from tollbook.cli.alerts import neighbours
from tollbook.cli.catalog import commands as catalog_commands
from tollbook.cli.enforcing import state
from tollbook.cli.errors import EXIT_CODES, USAGE, guarded
from tollbook.cli.invoices import (
    accruals,
    approving,
    checking,
    commands,
    comparing,
    corrections,
    listing,
    payments,
    prepaid,
    receivables,
)
from tollbook.cli.lakes import commands as lake_commands
from tollbook.cli.metering import dead, formats, retention, settle
from tollbook.cli.metering import run as run_commands
from tollbook.cli.terminal import complain
from tollbook.demo.run import demo

app = App(
    name="tollbook",
    help="From gateway access log to an invoice a partner cannot dispute.\n\nExample: tollbook demo",
    help_epilogue="Exit codes:\n" + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items()),
    help_format="plaintext",
    version=version("tollbook"),
)
_SERVE = """Accept events over HTTP (POST /api/v1/events) and write them to gateway.access. Runs until SIGTERM.

A 2xx response means that Kafka has confirmed the events. The producers file is reloaded when it changes, or on SIGHUP.

Example: tollbook serve --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --producers examples/producers.yaml
"""
_DECIDE = """Answer gateways whether to allow a request (GET /v1/decision?credential=api_key:ID). Runs until SIGTERM.

It follows the lake and needs no Kafka. The catalog is reloaded when it changes. 200 allows a request.

Example: tollbook decide --lake my-lake --catalog examples/catalog
"""

_AWS = """Decisions for AWS API Gateway.

Example: tollbook aws enforce --lake my-lake --catalog examples/catalog --region eu-central-1
"""
_AWS_ENFORCE = """Disable the API keys that are denied, enable them when they are allowed again, and set what is left of quotas.

It lists the calls, and makes them with --apply. Repeat it every minute: with the same decisions there are no calls.
Only keys that the catalog has are touched, and only those that Tollbook disabled are enabled. Credentials are those
that boto3 finds, and none is shown.

Example: tollbook aws enforce --lake my-lake --catalog examples/catalog --region eu-central-1
"""


def _without(extra: str, *names: str, first: int) -> None:
    """Register commands of a missing extra, so that each tells how to install it, whatever its arguments are."""
    for place, name in enumerate(names, first):
        text = f"Needs the extra `{extra}`, which is not installed: pip install 'tollbook[{extra}]'"
        app.command(_refusal(extra, name), name=name, sort_key=place, help=text, help_epilogue="")


def _refusal(extra: str, name: str) -> Callable[..., None]:
    def refuse(*_: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
        extras.require(extra, f"`tollbook {name}`")

    return refuse


for money_check in (checking.verify, checking.unbilled, comparing.reprice, comparing.preview, accruals.accruals):
    commands.app.command(money_check)
commands.app.command(listing.list_, name="list")
commands.app.command(receivables.send)
commands.app.command(receivables.open_, name="open")
for signing in (approving.propose, approving.approve):
    commands.app.command(signing)
for correcting in (corrections.credit, corrections.void, corrections.rebill, corrections.adjust):
    commands.app.command(correcting)
# In the order of use, not alphabetically.
_first: tuple[Callable[..., int], ...] = (
    demo,
    run_commands.run,
    run_commands.usage,
    run_commands.outside,
    run_commands.verify,
    settle.settle,
)
for place, command in enumerate(_first, 1):
    app.command(command, sort_key=place, help_epilogue="")
for place, group in enumerate((dead.app, commands.app, catalog_commands.app), 7):
    group.sort_key = place
    app.command(group)
for money in (prepaid.app, payments.app):
    money.sort_key = 9
    app.command(money)
lake_commands.app.sort_key = 10
app.command(lake_commands.app)
app.command(retention.retention, sort_key=10, help_epilogue="")
formats.app.sort_key = 11
app.command(formats.app)
alert_commands.app.sort_key = 19
app.command(alert_commands.app)
app.command(neighbours.neighbours, sort_key=20, help_epilogue="")
app.command(alert_metrics.metrics, sort_key=20, help_epilogue="")
if extras.is_installed("kafka"):
    from tollbook.cli.kafka import pipeline, quota, topics

    topics.app.sort_key = 12
    app.command(topics.app)
    _stages: tuple[Callable[..., int], ...] = (pipeline.load, pipeline.ingest, pipeline.land)
    for place, command in enumerate(_stages, 13):
        app.command(command, sort_key=place, help_epilogue="")
    grants.app.default(quota.quota)
else:
    _without("kafka", "topics", "load", "ingest", "land", first=12)
    grants.app.default(_refusal("kafka", "quota"))
grants.app.command(state.state, name="state", help_epilogue="")
grants.app.sort_key = 16
app.command(grants.app)
if extras.is_installed("http"):
    from tollbook.cli.kafka import producers

    app.command("tollbook.cli.kafka.serve:serve", name="serve", sort_key=17, help=_SERVE, help_epilogue="")
    producers.app.sort_key = 18
    app.command(producers.app)
    app.command("tollbook.cli.enforcing.decide:decide", name="decide", sort_key=19, help=_DECIDE, help_epilogue="")
else:
    _without("http", "serve", "producers", "decide", first=17)
if extras.is_installed("aws"):
    # By name, not imported: boto3 adds to the time to load everything else.
    aws = App(name="aws", help=_AWS, help_epilogue="", sort_key=21)
    aws.command("tollbook.cli.enforcing.aws:enforce", name="enforce", help=_AWS_ENFORCE, help_epilogue="")
    app.command(aws)
else:
    _without("aws", "aws", first=21)
app.register_install_completion_command(help="Install shell completion for bash, zsh or fish.", help_epilogue="")


def run(tokens: list[str]) -> int:
    """Run a command, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # characters outside the terminal's encoding must not fail
    return guarded(lambda: _run(tokens))


def close() -> None:
    """Close all databases before the process exits without teardown, which deletes their temporary files."""
    duck.close()
    gc.collect()  # a reference cycle may still hold a connection


def _run(tokens: list[str]) -> int | None:
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as exc:
        place = " ".join(("tollbook", *(exc.command_chain or ())))
        message = str(exc)
        complain(f"{message}{'' if message[-1:] in {'.', '?', '!'} else '.'} See `{place} --help`.")
        return USAGE
    code: int | None = command(*bound.args, **bound.kwargs)
    return code
