"""`tollbook settle`: an event id that was counted twice, days apart, counts once."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from aggregate.landing import settlement
from aggregate.landing.settlement import SettlementResult
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
            help="Number of event ids in memory at a time, about 200 bytes each. Limits memory.",
        ),
    ] = settlement.BUCKET_ROWS,
    folder: Annotated[
        Path | None,
        Parameter(
            "--folder",
            converter=folder_path,
            help="Folder for event ids while they are compared, about 100 bytes each. By default in the lake's folder.",
        ),
    ] = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Withdraw events whose id was landed before with a time that is days away. `tollbook invoice close` runs it first.

    The event that was landed first stays. Each later one becomes a conflict, which `tollbook dead list` shows, and is
    not billed. Events landed since the last settlement are compared with all earlier ones. It is safe to kill and to
    repeat, also while a run or land workers are active: these exit with code 75 if one of their events is withdrawn,
    and continue after a restart.

    Example: tollbook settle --lake demo/lake
    """
    done = settlement.settle(Lake(lake), now=the_clock(now), bucket_rows=bucket_rows, folder=folder)
    if json:
        show_json(done._asdict())
    else:
        settled(done)
    return 0


def settled(done: SettlementResult) -> None:
    """The screen of a settlement: the events it compared and withdrew."""
    if not done.recent:
        sentence("Nothing was landed since the last settlement.")
        return
    sentence(
        (f"{done.recent:,}", "bold"), f" events landed since the last settlement, {done.earlier:,} before it: ",
        (f"{done.withdrawn:,}", "bold"), " withdrawn as conflicts.",
    )  # fmt: skip
    if done.withdrawn:
        sentence("`tollbook dead list --reason ID_CONFLICT` shows them.", style="dim")
