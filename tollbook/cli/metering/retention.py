"""`tollbook retention`: the text of dead letters is erased when it is old."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from aggregate.retention import Erased, Rule, erase
from lake.lake import Lake
from tollbook.cli import progress
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import sentence, show_json
from tollbook.local_run import run

_DAYS_MAX = 36_500


def retention(
    *,
    lake: LakeOption,
    days: Annotated[
        int,
        Parameter(
            validator=Number(gte=0, lte=_DAYS_MAX),
            help="Keep texts for so many days from the request; from when it was landed if that is earlier, or the only time known.",
        ),
    ],
    dry_run: Annotated[
        bool, Parameter("--dry-run", negative="", show_default=False, help="Show what would be erased; write nothing.")
    ] = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Erase what was copied from refused and conflicting lines (text, detail, id) when it is older than a limit, for good.

    Gone from every version and every file of the lake. Counts, reasons, places and hashes stay: the books balance, issued invoices
    are the same, and `tollbook dead redrive` takes an erased line from its log. Safe to kill and to repeat, and beside a run, land
    workers and a redrive. Backups and logs are not reached: docs/operations.md.

    Example: tollbook retention --lake demo/lake --days 90 --dry-run
    """
    opened = Lake(lake)
    opened.check()
    rule = Rule(days, the_time(now))
    with (
        run.alone(opened, ".retention.lock", "another erasure"),
        progress.bar("retention", quiet=json) as move,
    ):
        done = erase(opened, rule, dry_run=dry_run, progress=lambda at: move(run.Progress(*at)))
    if json:
        show_json({"dry_run": dry_run, "days": days, "before": rule.before, **done._asdict()})
    else:
        erased(rule, done, dry_run=dry_run)
    return 0


def erased(rule: Rule, done: Erased, *, dry_run: bool) -> None:
    """What was erased of the text of dead letters."""
    if not (done.texts or done.files):
        sentence(f"Nothing to erase: no text is from before {rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
        return
    said = " to erase, from before " if dry_run else " erased, from before "
    sentence((f"{done.texts:,}", "bold"), f" texts{said}{rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
    sentence(f"{done.files:,} files {'to delete' if dry_run else 'deleted'}.", style="dim")
    if dry_run:
        sentence("Nothing was written.", style="dim")
