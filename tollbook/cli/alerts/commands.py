"""`tollbook alerts list`, `show`, `test` and `replay`: what the lake has on record, and sending it on request."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from aggregate.alerts import ledger
from lake.lake import Lake
from schemas.alerts import Kind, State, Statement
from tollbook.cli import extras
from tollbook.cli.alerts import screens
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_clock, utc
from tollbook.cli.terminal import complain, show_json

if TYPE_CHECKING:
    from tollbook.cli.alerts.sending import Delivered  # the extra `kafka`

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
SinksOption = Annotated[Path, Parameter("--alerts", env_var="TOLLBOOK_ALERTS", help="YAML file of the sinks.")]
SinkOption = Annotated[str | None, Parameter("--sink", help="Only this sink.")]
StateOption = Annotated[
    State | None,
    Parameter("--state", help="Only alerts whose newest statement says this: fired, restated, timed, withdrawn."),
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
    """Show all statements about one alert, with the evidence of each.

    Example: tollbook alerts show 3f2a9c --lake demo/lake
    """
    history = _history(ledger.history(_checked(lake)), alert)
    if json:
        show_json([screens.statement_row(s) for s in history])
    else:
        screens.show(history)
    return 0


@app.command(name="test", sort_key=3)
def try_sinks(*, alerts: SinksOption, sink: SinkOption = None, now: NowOption = None, json: JsonOption = False) -> int:
    """Send a test alert, clearly marked, and its end to all sinks, or to one. Nothing is recorded.

    It is sent whatever kinds and partners a sink gets, so that its address and its secret are tried.

    Example: tollbook alerts test --alerts alerts.yaml --sink on-call
    """
    extras.require("kafka", "`tollbook alerts test`")
    from tollbook.cli.alerts import sending  # noqa: PLC0415  # the extra `kafka`

    return _told(sending.send_test(sending.chosen(alerts, sink), the_clock(now)()), json=json)


@app.command(sort_key=4)
def replay(
    *,
    lake: LakeOption,
    alerts: SinksOption,
    sink: Annotated[str, Parameter("--sink", help="The sink to send to.")],
    since: Annotated[datetime, Parameter("--since", help="Alerts whose time is this or later (event time, UTC).")],
    now: NowOption = None,
    json: JsonOption = False,
) -> int:
    """Send recorded alerts again to one sink, with the ids of the first time. Its place in the table does not move.

    Example: tollbook alerts replay --lake lake --alerts alerts.yaml --sink on-call --since 2026-10-15
    """
    extras.require("kafka", "`tollbook alerts replay`")
    from tollbook.cli.alerts import sending  # noqa: PLC0415  # the extra `kafka`

    receivers = sending.chosen(alerts, sink)
    begin = utc(since)
    again = [s for s in ledger.history(_checked(lake)) if s.alert.at is not None and s.alert.at >= begin]
    return _told(sending.send_again(receivers, again, the_clock(now)()), json=json)


def _told(delivered: Sequence["Delivered"], *, json: bool) -> int:
    if json:
        show_json([each._asdict() for each in delivered])
    else:
        screens.delivered(delivered)
    for each in delivered:
        if each.failed:
            complain(f"sink {each.sink}: {each.failed} not delivered: {each.reason}")
    return REFUSED if any(each.failed for each in delivered) else 0


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
