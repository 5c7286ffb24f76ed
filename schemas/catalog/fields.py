"""The field types of a catalog: ids, text, zones, currencies, amounts.

Each type rejects values that no record may hold.

`CatalogRecord` is the base of all catalog records.
"""

import ipaddress
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas import zones
from schemas.catalog import routes
from schemas.money import MINOR_UNITS

# Control characters, and the Unicode embeddings, overrides and isolates, which display text in another order than it is
# stored.
_NOT_IN_A_LINE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:")
# ISO 3166-1 alpha-2.
_COUNTRY_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD
    CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF
    GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI
    SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
    VN VU WF WS YE YT ZA ZM ZW
"""
_COUNTRIES = frozenset(_COUNTRY_CODES.split())
_MAPPED_BITS = 96  # ::ffff:0:0/96 holds the addresses of IPv4


class CatalogRecord(BaseModel):
    """The base of all catalog records: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def one_line(text: str) -> str:
    """Text without characters that change how the line is displayed. Raises ValueError."""
    if bad := _NOT_IN_A_LINE.search(text):
        raise ValueError(f"the character {bad[0]!a} would change how the line is displayed; remove it")
    return text


def _zone(name: str) -> str:
    zones.zone(name)  # raises a ValueError that says what to write instead
    return name


def _currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError(f"unknown currency {code!r}; known: {', '.join(MINOR_UNITS)}")
    return code


def _country(code: str) -> str:
    if code not in _COUNTRIES:
        raise ValueError(f"{code!r} is not a country; write its two capital letters of ISO 3166, such as DE, GB or US")
    return code


def _network(text: str) -> str:
    """The network in its usual form, such as 203.0.113.0/24 or 2001:db8::/32. A single address is a network of one."""
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it like 203.0.113.0/24 or 2001:db8::/32") from None
    network = address.network
    if "%" in text:
        raise ValueError(f"{text!r} names an interface of one machine; remove the % and what follows")
    if address.ip != network.network_address:
        raise ValueError(
            f"{text!r} is an address within a network; write {network}, or {address.ip} for the single address"
        )
    if (
        isinstance(network, ipaddress.IPv6Network)
        and network.network_address.ipv4_mapped
        and network.prefixlen >= _MAPPED_BITS
    ):
        inside = f"{network.network_address.ipv4_mapped}/{network.prefixlen - _MAPPED_BITS}"
        raise ValueError(f"{text!r} is an IPv4 network written as IPv6; write {inside}")
    return str(network)


def _resource(arn: str) -> str:
    if "${" in arn:
        raise ValueError(f"{arn!r} contains a policy variable, whose value no log shows; write its value, or *")
    return arn


def _pattern(text: str) -> str:
    routes.parsed(text)
    return text


def day_of(value: object) -> object:
    """A date in the form 2026-01-31. Otherwise 20260131 would be read as seconds since 1970. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value) if _DAY.fullmatch(value) else _refused_day(value)
    except ValueError:
        return _refused_day(value)


def _refused_day(value: str) -> object:
    raise ValueError(f"{value!r} is not a date; write it like 2026-01-31") from None


def instant_of(value: object) -> object:
    """The text of an instant, for the constructor to parse. Raises ValueError if it is not in the expected form."""
    if isinstance(value, str) and not _INSTANT.match(value):
        raise ValueError(f"{value!r} is not an instant; write it like 2026-01-31T00:00:00Z")
    return value


def _with_zone(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone; write it like 2026-01-01T00:00:00Z")
    return instant


Day = Annotated[date, BeforeValidator(day_of)]
Instant = Annotated[datetime, BeforeValidator(instant_of), AfterValidator(_with_zone)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Status = Annotated[str, Field(pattern=r"^([1-5]xx|[1-5][0-9]{2}|0)$")]  # 0: no status was logged
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_line)]  # printed on invoices
Code = Annotated[
    str, Field(min_length=1, max_length=64), AfterValidator(one_line)
]  # an identifier assigned by a third party
Note = Annotated[str, Field(max_length=200), AfterValidator(one_line)]  # like Text, but may be empty
Address = Annotated[tuple[Text, ...], Field(max_length=10)]
Zone = Annotated[str, AfterValidator(_zone)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}(/[A-Za-z0-9_.@-]{1,64}){0,3}$")]
PropertyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]  # of a quantity or an attribute
EventId = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(one_line)]
EventType = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(one_line)]
RoutePattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(one_line), AfterValidator(_pattern)]
RouteText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_line)]  # stored in rollups
Country = Annotated[str, AfterValidator(_country)]
Currency = Annotated[str, AfterValidator(_currency)]
Amount = Annotated[Decimal, Field(allow_inf_nan=False)]
NotNegative = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
Network = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_network)]
Action = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9*?-]{1,64}:[A-Za-z0-9*?]{1,128})$")]  # in IAM's syntax
Resource = Annotated[str, Field(pattern=r"^(\*|arn:.{1,2044})$"), AfterValidator(one_line), AfterValidator(_resource)]
