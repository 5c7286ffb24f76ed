"""`tollbook settle`: an identity that was counted twice, days apart, counts once."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from aggregate.landing import settlement
from aggregate.landing.settlement import Settled
from lake.lake import Lake
from tollbook.cli.options import JsonOption, LakeOption, NowOption, folder_path, the_clock
from tollbook.cli.terminal import sentence, show_json


def settle(
    *,
    lake: LakeOption,
    bucket_rows: Annotated[
        int,
        Parameter(
            "--bucket-rows",
            env_var="TOLLBOOK_BUCKET_ROWS",
            validator=validators.Number(gte=1),
            help="Hold so many identities in memory at a time, 200 bytes each or so; bounds memory.",
        ),
    ] = settlement.BUCKET_ROWS,
    folder: Annotated[
        Path | None,
        Parameter(
            "--folder",
            converter=folder_path,
            help="Keep identities here while they are compared, 100 bytes each or so; without it in the lake's folder.",
        ),
    ] = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Take out events whose id was landed before, at a time that is days away. `tollbook invoice close` does it first of all.

    The event that was landed first stays; each later one becomes a conflict, which `tollbook dead list` shows, and is not billed. Only what
    was landed since the last settlement is compared, with everything before it. Safe to kill and to repeat, also beside a run and land
    workers: those end with exit code 75 if something of theirs was taken out, and go on when they are started again.

    Example: tollbook settle --lake demo/lake
    """
    done = settlement.settle(Lake(lake), now=the_clock(now), bucket_rows=bucket_rows, folder=folder)
    if json:
        show_json(done._asdict())
    else:
        settled(done)
    return 0


def settled(done: Settled) -> None:
    """What a settlement compared and took out."""
    if not done.recent:
        sentence("Nothing was landed since the last settlement.")
        return
    sentence(
        (f"{done.recent:,}", "bold"), f" events landed since the last settlement, {done.earlier:,} before it: ",
        (f"{done.withdrawn:,}", "bold"), " taken out as conflicts.",
    )  # fmt: skip
    if done.withdrawn:
        sentence("`tollbook dead list --reason ID_CONFLICT` shows them.", style="dim")
