"""Whether each statement was right when it was made: against the events that the lake had by the commit it names.

None is early by that, and none is withdrawn while its reason stands, whatever was late or missing at the time. Alerts
on refused and contradicting entries do not rest on events; their numbers of entries are bounded by what was sent.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.aggregate.presence_oracle import Count
from tests.e2e import alert_oracle, oracle
from tests.e2e.alert_oracle import FIVE_MS, HOUR_MS, WINDOW_MS, Place, Quota, Told
from tests.e2e.comparison import rows
from tests.e2e.oracle import Seen

MILLISECONDS = "epoch_us(occurred_at) // 1000"
SEEN = f"""source, partner_id, credential_kind || ':' || credential, {MILLISECONDS}, status, coalesce(request_bytes, 0),
    response_bytes, latency_us // 1000, client_network"""


def unfounded(lake: Path, ledger: oracle.Ledger, statements: Iterable[Mapping[str, Any]], quota: int) -> list[str]:
    """The statements that the events of their commit do not bear out."""
    quotas = {alert_oracle.place("", q.partner, q.key())[1:]: q for q in alert_oracle.quotas(quota)}
    by_version: dict[int, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for data in statements:
        by_version[data["events_version"]].append(data)
    wrong = []
    for version, some in sorted(by_version.items()):
        landed = Landed(lake, version, quotas)
        for data in some:
            if (fault := _fault(landed, ledger, data)) is not None:
                where, told = alert_oracle.told_of(data)
                wrong.append(f"{data['state']} at commit {version}: {where}, {told}: {fault}")
    return wrong


def _fault(landed: "Landed", ledger: oracle.Ledger, data: Mapping[str, Any]) -> str | None:
    kind, (where, told) = data["kind"], alert_oracle.told_of(data)
    if kind in {"credential", "conflict"}:
        sent = len(ledger.strange) if kind == "credential" else len(ledger.contrary)
        entries = data["evidence"]["requests" if kind == "credential" else "entries"]
        return None if 10 <= entries <= sent and data["state"] != "withdrawn" else f"{entries} of {sent} entries"
    if kind in {"quota", "budget"}:
        is_reached = landed.is_reached(kind, data)
        return None if is_reached == (data["state"] != "withdrawn") else f"reached: {is_reached}"
    holds = landed.holding(data).get(where)
    if data["state"] == "withdrawn":
        return None if holds is None else f"holds: {holds}"
    return None if holds == told else f"holds: {holds}"


class Landed:
    """The events of one commit, and what they bear out. Each kind is computed when it is first asked for."""

    def __init__(self, lake: Path, version: int, quotas: Mapping[Place, Quota]) -> None:
        self._lake, self._version, self._quotas = lake, version, quotas
        self._found: dict[str, dict[Place, Told]] = {}

    def is_reached(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Whether the usage of the period reaches the threshold of a quota or budget."""
        key, percent = data["key"], int(data["key"]["threshold_percent"])
        partner = data["subject"]
        if kind == "quota":
            quota = self._quota(data)
            return 100 * self._billed(partner, quota.start, quota.end)[0] >= quota.limit * percent
        zone, _, decimals, _ = oracle.PARTNERS[partner]
        year, month = map(int, key["period"].split("-"))
        start, end = oracle.month_ms(year, month, zone)
        owed = oracle.minor(partner, *self._billed(partner, start, end))
        is_used = self._rows(f"SELECT 1 FROM t WHERE {_within(partner, start, end)} LIMIT 1")
        return bool(is_used) and 100 * owed >= int(key["budget"]) * percent * 10**decimals

    def holding(self, data: Mapping[str, Any]) -> dict[Place, Told]:
        """The alerts of the kind of a statement that hold; of neighbours and projections those that it is about."""
        kind = data["kind"]
        if kind == "exhaustion":
            where, _ = alert_oracle.told_of(data)
            quota = self._quota(data)
            newest = self._rows(f"SELECT {MILLISECONDS} FROM t ORDER BY occurred_at DESC LIMIT 1")
            if not newest:
                return {}
            as_of = (int(str(newest[0][0])) // WINDOW_MS + 1) * WINDOW_MS
            told = alert_oracle.projected(quota, self._billed(quota.partner, quota.start, quota.end)[0], as_of)
            return {} if told is None else {where: told}
        if kind == "neighbour":
            at = alert_oracle.milliseconds(data["at"])
            return alert_oracle.neighbours(list(self._around(at - at % FIVE_MS)))
        if kind not in self._found:
            self._found[kind] = self._computed(kind)
        return self._found[kind]

    def _computed(self, kind: str) -> dict[Place, Told]:
        if kind in {"throttle", "network"}:
            requests = list(self._seen("partner_id = 'dora'"))
            return alert_oracle.throttle(requests) if kind == "throttle" else alert_oracle.networks(requests)
        window = f"{MILLISECONDS} // {WINDOW_MS}"
        found = self._rows(f"SELECT partner_id, source, {window}, count(*) FROM t GROUP BY ALL")
        counts = [Count(str(p), str(s), int(str(w)), int(str(n))) for p, s, w, n in found]
        return alert_oracle.silences(counts) if kind == "silence" else alert_oracle.jumps(counts)

    def _around(self, at: int) -> Iterator[Seen]:
        """The requests that an incident can depend on, and the newest one of all."""
        yield from self._seen(f"{MILLISECONDS} BETWEEN {at - 3 * HOUR_MS} AND {at + 3 * HOUR_MS}")
        yield from self._seen(f"{MILLISECONDS} > {at + 3 * HOUR_MS} ORDER BY occurred_at DESC LIMIT 1")

    def _quota(self, data: Mapping[str, Any]) -> Quota:
        key = {name: value for name, value in data["key"].items() if name != "threshold_percent"}
        return self._quotas[alert_oracle.place("", data["subject"], key)[1:]]

    def _billed(self, partner: str, start: int, end: int) -> tuple[int, int]:
        """Requests that a meter counts, and their bytes."""
        found = self._rows(
            "SELECT count(*), coalesce(sum(response_bytes), 0) FROM t"
            f" WHERE {_within(partner, start, end)} AND status != 429 AND status < 500"
        )
        requests, size = found[0] if found else (0, 0)
        return int(str(requests)), int(str(size))

    def _seen(self, where: str) -> Iterator[Seen]:
        for row in self._rows(f"SELECT {SEEN} FROM t WHERE {where}"):
            yield Seen(*row)  # type: ignore[arg-type]  # in the order of SEEN

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        return rows(self._lake, "events", query, self._version)


def _within(partner: str, start: int, end: int) -> str:
    return f"partner_id = '{partner}' AND {MILLISECONDS} >= {start} AND {MILLISECONDS} < {end}"
