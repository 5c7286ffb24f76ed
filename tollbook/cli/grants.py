"""`tollbook quota grant` and `grants`: more of a quota for a partner, for a time, and who gave it and why."""

import getpass
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from aggregate.quota import grants as ledger
from aggregate.quota.grants import Asked, NoGrant
from billing.catalog import loading as catalogs
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.grants import QuotaGrant
from schemas.money import plain
from schemas.zones import in_utc
from tollbook.cli.errors import WrongUse
from tollbook.cli.figures import instant
from tollbook.cli.options import CATALOG_VARIABLE, JsonOption, LakeOption, NowOption, folder_path, the_time
from tollbook.cli.terminal import out, sentence, shortened, show_json, table

_AMOUNT_MAX = Decimal(10) ** 18
_AMOUNT_STEP = Decimal("0.000000001")  # as in the lake
_REASON_CHARACTERS = 500
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _one_line(_: type, text: str | None) -> None:
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= _REASON_CHARACTERS):
        raise ValueError(f"must be one line of at most {_REASON_CHARACTERS} characters")


GrantCatalogOption = Annotated[
    Path | None,
    Parameter(
        "--catalog",
        env_var=CATALOG_VARIABLE,
        converter=folder_path,
        help="Folder of the catalog's YAML files. Required for a new grant.",
    ),
]
QuotaPeriod = Literal["DAY", "WEEK", "MONTH"]
ReasonOption = Annotated[str, Parameter("--reason", validator=_one_line, help="Why. It is stored and listed.")]
ByOption = Annotated[str | None, Parameter("--by", validator=_one_line, help="Who. By default the user of the system.")]


def grant(
    partner: Annotated[str | None, Parameter(help="Partner id.")] = None,
    meter: Annotated[str | None, Parameter(help="Meter of the quota.")] = None,
    amount: Annotated[str | None, Parameter(help="What is added to the limit, in the meter's unit.")] = None,
    /,
    *,
    lake: LakeOption,
    reason: ReasonOption,
    catalog: GrantCatalogOption = None,
    until: Annotated[
        str | None,
        Parameter("--until", help="When it ends: a time, or a date (midnight in the partner's time zone)."),
    ] = None,
    from_: Annotated[str | None, Parameter("--from", help="When it begins. By default now.")] = None,
    period: Annotated[
        QuotaPeriod | None, Parameter("--period", help="Period of the quota. Required if the meter has several quotas.")
    ] = None,
    by: ByOption = None,
    revoke: Annotated[str | None, Parameter("--revoke", help="Id of a grant to end now, instead of a new one.")] = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Grant a partner more of a quota for a time, or end a grant early (--revoke ID).

    The limit rises at once and falls when the grant ends; alerts under the old limit are withdrawn, and fire again
    under the limit that follows. The same command again grants nothing more.

    Example: tollbook quota grant acme requests 50000 --until 2026-11-01 --reason launch --catalog catalog --lake lake
    """
    moment, who = the_time(now), by or getpass.getuser()
    opened = Lake(lake)
    opened.check()
    if revoke is not None:
        if any(given is not None for given in (partner, meter, amount, until, from_, period)):
            raise WrongUse("--revoke takes the id of a grant and a --reason, and nothing else")
        found, is_new = _revoked(opened, revoke, reason=reason, by=who, now=moment)
        text = f"Revoked grant {found.grant_id}" if is_new else f"Grant {found.grant_id} had ended already"
    else:
        if partner is None or meter is None or amount is None or until is None or catalog is None:
            raise WrongUse("a grant needs a partner, a meter, an amount, --until and --catalog; `tollbook quota grant --help` shows an example")  # fmt: skip
        book = catalogs.load(catalog)
        asked = _asked(book, partner, meter, _amount(amount), period, reason)(until, from_, moment)
        found, is_new = ledger.record(opened, asked, by=who, now=moment)
        text = (
            f"Granted {found.partner_id} {plain(found.amount)} {book.meter(meter).unit} a {found.quota_period.lower()}"
        )
        text = f"{text} more until {instant(found.ends_at)} as {found.grant_id}" + ("" if is_new else ", as before")
    if json:
        show_json({**grant_row(found, moment), "new": is_new})
    else:
        sentence(f"{text}.")
    return 0


def grants(*, lake: LakeOption, json: JsonOption = False, now: NowOption = None) -> int:
    """List all grants: to whom, how much, from when until when, by whom, why, and whether they hold now.

    Example: tollbook quota grants --lake demo/lake
    """
    moment = the_time(now)
    opened = Lake(lake)
    opened.check()
    found = ledger.read(opened).all
    if json:
        show_json({"grants": [grant_row(each, moment) for each in found]})
    elif not found:
        sentence("No grants.")
    else:
        _table(found, moment)
    return 0


def grant_row(found: QuotaGrant, now: datetime) -> dict[str, Any]:
    """A grant as JSON. `from` and `until` are the times that were asked for; `revoked_at` ends it earlier."""
    return {
        "grant_id": found.grant_id,
        "partner_id": found.partner_id,
        "meter": found.meter,
        "quota_period": found.quota_period,
        "amount": plain(found.amount),
        "from": found.starts_at,
        "until": found.ends_at,
        "reason": found.reason,
        "by": found.recorded_by,
        "recorded_at": found.recorded_at,
        "active": found.is_active(now),
        "revoked_at": found.revoked_at,
        "revoked_by": found.revoked_by,
        "revoked_reason": found.revoked_reason,
    }


def _table(found: Sequence[QuotaGrant], now: datetime) -> None:
    view = table(
        "Grants (times in UTC)", "id", "partner", "meter", "period", ">amount", "from", "until", "", "by", "reason"
    )
    for each in found:
        reason = each.reason if each.revoked_reason is None else f"{each.reason}; revoked: {each.revoked_reason}"
        view.row(
            each.grant_id, each.partner_id, each.meter, each.quota_period, plain(each.amount), instant(each.starts_at),
            instant(each.until), _state(each, now), each.recorded_by, reason,
        )  # fmt: skip
    out.print(view)


def _state(found: QuotaGrant, now: datetime) -> str:
    if found.revoked_at is not None and found.revoked_at <= now:
        return "revoked"
    return "active" if found.is_active(now) else "ended" if found.until <= now else "not yet"


def _asked(
    book: Catalog, partner_id: str, meter: str, amount: Decimal, period: QuotaPeriod | None, reason: str
) -> Callable[[str, str | None, datetime], Asked]:
    partner = book.partner(partner_id)
    if partner is None:
        known = shortened(", ".join(sorted(p.id for p in book.partners))) or "none"
        raise WrongUse(f"no partner {partner_id!r}; the catalog has: {known}")
    kind = _period(book, partner, meter, period)

    def at(until: str, start: str | None, now: datetime) -> Asked:
        ends_at = _instant(partner, "--until", until)
        starts_at = None if start is None else _instant(partner, "--from", start)
        if ends_at <= max(now, starts_at or now):
            raise WrongUse(f"--until {until} is not later than {'--from' if starts_at and starts_at > now else 'now'}")
        return Asked(partner.id, meter, kind, amount, starts_at, ends_at, reason)

    return at


def _period(book: Catalog, partner: Partner, meter: str, period: QuotaPeriod | None) -> str:
    """The period of the quota on a meter, of any plan that the partner has at any time."""
    quotas = [quota for assigned in partner.plans for quota in book.plan(assigned.plan).quotas]
    kinds = sorted({quota.period for quota in quotas if quota.meter == meter})
    if period in kinds:
        return period
    if not kinds:
        known = ", ".join(sorted({quota.meter for quota in quotas})) or "none"
        raise WrongUse(f"no plan of partner {partner.id} has a quota on {meter!r}; meters with a quota: {known}")
    if period is not None or len(kinds) > 1:
        raise WrongUse(
            f"the quotas of partner {partner.id} on {meter} are by {', '.join(kinds)}; name one with --period"
        )
    return kinds[0]


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
        if 0 < amount < _AMOUNT_MAX and amount == amount.quantize(_AMOUNT_STEP):
            return amount
    except InvalidOperation:
        pass
    raise WrongUse(f"amount {shortened(text)!r} is not a number above 0 with at most 9 decimals")


def _instant(partner: Partner, option: str, text: str) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return partner.instant(date.fromisoformat(text))
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else in_utc(given)
    except (ValueError, OverflowError) as exc:
        raise WrongUse(f"{option} {shortened(text)!r} is neither a date nor a time, such as 2026-11-01 or 2026-10-31T18:00Z") from exc  # fmt: skip


def _revoked(lake: Lake, grant_id: str, *, reason: str, by: str, now: datetime) -> tuple[QuotaGrant, bool]:
    try:
        return ledger.revoke(lake, grant_id, reason=reason, by=by, now=now)
    except NoGrant as exc:
        known = shortened(", ".join(each.grant_id for each in ledger.read(lake).all)) or "none"
        raise WrongUse(f"no grant {grant_id!r} in {lake}; known grants: {known}") from exc
