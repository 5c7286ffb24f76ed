"""Progress bars with the remaining time, shown only on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from tollbook.cli.terminal import err, shown
from tollbook.local_run.progress import Progress


@contextmanager
def bar(what: str, *, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A function that updates the bar. The bar disappears when the work ends."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err, transient=True, speed_estimate_period=60) as bars:
        task = bars.add_task(shown(what), total=None, rate="", visible=False)

        def move(now: Progress) -> None:
            elapsed = Decimal(str(bars.tasks[0].elapsed or 0))
            rate = f"{int(now.entries / elapsed):,} entries/s" if elapsed else ""
            bars.update(task, completed=now.bytes_done, total=now.bytes_total, rate=rate, visible=True)

        yield move


@contextmanager
def counter(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A function that updates the bar with (done, total). The bar disappears when the work ends."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err, transient=True, speed_estimate_period=60) as bars:
        task = bars.add_task(shown(what), total=None)
        yield lambda done, of: bars.update(task, completed=done, total=of)
