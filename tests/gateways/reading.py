"""What a gateway's log must say of the requests that were sent, and what Tollbook reads in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

import pytest

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Parser
from tests.gateways.cases import API_KEY_ID, CASES, TCP, USER, Case, Site
from tests.gateways.driver import Request, Sent, exchanged
from tests.gateways.processes import Log

ANY: Any = type(
    "Any",
    (),
    {"__repr__": lambda _: "ANY", "__eq__": lambda *_: True, "__ne__": lambda *_: False, "__hash__": lambda _: 0},
)()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = ("method", "path", "route", "status", "request_bytes", "response_bytes", "identity", "service", "host")


class Between(NamedTuple):
    """Equal to any number from `low` to `high`: a gateway counts the bytes of headers in its own form."""

    low: int
    high: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and self.low <= other <= self.high

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


class Differs(NamedTuple):
    """What a gateway says otherwise of one case, and why: a limit of its log, which its format's page names."""

    why: str
    lines: int | None = None  # instead of one for each request
    fields: Mapping[str, Any] = {}  # of each entry


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one log of a gateway is to be read. None for what it does not say."""

    format: str
    request_bytes: Callable[[Sent], int | None]
    response_bytes: Callable[[Sent], int | None]
    at_end: bool  # whether the time is that of the end of a request
    step_us: int  # the resolution of the time
    has_latency: bool
    step_ms: int = 1  # the resolution of the latency
    identities: frozenset[str] = frozenset()  # those that the log can say: "consumer", "api_key"
    trust_user: bool = False  # as the setting of the source
    constant: Mapping[str, Any] = field(default_factory=dict)  # fields that are the same for all requests
    host: Callable[[str | None], str | None] = lambda host: host  # as the gateway writes the host that was asked
    services: Mapping[str, str | None] = field(default_factory=dict)  # by the first folder of the path; "": any other
    routes: Mapping[str, str | None] = field(default_factory=dict)
    differs: Mapping[str, Differs] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)  # cases that Tollbook reads wrongly so far, and how

    def lines(self, case: Case, sent: list[Sent]) -> int:
        known = self.differs.get(case.name)
        return len(sent) if known is None or known.lines is None else known.lines

    def expected(self, case: str, sent: Sent) -> dict[str, Any]:
        """The fields of the entry of a request."""
        request = sent.request
        path = _path(request.target)
        folder = (path or "//").split("/")[1]
        usual = {
            "method": _text(request.method),
            "path": path,
            "route": self.routes.get(folder, self.routes.get("")),
            "status": sent.status,
            "request_bytes": self.request_bytes(sent),
            "response_bytes": self.response_bytes(sent),
            "identity": self._identity(folder, sent.status),
            "service": self.services.get(folder, self.services.get("")),
            "host": self.host(_host(request)),
        }
        # What the gateway refuses itself goes to no service, and it makes of what is no request what it can.
        refused = {"service": ANY, "route": ANY} if sent.status in {400, 401, 405, 501} else {}
        nothing = dict.fromkeys(("method", "path", "host", "request_bytes"), ANY) if request.raw is not None else {}
        known = self.differs.get(case)
        return usual | refused | nothing | dict(self.constant) | (dict(known.fields) if known else {})

    def _identity(self, folder: str, status: int | None) -> tuple[str, str | None]:
        if status == 200 and folder == "basic" and "consumer" in self.identities:
            return "consumer", USER.decode()
        if status == 200 and folder == "keys" and "api_key" in self.identities:
            return "api_key", API_KEY_ID
        return "none", None


class Line(NamedTuple):
    """A line of a log, and what Tollbook reads in it."""

    text: bytes
    entries: list[dict[str, Any]]


class Played(NamedTuple):
    """A case that was sent, and the lines that each log had for it."""

    sent: list[Sent]
    lines: dict[str, list[Line]]


def play(site: Site, readings: Mapping[str, Reading], pipes: Mapping[str, Log]) -> dict[str, Played]:
    """Send all cases, one after another. A marked request behind each tells where its lines end."""
    sent, spans = {}, {}
    for number, case in enumerate(CASES if site.tcp_port is None else [*CASES, *TCP]):
        starts = {name: len(pipe.lines) for name, pipe in pipes.items()}
        sent[case.name] = case.play(site)
        for name, pipe in pipes.items():
            pipe.wait(starts[name] + readings[name].lines(case, sent[case.name]), 5)
        mark = b"marker-%d-" % number
        exchanged(site.port, Request(target=b"/" + mark))
        spans[case.name] = {
            name: slice(starts[name], pipe.wait_for(mark, starts[name])) for name, pipe in pipes.items()
        }
    read = {name: _read(readings[name], pipe.lines) for name, pipe in pipes.items()}
    return {name: Played(sent[name], {log: read[log][span] for log, span in spans[name].items()}) for name in sent}


def _read(reading: Reading, lines: list[bytes]) -> list[Line]:
    parser = Parser(reading.format, trust_user=reading.trust_user)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in parser.parse(split_lines(b"".join(lines), 0)).to_pylist():
        found.setdefault(row["position"], []).append(row)
    positions = accumulate(map(len, lines), initial=0)
    return [Line(line, found.get(position, [])) for position, line in zip(positions, lines, strict=False)]


def each_case(readings: Mapping[str, Reading], *more: Case) -> list[Any]:
    """The parameters of a test of every case in every log."""
    cases = []
    for log, reading in readings.items():
        assert {*reading.differs, *reading.faults} <= {case.name for case in (*CASES, *more)}
        for case in (*CASES, *more):
            fault = reading.faults.get(case.name)
            marks = [pytest.mark.xfail(reason=fault, strict=True)] if fault else []
            cases.append(pytest.param(log, case, id=f"{log}: {case.name}", marks=marks))
    return cases


def differences(reading: Reading, case: Case, played: Played, log: str) -> list[str]:
    """How the entries differ from the requests, with the lines; empty if they do not."""
    lines, sent = played.lines[log], played.sent
    found = []
    if len(lines) != reading.lines(case, sent):
        found.append(f"{len(lines)} lines instead of {reading.lines(case, sent)}")
    rows = [row for line in lines for row in line.entries]
    if len(rows) != len(lines):
        found.append(f"{len(rows)} entries of {len(lines)} lines")
    for row, one in zip(rows, sent, strict=False):
        if row["reason"] != case.refused:
            found.append(f"refused: {row['reason']}: {row['detail']}")
        if row["reason"] is not None:
            continue
        wanted = reading.expected(case.name, one)
        got = {name: row.get(name) for name in _FIELDS}
        got["identity"] = (row["identity_kind"], row["identity_value"])
        found += [f"{k}: {got[k]!r} instead of {v!r}" for k, v in wanted.items() if v != got[k]]
        found += _clock(reading, row, one)
    return [*found, *(repr(line.text) for line in lines)] if found else []


def _clock(reading: Reading, row: dict[str, Any], sent: Sent) -> list[str]:
    """A time or a duration that cannot be that of the request.

    The gateway's clock is the client's; its log cuts or rounds.
    """
    found = []
    first, last = (sent.began_us, sent.ended_us)
    time_us = (datetime.fromisoformat(row["time"]) - _EPOCH) // timedelta(microseconds=1)
    slack = 2_000_000  # a gateway notices late that a client has gone
    if not first - reading.step_us - 2_000 <= time_us <= last + reading.step_us + (slack if reading.at_end else 2_000):
        found.append(f"time: {row['time']} is not in {first}…{last}")
    latency = row["latency_ms"]
    if (latency is not None) != reading.has_latency:
        found.append(f"latency: {latency}")
    elif latency is not None and not 0 <= latency <= (last + slack - first) / 1000 + reading.step_ms:
        found.append(f"latency: {latency} ms of {(last - first) / 1000}")
    return found


def _path(target: bytes) -> str | None:
    if b"://" in target:
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    path = target.partition(b"?")[0].partition(b"#")[0]
    return _text(path) if path.startswith(b"/") else None


def _host(request: Request) -> str | None:
    if request.method == b"CONNECT":
        return _text(request.target).partition(":")[0]
    if b"://" in request.target:
        return _text(request.target.partition(b"://")[2].partition(b"/")[0].rpartition(b"@")[2]).partition(":")[0]
    return None if request.host is None else _text(request.host).partition(":")[0]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
