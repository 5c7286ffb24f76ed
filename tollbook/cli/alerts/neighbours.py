"""`tollbook neighbours`: whose load is how much of all traffic, and what the others noticed."""

from datetime import datetime
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from billing.catalog import loading as catalogs
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.windows import from_us
from tollbook.alerting import shares
from tollbook.alerting.shares import Shares
from tollbook.cli.errors import WrongUse
from tollbook.cli.figures import instant, number
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, utc
from tollbook.cli.terminal import out, sentence, show_json, table

_MINUTE_US = 60_000_000
_MINUTES = {"1m": 1, "5m": 5, "15m": 15}
_BARS = "▁▂▃▄▅▆▇█"  # eighths of the whole
_BARS_MAX = 48  # half an hour each for a day


def neighbours(
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    since: Annotated[
        datetime | None, Parameter("--from", help="Begin (UTC). By default, a day before the end.")
    ] = None,
    until: Annotated[datetime | None, Parameter("--to", help="End (UTC). By default, the newest usage.")] = None,
    window: Annotated[Literal["1m", "5m", "15m"], Parameter(help="Length of a window. Alerts use 5m.")] = "5m",
    top: Annotated[int, Parameter(validator=Number(gte=1), help="Partners to show, those with most requests.")] = 10,
    json: JsonOption = False,
) -> int:
    """Show each partner's and our own share of requests, bytes and time, and how others were served when a load jumped.

    Example: tollbook neighbours --catalog examples/catalog --lake demo/lake --from 2026-10-05 --to 2026-10-06
    """
    book = catalogs.load(catalog)
    house = Warehouse(Lake(lake), only=["events", "rollups"])
    newest = shares.last_day(house)
    end = utc(until) if until else newest and newest[1]
    if end is None:
        show_json(None) if json else sentence("There is no usage.")
        return 0
    start = utc(since) if since else end - shares.DAY
    if start >= end:
        raise WrongUse(f"--from {start.isoformat()} is not before --to {end.isoformat()}")
    found = shares.shares_of(house, book, start, end, window_us=_MINUTES[window] * _MINUTE_US, top=top)
    if json:
        show_json(shares.as_json(found))
    else:
        _shares_table(found, window)
        _jumps_table(found)
    return 0


def _shares_table(found: Shares, window: str) -> None:
    period = f"{found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC, windows of {window}"
    view = table(
        f"Shares from {period}", "partner", ">requests", ">share", ">of bytes", ">of time", ">most", "at",
        "share of requests by time",
    )  # fmt: skip
    for usage in found.usages:
        every = found.everybody
        whole = shares.percents(usage.total, every.total).values()
        busiest = max(usage.loads, key=lambda w: (usage.loads[w].requests / every.loads[w].requests, -w), default=None)
        most = None if busiest is None else shares.percents(usage.loads[busiest], every.loads[busiest])
        view.row(
            f"{usage.partner_id} (own)" if usage.is_own else usage.partner_id,
            number(usage.total.requests),
            *(_percent(value) for value in whole),
            "" if most is None else _percent(most["requests_percent"]),
            "" if busiest is None else instant(from_us(busiest * found.window_us)),
            _bars(found, usage),
        )
    view.row("everybody", number(found.everybody.total.requests))
    out.print(view)


def _jumps_table(found: Shares) -> None:
    if not found.jumps:
        sentence("No partner's load jumped.")
        return
    view = table(
        "Jumps of a load, and how all others were served (hour before → window)", "at", "partner", "in", ">share",
        ">others' p95", ">others' errors", "",
    )  # fmt: skip
    for noise in found.jumps:
        facts = shares.evidence(noise, found.window_us)
        cause = "requests" if "requests" in facts["causes"] else "bytes"

        def change(name: str, unit: str, facts: shares.Evidence = facts) -> str:
            values = (facts[f"{name}_before"], facts[name])
            return " → ".join("unknown" if value is None else f"{value} {unit}" for value in values)

        view.row(
            instant(from_us(noise.share.window * found.window_us)), noise.share.partner_id, facts["causes"],
            change(f"{cause}_percent", "%"), change("others_p95_ms", "ms"), change("others_errors_percent", "%"),
            "noisy" if noise.effects else "",
        )  # fmt: skip
    out.print(view)


def _bars(found: Shares, usage: shares.PartnerLoad) -> str:
    """The share of requests in equal parts of the time, as bars. A part without requests of anybody is blank."""
    windows = found.windows
    step = -(-len(windows) // _BARS_MAX)
    bars = []
    for place in range(0, len(windows), step):
        part = windows[place : place + step]
        mine, every = (
            sum(loads[w].requests for w in part if w in loads) for loads in (usage.loads, found.everybody.loads)
        )
        bars.append(_BARS[min(len(_BARS) - 1, mine * len(_BARS) // every)] if mine else " " if not every else "·")
    return "".join(bars)


def _percent(value: str | None) -> str:
    return "" if value is None else f"{value} %"
