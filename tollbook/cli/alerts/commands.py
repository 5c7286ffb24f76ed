"""`tollbook alerts list` and `show`: the alerts that the lake has on record, with their history and evidence."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from aggregate.alerts import ledger
from lake.lake import Lake
from schemas.alerts import Kind, State, Statement
from tollbook.cli.alerts import screens
from tollbook.cli.errors import WrongUse
from tollbook.cli.options import JsonOption, LakeOption, utc
from tollbook.cli.terminal import show_json

app = App(
    name="alerts",
    help="What fired, was restated and was withdrawn, and why.\n\nExample: tollbook alerts list --lake demo/lake",
    help_epilogue="",
)
_ID_DIGITS_MIN = 4
_EARLY = datetime.min.replace(tzinfo=UTC)

KindOption = Annotated[Kind | None, Parameter("--kind", help="Only this kind, such as quota or throttle.")]
PartnerOption = Annotated[str | None, Parameter("--partner", help="Only alerts about this partner.")]
SinceOption = Annotated[
    datetime | None,
    Parameter("--since", help="Only alerts whose time is this instant or later (event time, UTC)."),
]
StateOption = Annotated[
    State | None, Parameter("--state", help="Only alerts whose newest statement says this: fired, restated, withdrawn.")
]


@app.command(name="list", sort_key=1)
def list_(
    *,
    lake: LakeOption,
    kind: KindOption = None,
    partner: PartnerOption = None,
    since: SinceOption = None,
    state: StateOption = None,
    json: JsonOption = False,
) -> int:
    """List alerts, each with its newest statement, in the order of their times.

    Example: tollbook alerts list --lake demo/lake --kind quota --since 2026-10-15
    """
    begin = since and utc(since)
    found = [
        s
        for s in ledger.read(_checked(lake)).statements.values()
        if (kind is None or s.alert.kind is kind)
        and (partner is None or s.alert.partner_id == partner)
        and (state is None or s.state is state)
        and (begin is None or (s.alert.at is not None and s.alert.at >= begin))
    ]
    found.sort(key=lambda s: (s.alert.at is not None, s.alert.at or _EARLY, s.alert_id))
    if json:
        show_json([screens.statement_row(s) for s in found])
    else:
        screens.list_(found)
    return 0


@app.command(sort_key=2)
def show(
    alert: Annotated[str, Parameter(help="The id of the alert, or the beginning of it.")],
    /,
    *,
    lake: LakeOption,
    json: JsonOption = False,
) -> int:
    """Show everything that was ever said about one alert, with the evidence of each statement.

    Example: tollbook alerts show 3f2a9c --lake demo/lake
    """
    history = _history(ledger.history(_checked(lake)), alert)
    if json:
        show_json([screens.statement_row(s) for s in history])
    else:
        screens.show(history)
    return 0


def _history(statements: Sequence[Statement], asked: str) -> list[Statement]:
    if len(asked) < _ID_DIGITS_MIN:
        raise WrongUse(f"{asked!r} is too short; give at least {_ID_DIGITS_MIN} characters of the id")
    found = {s.alert_id for s in statements if s.alert_id.startswith(asked) or s.statement_id == asked}
    if not found:
        raise WrongUse(f"no alert has an id that begins with {asked}; `tollbook alerts list` shows them")
    if len(found) > 1:
        raise WrongUse(f"{len(found)} alerts have ids that begin with {asked}; give more of the id")
    return [s for s in statements if s.alert_id in found]


def _checked(place: LakeOption) -> Lake:
    lake = Lake(place)
    lake.check()
    return lake
