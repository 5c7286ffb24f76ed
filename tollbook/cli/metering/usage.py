"""`tollbook usage`, `outside` and `verify`: what a lake says, without the modules that write it."""

from typing import Annotated, Any

from cyclopts import Parameter

from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.periods import month
from billing.rating.drafts import in_unit
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.money import plain
from tollbook import month_sums
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.metering import usage_screens
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, PeriodOption, the_time
from tollbook.cli.terminal import show_json


def usage(
    partner: Annotated[str | None, Parameter(help="Partner id. Without it, the sums of all partners.")] = None,
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Show the usage of a month: sums and quotas by partner and meter, and for a single partner also by day and route.

    Quantities are in the unit of each meter. For a quota by day or week, the day or week with the highest usage is
    shown.

    Example: tollbook usage northwind --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    book = catalogs.load(catalog)
    who = None if partner is None else _partner(book, partner)
    house = Warehouse(Lake(lake), only=["rollups", "grants"])
    shown = book.partners if who is None else [who]
    sums = month_sums.of_month(house, book, shown, period, now=the_time(now))
    rows = [] if who is None else _by_day_and_route(house, book, who, period)
    if json:
        by_day = [{**row, "quantity": plain(row["quantity"])} for row in rows]
        show_json({"sums": [month_sums.row(book, each) for each in sums], "by_day_and_route": by_day})
    else:
        usage_screens.sums(book, period, sums, who)
        if who is not None:
            usage_screens.usage_table(book, who, period, rows)
    return 0


def _by_day_and_route(house: Warehouse, book: Catalog, who: Partner, period: str) -> list[dict[str, Any]]:
    spans = [Span(who.id, m.id, *month(period, who.time_zone)) for m in book.meters]
    rows: list[dict[str, Any]] = house.usage_by_day_and_route(book, spans, who.time_zone).to_pylist()
    for row in rows:
        row["quantity"] = in_unit(book, row["meter"], row["quantity"])
    return rows


def outside(
    partner: Annotated[str, Parameter(help="Partner id.")],
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    json: JsonOption = False,
) -> int:
    """List a partner's usage in a month that its credentials' networks and policies do not allow.

    It is counted and marked.

    Rows are by mark, credential, network and action. NETWORK means another network, ACTION and RESOURCE are not in the
    policy, and UNKNOWN could not be decided.

    Example: tollbook outside northwind --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    who = _partner(catalogs.load(catalog), partner)
    start, end = month(period, who.time_zone)
    found = Warehouse(Lake(lake), only=["events"]).query("outside", {"partner_id": who.id, "start": start, "end": end})
    rows = found.to_pylist()
    if json:
        show_json(rows)
    else:
        usage_screens.outside_table(who, period, rows)
    return 0


def verify(*, lake: LakeOption, json: JsonOption = False) -> int:
    """Prove the books from the lake: lines = counted + duplicates + conflicts + refused, unique ids, rollups = events.

    Every file is read and compared with the hash in the commit that added it. While workers run, it proves the newest
    state in which all tables agree.

    The exit code is 1 if a check fails.

    Example: tollbook verify --lake demo/lake
    """
    opened = Lake(lake)
    opened.check()  # a folder that is not a lake is wrong use, not a failed proof
    proof = prove(opened)
    if json:
        show_json(
            {
                "ok": not proof.problems,
                **proof.totals(),
                "commits_on_the_way": proof.commits_on_the_way,
                "files_not_hashed": proof.files_not_hashed,
                "checks": [c._asdict() for c in proof.checks],
                "files": proof.books,
            }
        )
    else:
        usage_screens.proof(proof)
    return REFUSED if proof.problems else 0


def _partner(book: Catalog, partner_id: str) -> Partner:
    who = book.partner(partner_id)
    if who is None:
        known = ", ".join(p.id for p in book.partners)
        raise WrongUse(f"no partner {partner_id!r} in the catalog; known ids: {known}")
    return who
