"""`tollbook lake`: what it holds, upkeep, and the upgrade from an earlier format."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from aggregate import upkeep
from aggregate.upkeep import Tidied, UpkeepRules
from lake.lake import Lake
from lake.upkeep.compaction import Compacted
from tollbook.cli.errors import WrongUse
from tollbook.cli.lakes import screens
from tollbook.cli.options import JsonOption, LakeOption, NowOption, folder_path, the_clock, the_time
from tollbook.cli.terminal import show_json
from tollbook.local_run.active import alone

app = App(
    name="lake",
    help="Look after a lake: its size, its small files, its format.\n\nExample: tollbook lake stats --lake my-lake",
    help_epilogue="",
)


@app.command
def stats(*, lake: LakeOption, json: JsonOption = False, now: NowOption = None) -> int:
    """Show the files, bytes and commits of each table, and what waits: small files, replaced files, derived tables.

    It reads the logs of the tables, and no data.

    Example: tollbook lake stats --lake my-lake
    """
    opened = Lake(lake)
    opened.check()
    found = opened.stats(now=the_time(now))
    if json:
        show_json({"tables": [each.as_json() for each in found]})
    else:
        screens.stats(found)
    return 0


@app.command
def compact(
    *,
    lake: LakeOption,
    min_files: Annotated[
        int, Parameter("--min-files", validator=Number(gte=2), help="Leave days with fewer small files alone.")
    ] = upkeep.USUAL.min_files,
    grace_hours: Annotated[
        int,
        Parameter(
            "--grace-hours",
            validator=Number(gte=0),
            help="Keep replaced files for this many hours, for readers that are still at work. 0: none are at work.",
        ),
    ] = upkeep.USUAL.grace // timedelta(hours=1),
    keep_commits: Annotated[
        int,
        Parameter(
            "--keep-commits", validator=Number(gte=1), help="Keep this many commits of each log. Others are summed up."
        ),
    ] = upkeep.USUAL.kept_commits,
    seconds: Annotated[
        int | None,
        Parameter("--seconds", validator=Number(gte=1), help="Begin nothing new after this time. Default: no limit."),
    ] = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Rewrite small files as large ones, delete files that were replaced long ago, and cut the logs of commits.

    No row is lost or changed: the sums of the new file are compared with those of the old ones before it takes their
    place. Files that a close lists stay as they are, so issued invoices verify for as long as the lake exists. It is
    safe to kill and to repeat, also while workers, readers and closes are active. `tollbook land` does the same by
    itself, a little at a time.

    Example: tollbook lake compact --lake my-lake
    """
    opened = Lake(lake)
    opened.check()
    begun, clock = time.monotonic(), the_clock(now)
    rules = UpkeepRules(min_files, timedelta(hours=grace_hours), keep_commits)
    done: list[Compacted | Tidied] = []
    with alone(opened, upkeep.LOCK, "another compaction"):
        steps = upkeep.keep_up(
            opened, now=clock(), rules=rules, go_on=lambda: seconds is None or time.monotonic() < begun + seconds
        )
        for step in steps:
            done.append(step)
            if not json:
                screens.step(step)
    if json:
        show_json({"steps": [{"what": screens.kind(step), **step._asdict()} for step in done]})
    elif not done:
        screens.nothing_to_compact()
    return 0


@app.command
def upgrade(
    *,
    lake: LakeOption,
    backup: Annotated[
        Path | None,
        Parameter("--backup", converter=folder_path, help="Folder with a copy of the lake, which is compared first."),
    ] = None,
    without_backup: Annotated[
        bool, Parameter("--without-backup", negative="", show_default=False, help="Upgrade without a copy.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Upgrade a lake of an earlier format. Stop all workers and runs first, and copy the lake.

    It lists the files of every close with their hashes and writes the marker last. No data file is rewritten, and
    invoices issued before verify to the same bytes afterwards. It is safe to kill and to repeat. A lake of the newest
    format is left as it is.

    Example: tollbook lake upgrade --lake my-lake --backup my-copy
    """
    if (backup is None) != without_backup:
        raise WrongUse(
            "Name a copy of the lake with --backup COPY, or say --without-backup; a copy is the only way back"
        )
    opened = Lake(lake)
    with alone(opened, upkeep.LOCK, "another upgrade or a compaction"):
        done = opened.upgrade(copy=backup, progress=lambda _: None)
    if json:
        show_json(done._asdict())
    else:
        screens.upgraded(done)
    return 0
