"""Follows the commits of a lake: adds the usage of each new one to the accounts, and reloads a catalog that changed.

It runs on its own thread. The accounts are in memory only, so a restart reads them from the lake again.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from aggregate.landing import derived_commits
from aggregate.quota import grants
from billing.catalog import loading as catalogs
from billing.catalog.loading import CatalogError
from billing.usage.warehouse import Meters
from lake import duck
from lake.derived_tables import taken_in
from lake.errors import LakeError
from lake.lake import Lake, Table
from schemas.tables import EVENTS, GRANTS, ROLLUPS
from tollbook.deciding import budgets
from tollbook.deciding.accounts import Accounts

POLL_S = 0.1
_CATALOG_POLLS = 10  # the files of the catalog are looked at once in this many polls
_LOG_POLLS = 600


class View(NamedTuple):
    """What answers are based on. It is replaced whole."""

    accounts: Accounts
    events_version: int
    as_of: datetime  # when it was last found to be the newest state of the lake


class Follower:
    """The newest view of a lake and a catalog. `problem` is why it is not renewed at the moment."""

    def __init__(self, lake: Lake, catalog: Path, *, clock: Callable[[], datetime], log: logging.Logger) -> None:
        """Read the catalog and the lake. Raises CatalogError, LakeError or OSError if that fails."""
        self._lake, self._folder, self._clock, self._log = lake, catalog, clock, log
        self._con = duck.connect()
        self._meters = Meters()
        self._stop = threading.Event()
        self._polls = 0
        self.problem: str | None = None
        self.catalog_problem: str | None = None
        self._marks = _marks(catalog)
        self._catalog = catalogs.load(catalog)
        self._events, self.view = self._read()
        self._newest = lake.commit_info(EVENTS, self._events.version)
        self._grants: Table | None = None
        self._rollups: Table | None = None
        self._day = 0
        self._beside: Accounts | None = None  # the accounts that have their grants and amounts
        self._look_beside()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Follow on a thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self, timeout_s: float) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(timeout_s)

    def step(self) -> None:
        """Look once. A lake that cannot be read is a problem until it can, and the view grows older meanwhile."""
        self._polls += 1
        asked = self._clock()  # before the lake is looked at: a later commit may be missed
        try:
            if self._polls % _CATALOG_POLLS == 0 and self._has_new_catalog():
                self._events, self.view = self._read()
            else:
                self._advance()
            self._look_beside()
        except (LakeError, OSError, duckdb.Error) as exc:
            self._complain(f"the lake cannot be read, and answers are based on an older state: {exc}")
            return
        if self.problem is not None:
            self._log.info("the lake can be read again")
            self.problem = None
        self.view = self.view._replace(as_of=asked)

    def _look_beside(self) -> None:
        """Read grants and the amounts of budgets if their tables have changed, or the accounts are new."""
        lake, accounts = self._lake, self.view.accounts
        is_new = accounts is not self._beside
        if not lake.lacks(GRANTS) and (is_new or self._grants is None or not lake.is_newest(self._grants)):
            self._grants = lake.open(GRANTS)
            accounts.grant(grants.read(lake))
        day = self._clock().day
        if is_new or day != self._day or self._rollups is None or not lake.is_newest(self._rollups):
            self._rollups, self._day = lake.open(ROLLUPS), day
            accounts.owe(budgets.amounts(lake, self._catalog, self._clock()))
        self._beside = accounts

    def _advance(self) -> None:
        """Add the commits that came since. If the newest known commit is another one now, everything is read again."""
        lake, at = self._lake, self._events.version
        lake.check()
        if lake.is_cut(EVENTS, at) or lake.commit_info(EVENTS, at) != self._newest:
            self._events, self.view = self._read()
        elif not lake.is_newest(self._events):
            newest = lake.open(EVENTS)
            if lake.gained(EVENTS, at, newest.version) is None:  # it is far behind
                self._events, self.view = self._read()
            else:
                self._add(at, newest.version)
                self._events = newest
        else:
            return
        self._newest = lake.commit_info(EVENTS, self._events.version)

    def _add(self, after: int, until: int) -> None:
        folds = [derived_commits.folded(self._lake, self._con, version) for version in range(after + 1, until + 1)]
        if folds:
            self._meters.con.register("rollups", pa.concat_tables(folds))
            self.view.accounts.add(self._meters)
        self.view = self.view._replace(events_version=until)

    def _read(self) -> tuple[Table, View]:
        """The whole state: the rollups, and the commits that they have not taken in yet."""
        asked = self._clock()
        lake = self._lake
        lake.check()
        newest = lake.open(EVENTS)
        accounts = Accounts(self._catalog, now=asked)
        rollups = lake.open(ROLLUPS)
        meters = Meters()
        duck.scan(meters.con, ROLLUPS.name, rollups.files(), ROLLUPS, mixed=rollups.is_mixed)
        accounts.add(meters)
        until = max(newest.version, taken_in(rollups))
        folds = [derived_commits.folded(lake, self._con, v) for v in range(taken_in(rollups) + 1, until + 1)]
        if folds:
            meters.con.register("rollups", pa.concat_tables(folds))
            accounts.add(meters)
        newest = newest if newest.version == until else lake.open(EVENTS, until)
        return newest, View(accounts, until, asked)

    def _has_new_catalog(self) -> bool:
        """Load the catalog if its files changed. An invalid one changes nothing, and is a problem until it is fixed."""
        marks = _marks(self._folder)
        if marks == self._marks:
            return False
        self._marks = marks
        try:
            self._catalog = catalogs.load(self._folder)
        except CatalogError as exc:
            self.catalog_problem = (
                f"the catalog cannot be used; its previous content stays in effect: {exc.problems[0]}"
            )
            self._log.error(self.catalog_problem, extra={"fields": {"reason": "CATALOG"}})
            return False
        self.catalog_problem = None
        self._log.info("catalog reloaded", extra={"fields": {"partners": len(self._catalog.partners)}})
        return True

    def _complain(self, problem: str) -> None:
        if self.problem is None or self._polls % _LOG_POLLS == 0:
            self._log.error(problem, extra={"fields": {"reason": "LAKE"}})
        self.problem = problem

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            self.step()


def _marks(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What tells whether the files of a catalog have changed."""
    found = {}
    for file in catalogs.files_of(folder):
        status = file.stat()
        found[file] = status.st_mtime_ns, status.st_size, status.st_ino
    return found
