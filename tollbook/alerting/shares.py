"""Who uses how much of a gateway: the share of each partner, and of our own traffic, by window of time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aggregate import engine
from aggregate.alerts.detectors import neighbour
from aggregate.alerts.detectors.neighbour import HOUR_US, Incident, Load, Noise, percent, window_of
from billing.usage.warehouse import Warehouse
from lake import duck
from schemas.catalog.records import Catalog
from schemas.windows import WINDOW_US, from_us, to_us
from tollbook.alerting.neighbour import bounds, great_shares, newest, others

DAY = timedelta(days=1)
_EVERYBODY = None
Evidence = Mapping[str, Any]


class PartnerLoad(NamedTuple):
    """The load of a partner by window. `is_own`: it is the operator itself."""

    partner_id: str
    is_own: bool
    loads: Mapping[int, Load]

    @property
    def total(self) -> Load:
        """The load of all windows."""
        return neighbour.total(self.loads.values())


class Shares(NamedTuple):
    """The usage of partners in [start, end), most requests first, beside that of everybody, and the jumps in it."""

    start: datetime
    end: datetime
    window_us: int
    usages: Sequence[PartnerLoad]
    everybody: PartnerLoad
    jumps: Sequence[Noise]

    @property
    def windows(self) -> range:
        """The numbers of all windows."""
        return range(window_of(self.start, self.window_us), window_of(self.end, self.window_us))


def last_day(house: Warehouse) -> tuple[datetime, datetime] | None:
    """The 24 hours up to the newest usage, or None if there is none."""
    (extent,) = house.query("extent").to_pylist()
    if extent["last_window"] is None:
        return None
    end = extent["last_window"].astimezone(UTC) + timedelta(microseconds=WINDOW_US)
    return end - DAY, end


def shares_of(
    house: Warehouse, catalog: Catalog, start: datetime, end: datetime, *, window_us: int, top: int
) -> Shares:
    """The shares of the `top` partners and of our own ones. Bounds are widened to whole windows."""
    first, last = window_of(start, window_us), -(-to_us(end) // window_us)
    start, end = from_us(first * window_us), from_us(last * window_us)
    own = [partner.id for partner in catalog.partners if partner.is_internal]
    params = {**bounds(start, end), "window_us": window_us, "top": top, "own": own}
    loads: dict[str | None, dict[int, Load]] = {_EVERYBODY: {}}
    for row in duck.rows(engine.run(house.con, "loads", params)):
        load = Load(row["requests"], row["bytes"], row["time_us"])
        loads.setdefault(row["partner_id"], {})[row["window"]] = load
    everybody = PartnerLoad("", is_own=False, loads=loads.pop(_EVERYBODY))
    usages = [PartnerLoad(name, name in own, mine) for name, mine in loads.items() if name is not None]
    usages.sort(key=lambda usage: (-usage.total.requests, usage.partner_id))
    return Shares(start, end, window_us, usages, everybody, _jumps(house, start, end, window_us))


def _jumps(house: Warehouse, start: datetime, end: datetime, window_us: int) -> list[Noise]:
    """The complete windows of [start, end) in which the load of a partner jumped, by time."""
    hour = timedelta(microseconds=HOUR_US)
    complete = window_of(newest(house, end), window_us)
    first = window_of(start, window_us)
    found = [s for s in great_shares(house, start - hour, end, window_us) if first <= s.window < complete]
    jumps = neighbour.jumps(found, lambda spans: others(house, spans, window_us), window_us=window_us)
    return sorted(jumps, key=lambda noise: (noise.share.window, noise.share.partner_id))


def as_json(shares: Shares) -> dict[str, Any]:
    """The shares as JSON values."""
    return {
        "from": shares.start,
        "to": shares.end,
        "window_s": shares.window_us // 1_000_000,
        "everybody": _load(shares.everybody.total),
        "partners": [
            {
                "partner_id": usage.partner_id,
                "internal": usage.is_own,
                **_load(usage.total),
                **percents(usage.total, shares.everybody.total),
                "windows": [
                    {
                        "start": from_us(window * shares.window_us),
                        **_load(load),
                        **percents(load, shares.everybody.loads[window]),
                    }
                    for window, load in sorted(usage.loads.items())
                ],
            }
            for usage in shares.usages
        ],
        "jumps": [
            {
                "partner_id": noise.share.partner_id,
                "start": from_us(noise.share.window * shares.window_us),
                "noisy": bool(noise.effects),
                **evidence(noise, shares.window_us),
            }
            for noise in shares.jumps
        ],
    }


def evidence(noise: Noise, window_us: int) -> Evidence:
    """The figures of a single window, as those of an alert."""
    share = noise.share
    alone = Incident(noise, share.window, share.own, share.all, noise.during, ends=True)
    return neighbour.alert_of(alone, window_us=window_us).evidence


def percents(part: Load, whole: Load) -> dict[str, str | None]:
    """The shares of requests, bytes and time."""
    names = ("requests_percent", "bytes_percent", "time_percent")
    return {name: percent(mine, every) for name, mine, every in zip(names, part, whole, strict=True)}


def _load(load: Load) -> dict[str, int]:
    return {"requests": load.requests, "bytes": load.bytes, "time_us": load.time_us}
