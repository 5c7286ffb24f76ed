"""An independent ledger of what was sent: writes logs from a seed and predicts what must become of every line.

Imports nothing of Tollbook. Own JSON building, own integer windows, own money in fractions: if it agrees with the
product to the last entry and cent, that is not because they share a mistake.
"""

import collections
import datetime as dt
import gzip
import json
import math
import pathlib
import random
import zoneinfo
from fractions import Fraction
from typing import NamedTuple

from tests.e2e import incidents

WINDOW_US = 900_000_000
START_MS = 1_790_553_600_000  # 2026-09-28T00:00Z
DAYS = 37
END_MS = (
    START_MS + DAYS * 86_400_000
)  # 2026-11-04T00:00Z: over both month ends and Europe's change of clocks on 25 October
ROUTES = ["orders", "search", "export", "status"]
METHODS = ["GET", "POST", "DELETE"]
STATUSES = [200, 200, 200, 200, 200, 200, 201, 404, 429, 503]

# partner → time zone, currency and its decimals, credentials as (kind, value). What dora does is in incidents.py.
PARTNERS = {
    "acme": ("Europe/Berlin", "EUR", 2, [("consumer", "cons-acme"), ("api_key", "key-acme")]),
    "bolt": ("America/New_York", "USD", 2, [("consumer", "cons-bolt"), ("iam", "arn:aws:iam::1:role/bolt")]),
    "cato": ("Asia/Kathmandu", "JPY", 0, [("consumer", "cons-cato"), ("oidc", "https://id.example/cato#client-9")]),
    "dora": ("Europe/Lisbon", "EUR", 2, [("consumer", incidents.CREDENTIAL)]),
}
RATE, BURST = 20, 30  # of dora's throttle, a second
DAY_LIMIT = 150  # of dora's quota
BUDGETS = {"acme": 150, "dora": 101}  # in the partner's currency, a month
TIERS = [(10_000, Fraction(9, 10_000)), (30_000, Fraction(5, 10_000)), (None, Fraction(2, 10_000))]
GB_PRICE = Fraction(11, 100)
# format, source, its share of the events, into how many files
PLAN = [("kong", "edge", 0.45, 6), ("aws_apigw", "rest", 0.35, 2), ("aws_apigw", "rest-eu", 0.20, 2)]
FEE = {"EUR": Fraction(99), "USD": Fraction(105), "JPY": Fraction(15_000)}
SCALE = {"EUR": 1, "USD": 1, "JPY": 160}

CATALOG = """
legal_entities:
  - {id: toll, name: Toll GmbH, invoice_prefix: T}
meters:
  - {id: requests, aggregate: count, unit: requests, filter: {exclude_status: ["429", 5xx]}}
  - {id: egress, aggregate: sum, field: response_bytes, unit: GB, divide_by: 1000000000, filter: {exclude_status: ["429", 5xx]}}
rate_cards:
"""


def catalog(quota: int = 40_000, *, any_time: bool = False) -> str:
    """The catalog the ledger's money and alerts are reckoned by. `any_time`: its sources may send lines of any age."""
    text = "" if not any_time else "sources:\n"
    for source in (s for _, s, _, _ in PLAN if any_time):
        text += f"  - {{id: {source}, max_age_days: 36500, max_future_minutes: 52560000}}\n"
    text += CATALOG
    for currency, scale in SCALE.items():
        tiers = ", ".join(
            f"{{up_to: {'null' if top is None else top}, unit_price: {float(price * scale):.6f}}}"
            for top, price in TIERS
        )
        text += f"""  - id: card-{currency.lower()}
    currency: {currency}
    versions:
      - valid_from: 2026-01-01
        rates:
          - {{description: Fee, price: {{model: flat, amount: {int(FEE[currency])}}}}}
          - {{meter: requests, price: {{model: graduated, tiers: [{tiers}]}}}}
          - {{meter: egress, price: {{model: per_unit, unit_price: {float(GB_PRICE * scale):.6f}}}}}
"""
    text += "plans:\n"
    for currency in SCALE:
        text += f"  - {{id: plan-{currency.lower()}, rate_card: card-{currency.lower()}, quotas: [{{meter: requests, period: MONTH, limit: {quota}}}]}}\n"
    text += f"  - {{id: plan-dora, rate_card: card-eur, quotas: [{{meter: requests, period: DAY, limit: {DAY_LIMIT}}}],"
    text += f" throttle: {{rate_per_s: {RATE}, burst: {BURST}}}}}\npartners:\n"
    for name, (zone, _, _, credentials) in PARTNERS.items():
        text += f"  - id: {name}\n    name: {name.title()}\n    legal_entity: toll\n    time_zone: {zone}\n"
        text += f"    budget: {{amount: {BUDGETS[name]}}}\n" if name in BUDGETS else ""
        text += f"    plans: [{{plan: {plan_of(name)}, valid_from: 2026-01-01}}]\n    credentials:\n"
        for kind, value in credentials:
            if kind == "oidc":
                issuer, client = value.split("#")
                text += f'      - {{kind: oidc, issuer: "{issuer}", client_id: {client}}}\n'
            else:
                networks = f", networks: [{incidents.NETWORK}]" if name == "dora" else ""
                text += f'      - {{kind: {kind}, id: "{value}"{networks}}}\n'
        text += f"      - {{kind: consumer, id: old-{name}, valid_from: 2020-01-01, valid_to: 2021-01-01}}\n"
    return text


def plan_of(partner: str) -> str:
    """The plan of a partner."""
    return "plan-dora" if partner == "dora" else f"plan-{PARTNERS[partner][1].lower()}"


class Seen(NamedTuple):
    """What a line says that alerts rest on. `credential` is KIND:ID."""

    source: str
    partner: str
    credential: str
    time_ms: int
    status: int
    request: int
    response: int
    took_ms: int
    network: str


class Ledger:
    """What was sent, in the order in which it is read, and what must become of it."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], tuple[object, ...]] = {}
        self.counted: collections.Counter[tuple[str, int]] = collections.Counter()
        self.duplicates: collections.Counter[tuple[str, int]] = collections.Counter()
        self.conflicts: collections.Counter[tuple[str, int]] = collections.Counter()
        self.refused: collections.Counter[tuple[str, str]] = collections.Counter()
        self.usage: dict[str, list[tuple[int, int, int]]] = collections.defaultdict(list)
        self.requests: list[Seen] = []  # what is counted
        self.contrary: list[Seen] = []  # what contradicts it
        self.strange: list[tuple[str, Seen]] = []  # what is refused for its credential, with the reason
        self.entries = 0

    def copy(self) -> "Ledger":
        """The ledger as it is now."""
        made = Ledger()
        made.first, made.entries = dict(self.first), self.entries
        for name in ("counted", "duplicates", "conflicts", "refused"):
            setattr(made, name, collections.Counter(getattr(self, name)))
        made.usage.update({partner: list(usage) for partner, usage in self.usage.items()})
        made.requests, made.contrary, made.strange = list(self.requests), list(self.contrary), list(self.strange)
        return made

    def take(self, source: str, sent: "Sent") -> None:
        """Enter one line."""
        self.entries += 1
        if isinstance(sent.fact, str):
            self.refused[source, sent.fact] += 1
            if sent.seen is not None and sent.fact in {"UNKNOWN_CREDENTIAL", "CREDENTIAL_NOT_VALID"}:
                self.strange.append((sent.fact, sent.seen._replace(source=source)))
            return
        assert sent.seen is not None, "a line that is no event has a reason"
        seen = sent.seen._replace(source=source)
        event_id, payload = sent.fact
        partner, time_ms, status, response = payload[0], payload[3], payload[7], payload[9]
        cell = (str(partner), int(time_ms) * 1000 // WINDOW_US)
        known = self.first.get((source, event_id))
        if known is None:
            self.first[source, event_id] = payload
            self.counted[cell] += 1
            self.usage[str(partner)].append((int(time_ms), int(status), int(response)))
            self.requests.append(seen)
        elif known == payload:
            self.duplicates[cell] += 1
        else:
            self.conflicts[cell] += 1
            self.contrary.append(seen)

    def totals(self, year: int, month: int) -> dict[str, tuple[str, str]]:
        """partner → (total as text, currency) of a month in the partner's time zone."""
        result = {}
        for partner, (zone, currency, decimals, _) in PARTNERS.items():
            start, end = month_ms(year, month, zone)
            billed = self.billed(partner, start, end)
            owed = minor(partner, len(billed), sum(b for _, b in billed))
            whole, rest = divmod(owed, 10**decimals)
            text = str(owed) if decimals == 0 else f"{whole}.{rest:0{decimals}d}"
            result[partner] = (text, currency)
        return result

    def billed(self, partner: str, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
        """Status and size of the requests that a meter counts."""
        return [(s, b) for t, s, b in self.usage[partner] if start_ms <= t < end_ms and s != 429 and s < 500]


def minor(partner: str, requests: int, size: int) -> int:
    """What a partner owes for so many requests and bytes of a month, in the least unit of its currency."""
    _, currency, decimals, _ = PARTNERS[partner]
    scale = SCALE[currency]
    lines = [FEE[currency], graduated(requests) * scale, Fraction(size, 10**9) * GB_PRICE * scale]
    return sum(half_away(line * 10**decimals) for line in lines)


def graduated(units: int) -> Fraction:
    """Each slice at the price of its tier."""
    total, below = Fraction(0), 0
    for top, price in TIERS:
        reach = units if top is None else min(units, top)
        total += max(reach - below, 0) * price
        below = reach
    return total


def half_away(amount: Fraction) -> int:
    """To a whole number, half up (no amount here is negative)."""
    return math.floor(amount + Fraction(1, 2))


def month_ms(year: int, month: int, zone: str) -> tuple[int, int]:
    """A month in a zone, as milliseconds since the epoch."""
    where = zoneinfo.ZoneInfo(zone)
    ends = [
        dt.datetime(year, month, 1, tzinfo=where),
        dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=where),
    ]
    return int(ends[0].timestamp()) * 1000, int(ends[1].timestamp()) * 1000


class Sent:
    """One line: its place in the log, its bytes, and what it says: (event id, payload), or a reason for refusal."""

    __slots__ = ("fact", "line", "place", "seen")

    def __init__(
        self, place: float, line: bytes, fact: "tuple[str, tuple[object, ...]] | str", seen: "Seen | None" = None
    ) -> None:
        self.place, self.line, self.fact, self.seen = place, line, fact, seen


class Run(NamedTuple):
    """One file to read, and the ledger when it has been read, and all files before it."""

    format_name: str
    source: str
    path: pathlib.Path
    ledger: Ledger


def write(folder: pathlib.Path, seed: int, events: int) -> list[Run]:
    """Write the logs; the files in the order in which they are to be read."""
    rng = random.Random(seed)
    ledger = Ledger()
    runs = []
    for format_name, source, share, files in PLAN:
        sent = sorted(_stream(rng, format_name, source, int(events * share)), key=lambda s: s.place)
        cuts = [len(sent) * i // files for i in range(files + 1)]
        for i in range(files):
            for entry in sent[cuts[i] : cuts[i + 1]]:
                ledger.take(source, entry)
            path = folder / source / (f"{i}.log.gz" if i == 1 else f"{i}.log")
            path.parent.mkdir(parents=True, exist_ok=True)
            text = b"".join(entry.line + b"\n" for entry in sent[cuts[i] : cuts[i + 1]])
            path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
            runs.append(Run(format_name, source, path, ledger.copy()))
    return runs


class Record:
    """One record of `gateway.access`."""

    __slots__ = ("headers", "partition", "value")

    def __init__(self, partition: int, value: bytes | None, **headers: str) -> None:
        self.partition, self.value = partition, value
        self.headers = [(name, text.encode("latin-1")) for name, text in headers.items()]


def records(seed: int, events: int, partitions: int) -> tuple[Ledger, list[Record]]:
    """The same traffic as records of 1 to 200 lines; the ledger, and the records in the order in which they are to be
    sent.

    Half of the resends go to another partition than their first copy: which of the two is met first is not known, and
    does not matter. An entry that contradicts another follows it in its own partition: the first is the first wherever
    it is read.
    """
    rng = random.Random(seed)
    ledger = Ledger()
    placed: list[tuple[float, Record]] = []
    for format_name, source, share, _ in PLAN:
        lines = int(events * share)
        sent = sorted(_stream(rng, format_name, source, lines), key=lambda s: s.place)
        if format_name == "kong":
            sent = [_without_id(rng, entry) if rng.random() < 0.01 else entry for entry in sent]
        shares: list[list[Sent]] = [[] for _ in range(partitions)]
        home: dict[str, int] = {}
        for entry in sent:
            ledger.take(source, entry)
            shares[_partition(rng, home, ledger, source, entry, partitions)].append(entry)
        for partition, entries in enumerate(shares):
            for piece in _pieces(rng, entries):
                value = _joined(rng, [entry.line for entry in piece])
                placed.append((piece[0].place / lines, Record(partition, value, format=format_name, source=source)))
    placed += [(rng.random(), record) for record in _unreadable(rng, ledger, partitions, events // 3000)]
    return ledger, [record for _, record in sorted(placed, key=lambda p: p[0])]


def _partition(
    rng: random.Random, home: dict[str, int], ledger: Ledger, source: str, entry: "Sent", partitions: int
) -> int:
    elsewhere = rng.randrange(partitions)
    if isinstance(entry.fact, str):
        return elsewhere
    event_id, payload = entry.fact
    first = home.setdefault(event_id, elsewhere)
    contradicts = ledger.first[source, event_id] != payload
    return first if contradicts or rng.random() < 0.5 else elsewhere


def _without_id(rng: random.Random, entry: "Sent") -> "Sent":
    """The same request without the gateway's id: it is known by where it stands, and so is none of another."""
    if isinstance(entry.fact, str):
        return entry
    record = json.loads(entry.line)
    del record["request"]["id"]
    fact = (f"unnamed {rng.getrandbits(80):x}", entry.fact[1])
    return Sent(entry.place, json.dumps(record).encode(), fact, entry.seen)


def _pieces(rng: random.Random, entries: "list[Sent]") -> "list[list[Sent]]":
    pieces, start = [], 0
    while start < len(entries):
        size = 1 if rng.random() < 0.2 else rng.randrange(2, 201)
        pieces.append(entries[start : start + size])
        start += size
    return pieces


def _joined(rng: random.Random, lines: list[bytes]) -> bytes:
    """Lines as shippers send them: with a newline at the end or not, and now and then a blank line."""
    between = [rng.choice([b"\n", b"\n", b"\n", b"\r\n", b"\n\n"]) for _ in lines]
    between[-1] = rng.choice([b"", b"\n"])
    return b"".join(part for pair in zip(lines, between, strict=True) for part in pair)


def _unreadable(rng: random.Random, ledger: Ledger, partitions: int, count: int) -> list[Record]:
    """Records of which nothing can be read: each is one refused entry."""
    line = b'{"a": 1}\n{"a": 2}'
    kinds: list[tuple[str, str, bytes | None, dict[str, str]]] = [
        ("TOMBSTONE", "edge", None, {"format": "kong", "source": "edge"}),
        ("EMPTY", "rest", b"", {"format": "aws_apigw", "source": "rest"}),
        ("NO_SOURCE", "", line, {"format": "kong"}),
        ("UNKNOWN_FORMAT", "edge", line, {"format": "kong2", "source": "edge"}),
        ("UNKNOWN_FORMAT", "rest", line, {"format": "\xff\xfe", "source": "rest"}),
        ("UNKNOWN_FORMAT", "rest-eu", line, {"source": "rest-eu"}),
    ]
    made = []
    for _ in range(count):
        reason, source, value, headers = rng.choice(kinds)
        ledger.entries += 1
        ledger.refused[source, reason] += 1
        made.append(Record(rng.randrange(partitions), value, **headers))
    return made


def _stream(rng: random.Random, format_name: str, source: str, lines: int) -> "list[Sent]":
    build = _kong if format_name == "kong" else _aws
    out = []
    for n in range(lines):
        place = float(n)
        time_ms = START_MS + (END_MS - START_MS) * n // lines + rng.randrange(-2000, 2000)
        fate = rng.random()
        if fate < 0.005:
            out.append(_broken(rng, format_name, place, time_ms, f"{source}-b{n}"))
            continue
        partner = rng.choices(["acme", "bolt", "cato"], [60, 30, 10])[0]
        event = _event(rng, format_name, partner, time_ms, f"{source}{n:x}{rng.getrandbits(40):010x}")
        if fate < 0.015:  # late: the line comes up to two days after its time
            place += rng.random() * lines / 18
        out.append(build(rng, place, event))
        if 0.02 <= fate < 0.05:  # resent: sometimes at once, sometimes days later, in another file
            later = rng.random() * (20 if rng.random() < 0.5 else lines / 6)
            out.append(build(rng, place + 0.5 + later, event))
            if rng.random() < 0.02:
                out.append(build(rng, place + 0.6 + later, event))
        elif 0.05 <= fate < 0.0505:
            out.append(build(rng, place + 0.5 + rng.random() * 500, _contradicting(rng, event)))
    if source == incidents.SOURCE:
        out += _incidents(rng, lines)
    return out


def _incidents(rng: random.Random, lines: int) -> "list[Sent]":
    """What alerts are about. 3 % is resent, like everything else."""
    out = []
    for n, told in enumerate(incidents.script(START_MS)):
        event = {**_event(rng, "kong", told.partner, told.time_ms, f"told-{n:x}"), **told.says}
        place = lines * ((told.time_ms - START_MS) / (END_MS - START_MS) + told.late_days / DAYS)
        sent = _kong(rng, place, event)
        out.append(sent if told.refused is None else Sent(place, sent.line, told.refused, sent.seen))
        if told.refused is None and rng.random() < 0.03:
            out.append(_kong(rng, place + 0.5 + rng.random() * 20, event))
        if told.contradicted:
            out.append(_kong(rng, place + 0.9, {**event, "response": int(str(event["response"])) + 1}))
    return out


def _event(rng: random.Random, format_name: str, partner: str, time_ms: int, event_id: str) -> dict[str, object]:
    kind, value = PARTNERS[partner][3][0 if format_name == "kong" else 1]
    return {
        "id": event_id, "partner": partner, "kind": kind, "value": value, "time": time_ms, "method": rng.choice(METHODS),
        "route": rng.choice(ROUTES), "status": rng.choice(STATUSES), "request": rng.randrange(100, 5000),
        "response": rng.choice([0, rng.randrange(10**3), rng.randrange(10**6), rng.randrange(10**8)]),
        "took": rng.randrange(900), "ip": f"203.0.113.{rng.randrange(250)}" if format_name == "kong" else f"2001:db8::{rng.randrange(250)}",
    }  # fmt: skip


def _contradicting(rng: random.Random, event: dict[str, object]) -> dict[str, object]:
    """The same id with another payload: another size, status or time."""
    field = rng.choice(["response", "status", "time"])
    value = {
        "response": int(str(event["response"])) + 1,
        "status": 418,
        "time": int(str(event["time"])) + rng.choice([-1, 1]) * rng.randrange(1, 6 * 3_600_000),
    }
    return {**event, field: value[field]}


def _fact(event: dict[str, object], service: str, request: object) -> tuple[str, tuple[object, ...]]:
    keys = ("partner", "kind", "value", "time")
    return str(event["id"]), (
        *(event[k] for k in keys),
        service,
        event["method"],
        event["route"],
        event["status"],
        request,
        event["response"],
    )


def _seen(event: dict[str, object], request: int) -> Seen:
    ip = str(event["ip"])
    numbers = (int(str(event[name])) for name in ("status", "response", "took"))
    status, response, took = numbers
    network = "2001:db8:0::/48" if ":" in ip else f"{ip.rpartition('.')[0]}.0/24"
    who = f"{event['kind']}:{event['value']}"
    return Seen("", str(event["partner"]), who, int(str(event["time"])), status, request, response, took, network)


def _kong(rng: random.Random, place: float, event: dict[str, object]) -> Sent:
    record = {
        "request": {"id": event["id"], "method": event["method"], "uri": f"/v1/{event['route']}?token=hush{rng.randrange(99)}", "size": event["request"],
                    "headers": {"host": "api.example", "apikey": "canary-secret-kong"}},
        "response": {"status": event["status"], "size": str(event["response"]) if rng.random() < 0.1 else event["response"]},
        "latencies": {"request": event["took"]}, "started_at": event["time"], "client_ip": event["ip"],
        "route": {"name": event["route"]}, "service": {"name": "svc"}, "consumer": {"id": event["value"]},
    }  # fmt: skip
    seen = _seen(event, int(str(event["request"]))) if str(event["time"]).isdigit() else None
    return Sent(place, json.dumps(record).encode(), _fact(event, "svc", event["request"]), seen)


def _aws(rng: random.Random, place: float, event: dict[str, object]) -> Sent:
    record = {
        "requestId": f"{rng.getrandbits(64):x}", "extendedRequestId": event["id"], "apiId": "a1b2", "ip": event["ip"],
        "requestTimeEpoch": str(event["time"]), "httpMethod": event["method"], "resourcePath": event["route"], "status": str(event["status"]),
        "responseLength": str(event["response"]), "responseLatency": str(event["took"]),
        "apiKeyId": event["value"] if event["kind"] == "api_key" else "-", "userArn": event["value"] if event["kind"] == "iam" else "-",
        "iss": "-", "azp": "-",
    }  # fmt: skip
    if event["kind"] == "oidc":
        record["iss"], record["azp"] = str(event["value"]).split("#")
    seen = _seen(event, 0) if str(event["time"]).isdigit() else None
    return Sent(place, json.dumps(record, ensure_ascii=False).encode(), _fact(event, "a1b2", None), seen)


def _broken(rng: random.Random, format_name: str, place: float, time_ms: int, event_id: str) -> Sent:
    """A line that must be refused, and why."""
    build = _kong if format_name == "kong" else _aws
    event = _event(rng, format_name, "acme", time_ms, event_id)
    good = build(rng, place, event).line
    who = "consumer" if format_name == "kong" else "api_key"
    stray = build(rng, place, {**event, "kind": who, "value": "nobody-knows"})
    expired = build(rng, place, {**event, "value": "old-acme"})
    kinds = {
        "cut": (good[: rng.randrange(10, len(good) - 2)], "NOT_JSON"),
        "garbage": (b"upstream timed out (110: Connection timed out)", "NOT_JSON"),
        "number": (b"12345", "NOT_OBJECT"),
        "latin": (
            good[:-1].replace(b"GET", b"G\xe9T").replace(b"POST", b"P\xe9ST").replace(b"DELETE", b"D\xe9L") + b"}",
            "BAD_UTF8",
        ),
        "status": (build(rng, place, {**event, "status": 777}).line, "BAD_STATUS"),
        "negative": (build(rng, place, {**event, "response": -5}).line, "NUMBER_RANGE"),
        "stray_key": (stray.line, "UNKNOWN_CREDENTIAL"),
        "time": (build(rng, place, {**event, "time": "yesterday"}).line, "BAD_TIME"),
        "century": (build(rng, place, {**event, "time": time_ms * 100}).line, "TIME_RANGE"),
    }
    if format_name == "kong":
        kinds["expired"] = (expired.line, "CREDENTIAL_NOT_VALID")
    else:
        kinds["anonymous"] = (build(rng, place, {**event, "kind": "none"}).line, "NO_PARTNER")
    line, reason = kinds[rng.choice(sorted(kinds))]
    return Sent(place, line, reason, {stray.line: stray.seen, expired.line: expired.seen}.get(line))
