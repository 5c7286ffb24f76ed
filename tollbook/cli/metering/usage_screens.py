"""A month's sums and quotas on a terminal."""

from collections.abc import Iterator, Sequence

from schemas import zones
from schemas.catalog.records import Catalog, Partner
from schemas.quotas import is_reached
from tollbook.cli.screens import aligned, metered
from tollbook.cli.terminal import Cell, out, sentence, table, words
from tollbook.month_sums import MeterSum, QuotaUse

_PERIODS = {"DAY": "{:%Y-%m-%d}", "WEEK": "week {:%G-W%V}", "MONTH": "month"}


def sums(catalog: Catalog, label: str, found: Sequence[MeterSum], partner: Partner | None) -> None:
    """One line for each partner and meter, or for each of its quotas. `partner`: the only one that was asked for."""
    if not found:
        if partner is None:
            sentence(f"Nobody used anything in {label}.")
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
    assert partner is not None  # it is the catalog's own
    zone = zones.zone(partner.time_zone)
    when = "nothing" if quota.start is None else _PERIODS[quota.kind].format(quota.start.astimezone(zone))
    return [
        used,
        limit,
        words((share, "bold yellow")) if is_reached(quota.used, quota.limit) else share,
        when,
        quota.plan,
    ]
