"""`tollbook decide`: answers gateways whether to allow a request. It needs the extra `http`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from aggregate.decisions.rule import DecisionPolicy
from lake.lake import Lake
from tollbook.cli.errors import WrongUse
from tollbook.cli.kafka.pipeline import MetricsOption, WatchdogOption
from tollbook.cli.options import CatalogOption, LakeOption, the_clock
from tollbook.deciding import server
from tollbook.deciding.api import DENY_STATUSES
from tollbook.workers import logs, loop
from tollbook.workers.http_server import CONNECTIONS_MAX, Address


def decide(
    *,
    lake: LakeOption,
    catalog: CatalogOption,
    listen: Annotated[
        str,
        Parameter(
            "--listen",
            env_var="TOLLBOOK_LISTEN",
            help="Address to listen on, host:port. With port 0, a free port is chosen and logged.",
        ),
    ] = "127.0.0.1:8091",
    deny_status: Annotated[
        int,
        Parameter(
            "--deny-status",
            env_var="TOLLBOOK_DENY_STATUS",
            help="Status of a denial: 401, 403 or 429 (for a limit; else 403).",
        ),
    ] = 403,
    unknown: Annotated[
        Literal["allow", "deny"],
        Parameter("--unknown", env_var="TOLLBOOK_UNKNOWN", help="What to answer for credentials not in the catalog."),
    ] = "allow",
    suspended: Annotated[
        Literal["allow", "deny"],
        Parameter("--suspended", env_var="TOLLBOOK_SUSPENDED", help="What to answer for suspended partners."),
    ] = "deny",
    metrics_address: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Answer gateways whether to allow a request (GET /v1/decision?credential=api_key:ID). Runs until SIGTERM.

    It follows the lake and needs no Kafka. The catalog is reloaded when it changes. 200 allows a request.

    Example: tollbook decide --lake my-lake --catalog examples/catalog
    """
    if deny_status not in DENY_STATUSES:
        raise WrongUse(f"--deny-status {deny_status} is not one of {', '.join(map(str, DENY_STATUSES))}")
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise WrongUse(f"--listen {listen!r} is not an address; write host:port, such as 127.0.0.1:8091")
    settings = server.DecideSettings(
        Lake(lake),
        catalog,
        # A gateway is one address with many connections.
        Address(host.strip("[]") or "127.0.0.1", int(port), of_one_max=CONNECTIONS_MAX),
        deny_status,
        DecisionPolicy(deny_unknown=unknown == "deny", deny_suspended=suspended == "deny"),
    )
    options = loop.WorkerOptions(metrics=metrics_address, watchdog_s=watchdog_s)
    server.run(settings, logs.logger("decide"), options, clock=the_clock(None))
