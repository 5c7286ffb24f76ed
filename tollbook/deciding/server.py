"""The process of `tollbook decide`: the follower and the HTTP server on threads of their own, watched like a worker."""

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

from aggregate.decisions.messages import word
from aggregate.decisions.rule import Decision, DecisionPolicy
from lake.lake import Lake
from tollbook.deciding.accounts import Accounts
from tollbook.deciding.api import Answering, Api
from tollbook.deciding.follower import Follower
from tollbook.workers import http_server, loop, metrics
from tollbook.workers.http_server import Address, HttpServer

_NONE = "NONE"  # the label of an answer without a reason
# How long a thread may compute before another one gets its turn. An answer asks for a turn about five times, so with
# Python's 5 ms it would wait for tens of milliseconds while the follower adds up usage.
_SWITCH_S = 0.0001


class DecideSettings(NamedTuple):
    """What the command was told."""

    lake: Lake
    catalog: Path
    address: Address
    deny_status: int
    policy: DecisionPolicy


def run(
    settings: DecideSettings, log: logging.Logger, options: loop.WorkerOptions, *, clock: Callable[[], datetime]
) -> NoReturn:
    """Serve until SIGTERM, then end the process with the exit code. Raises LakeError, CatalogError or OSError."""
    threading.excepthook = lambda args: log.error(
        "a thread has ended", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )
    sys.setswitchinterval(_SWITCH_S)
    http_server.make_room_for_connections()
    follower = Follower(settings.lake, settings.catalog, clock=clock, log=log)

    def wrong() -> list[str]:
        return [problem for problem in (follower.problem, follower.catalog_problem) if problem]

    api = Api(Answering(lambda: follower.view, clock, settings.policy, settings.deny_status, _count, wrong))
    server = HttpServer(api, settings.address, log)
    kept = _kept(follower.view.accounts)
    follower.start()
    address = {"host": settings.address.host, "port": server.port, "events_version": follower.view.events_version}
    log.info("listening", extra={"fields": address})

    def step() -> None:
        nonlocal kept
        server.await_beat()
        if follower.view.accounts is not kept:
            kept = _kept(follower.view.accounts)
        if not follower.is_alive:
            raise RuntimeError("the thread that follows the lake has ended")
        metrics.DECIDE_AGE.set((clock() - follower.view.as_of).total_seconds())

    def end() -> None:
        server.close(options.drain_s)
        follower.close(1.0)

    code = loop.run(log, options, step, end=end, wrong=wrong)
    # Everything is closed. A teardown of the interpreter would print warnings about leaked DuckDB types.
    logging.shutdown()
    os._exit(code)


def _kept(accounts: Accounts) -> Accounts:
    """The accounts, which the garbage collector no longer scans: a scan of 1,000 partners holds up answers by 25 ms.

    They are in no reference cycle, so they are freed when other accounts take their place.
    """
    gc.collect(1)  # young garbage, which would be kept with them
    gc.freeze()
    return accounts


def _count(decided: Decision) -> None:
    metrics.DECISIONS.labels(word(decided), decided.reason or _NONE).inc()
