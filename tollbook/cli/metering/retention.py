"""`tollbook retention`: erases old dead-letter payloads."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from aggregate.retention import Erased, RetentionRule, erase
from lake.lake import Lake
from tollbook.cli import progress
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import sentence, show_json
from tollbook.local_run.active import alone
from tollbook.local_run.progress import Progress

_DAYS_MAX = 36_500


def retention(
    *,
    lake: LakeOption,
    days: Annotated[
        int,
        Parameter(
            validator=Number(gte=0, lte=_DAYS_MAX),
            help="Keep payloads for this many days after the request, or after landing if that is earlier or the time of the request is unknown.",
        ),
    ],
    dry_run: Annotated[
        bool, Parameter("--dry-run", negative="", show_default=False, help="Show what would be erased; write nothing.")
    ] = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Permanently erase old payloads of dead letters: what was copied from their lines (text, detail, id).

    They are removed from all versions and files of the lake. Counts, reasons, places and hashes stay, so the books
    balance, issued invoices do not change, and `tollbook dead redrive` reads an erased line from its log. It is safe to
    kill and to repeat, also during a run, a redrive, or while land workers run. It does not erase backups and logs: see
    docs/operations.md.

    Example: tollbook retention --lake demo/lake --days 90 --dry-run
    """
    opened = Lake(lake)
    opened.check()
    rule = RetentionRule(days, the_time(now))
    with (
        alone(opened, ".retention.lock", "another erasure"),
        progress.bar("retention", quiet=json) as move,
    ):
        done = erase(opened, rule, dry_run=dry_run, progress=lambda at: move(Progress(*at)))
    if json:
        show_json({"dry_run": dry_run, "days": days, "before": rule.before, **done._asdict()})
    else:
        erased(rule, done, dry_run=dry_run)
    return 0


def erased(rule: RetentionRule, done: Erased, *, dry_run: bool) -> None:
    """The screen of an erasure."""
    if not (done.texts or done.files):
        sentence(f"Nothing to erase: no payload is from before {rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
        return
    action = " to erase, from before " if dry_run else " erased, from before "
    sentence((f"{done.texts:,}", "bold"), f" payloads{action}{rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
    sentence(f"{done.files:,} files {'to delete' if dry_run else 'deleted'}.", style="dim")
    if dry_run:
        sentence("Nothing was written.", style="dim")
