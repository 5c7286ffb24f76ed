"""Screens of a month's sums, quotas and usage, and of the proof of the books."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.padding import Padding

from aggregate.verify import Proof
from schemas import zones
from schemas.catalog.records import Catalog, Partner
from schemas.quotas import is_reached
from tollbook.cli.figures import aligned, instant, metered
from tollbook.cli.terminal import Cell, out, sentence, shortened, table, words
from tollbook.month_sums import MeterSum, QuotaUse

_PERIODS = {"DAY": "{:%Y-%m-%d}", "WEEK": "week {:%G-W%V}", "MONTH": "month"}


def sums(catalog: Catalog, label: str, found: Sequence[MeterSum], partner: Partner | None) -> None:
    """One line per partner and meter, or per quota of it. `partner` is set if only one was requested."""
    if not found:
        if partner is None:
            sentence(f"There is no usage in {label}.")
        return
    name = "" if partner is None else f"{partner.name}, "
    view = table(
        f"{name}{label}: sums of the month", "partner", "meter", ">used", ">of quota", ">quota", ">share", "in", "plan"
    )
    previous = ""
    for each, quota in _lines(found):
        who = "" if each.partner_id == previous else each.partner_id
        previous = each.partner_id
        view.row(who, metered(catalog, each.meter), aligned([each.quantity])[0], *_quota(catalog, each, quota))
    out.print(view)
    out.print()


def _lines(found: Sequence[MeterSum]) -> Iterator[tuple[MeterSum, QuotaUse | None]]:
    for each in found:
        yield from ((each, quota) for quota in each.quotas or (None,))


def _quota(catalog: Catalog, each: MeterSum, quota: QuotaUse | None) -> list[Cell]:
    if quota is None:
        return ["", "", "", "", ""]
    used, limit = aligned([quota.used, quota.limit])
    share = f"{quota.share_percent:,} %"
    partner = catalog.partner(each.partner_id)
    assert partner is not None  # the sums are of partners in the catalog
    zone = zones.zone(partner.time_zone)
    when = "nothing" if quota.start is None else _PERIODS[quota.kind].format(quota.start.astimezone(zone))
    return [
        used,
        limit,
        words((share, "bold yellow")) if is_reached(quota.used, quota.limit) else share,
        when,
        quota.plan,
    ]


def usage_table(catalog: Catalog, partner: Partner, period: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per day and route with one column per meter, and the sums of the month."""
    meters = [m.id for m in catalog.meters if any(r["meter"] == m.id for r in rows)]
    if not rows:
        sentence(f"{partner.id} has no usage in {period}.")
        return
    title = f"{partner.name}, {period} ({partner.time_zone})"
    view = table(title, "day", "route", *(f">{metered(catalog, m)}" for m in meters))
    lines = list(dict.fromkeys((str(r["day"]), r["route"]) for r in rows))
    columns = [_column(m, lines, rows) for m in meters]
    previous = ""
    for (day, route), *cells in zip(lines, *columns, strict=False):
        view.row("" if day == previous else day, route or "-", *cells)
        previous = day
    view.add_section()
    view.row("total", "", *(column[-1] for column in columns), style="bold")
    out.print(view)


def outside_table(partner: Partner, period: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per mark, credential, network and action with its first events, the most frequent first."""
    if not rows:
        sentence(f"All usage of {partner.id} in {period} is allowed by its credentials' networks and policies, if any.")
        return
    title = f"{partner.name}, {period}: counted, but not allowed by network or policy (times in UTC)"
    view = table(title, "mark", "network", "service", "action", ">requests", ">first", ">last")
    for row in rows:
        view.row(
            row["outside"], row["client_network"] or "unknown", row["service"] or "-", row["route"] or "-", f"{row['requests']:,}",
            instant(row["first_seen"]), instant(row["last_seen"]),
        )  # fmt: skip
    out.print(view)
    for row in rows:
        ids = ", ".join(shortened(event_id) for event_id in row["event_ids"])
        sentence(f"{row['outside']} by {shortened(row['credential'] or 'a tag')}: {ids}", style="dim")


def _column(meter: str, lines: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A meter's cell for each line, empty if it counted nothing, and its sum."""
    found = {(str(r["day"]), r["route"]): r["quantity"] for r in rows if r["meter"] == meter}
    *cells, total = aligned([*found.values(), sum(found.values(), Decimal(0))])
    by_line = dict(zip(found, cells, strict=True))
    return [*(by_line.get(line, "") for line in lines), total]


def proof(found: Proof) -> None:
    """Every check, and the balance of the books."""
    for check in found.checks:
        sentence(("  ok  ", "bold green") if not check.problems else (" FAIL ", "bold red"), check.name)
        for problem in check.problems:
            out.print(Padding(words(problem), (0, 0, 0, 8), expand=False))
    sentence(books_line(found.totals()))
    if found.files_not_hashed:
        files = "1 file has" if found.files_not_hashed == 1 else f"{found.files_not_hashed:,} files have"
        sentence(f"{files} no recorded hash, as an earlier version wrote them; only names and sizes were compared")
    if found.commits_on_the_way:
        commits = "1 commit" if found.commits_on_the_way == 1 else f"{found.commits_on_the_way:,} commits"
        sentence(
            f"{commits} of table events are newer and not in these books yet; the next `tollbook run` or land worker adds them"
        )


def books_line(totals: Mapping[str, int]) -> str:
    """The balance in one line."""
    return (
        f"Books: {totals['entries']:,} entries = {totals['counted']:,} counted + {totals['duplicates']:,} duplicates "
        f"+ {totals['conflicts']:,} conflicts + {totals['refused']:,} refused; unexplained: {totals['unexplained']:,}"
    )
