"""Verdicts: which events of an HTTP request are accepted, decided by the same decoder as in `tollbook ingest`.

Requests of one format under the same rules are decoded together: a statement takes 20 ms to plan, whatever it reads.
Accepted lines are passed on unchanged; refused ones are reported to the sender and not sent. Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode.framing import Lines, split_lines
from ingest.decode.pipeline import LIMITS, Decoder
from schemas.reasons import Reason

ROWS_MAX = 10_000
DETAIL_CHARACTERS_MAX = 200
_DERIVED = "\x01"  # the generation in derived ids; no id of a line may contain it
_NEUTRAL_MESSAGES = {
    # The decoder's details of these reasons may contain data of others.
    Reason.PARTNER_MISMATCH: "the event belongs to a partner that this sender may not report for",
    Reason.UNKNOWN_CREDENTIAL: "the key, consumer or principal of the event is unknown",
    Reason.CREDENTIAL_NOT_VALID: "the key, consumer or principal of the event was not valid at that time",
    Reason.UNVERIFIED_USER: "the user of the event may not have been checked",
    Reason.UNKNOWN_PARTNER: "the event names an unknown partner",
    Reason.TAG_NOT_ALLOWED: "this sender may not name partners",
}
_FIELDS = {
    reason: field
    for field, reasons in (
        ("id", (Reason.NO_ID, Reason.BAD_ID, Reason.CONTROL_CHAR)),
        (
            "time",
            (Reason.NO_TIME, Reason.BAD_TIME, Reason.NO_ZONE, Reason.TIME_RANGE, Reason.IN_FUTURE, Reason.TOO_LATE),
        ),
        ("status", (Reason.BAD_STATUS,)),
        (
            "partner",
            (
                Reason.NO_PARTNER,
                Reason.BAD_PARTNER,
                Reason.UNKNOWN_PARTNER,
                Reason.PARTNER_MISMATCH,
                Reason.TAG_NOT_ALLOWED,
            ),
        ),
        ("credential", (Reason.UNKNOWN_CREDENTIAL, Reason.CREDENTIAL_NOT_VALID, Reason.UNVERIFIED_USER)),
    )
    for reason in reasons
}


class RequestLines(NamedTuple):
    """The lines of a request, with its context."""

    text: bytes  # ends with a newline
    received_us: int
    has_key: bool  # whether the request has a key, so that events without ids can be deduplicated


class EventRefusal(NamedTuple):
    """A refused event. `place`: its index in the request, from 0. `item`: its index in a line with several events."""

    place: int
    item: int | None
    code: str
    field: str | None
    message: str


class Verdict(NamedTuple):
    """The result of a request. `text`: the lines to send on, as long as the input, with refused lines blanked."""

    accepted: int
    refused: Sequence[EventRefusal]
    text: bytes
    too_many: int = 0  # the number of events if it exceeds the limit: then nothing was decoded

    @property
    def events(self) -> int:
        """The number of events."""
        return self.too_many or self.accepted + len(self.refused)


def judge(requests: Sequence[RequestLines], decoder: Decoder, max_age_us: int, max_future_us: int) -> list[Verdict]:
    """A verdict for each request, in order. The rules of `decoder` must apply to all requests."""
    text = b"".join(r.text for r in requests)
    starts = np.cumsum([0, *(len(r.text) for r in requests)])
    framed = split_lines(text, 0, apart=False)  # an event is a line, and refused lines are blanked
    position = framed.lines["position"].to_numpy()
    request = np.searchsorted(starts, position, side="right") - 1
    counts = np.bincount(request, minlength=len(requests))
    first = np.searchsorted(position, starts[:-1])
    received = np.array([r.received_us for r in requests])[request]
    no_key = pa.nulls(len(position), pa.string())
    limits = pa.table([position, received - max_age_us, received + max_future_us, no_key], schema=LIMITS)
    use = pa.array((counts <= ROWS_MAX)[request])
    decoded = decoder.decode(Lines(framed.lines.filter(use), framed.unreadable), _DERIVED, limits.filter(use))

    events = decoded.events
    at = events["position"].to_numpy()
    owner = np.searchsorted(starts, at, side="right") - 1
    nameless = np.isin(at, at[_nameless(events["event_id"], requests, owner)])  # with all other events of the same line
    good = ~nameless

    refused = _entries(events.filter(pa.array(nameless)), Reason.NO_ID, _NO_ID)
    refused += [
        (r["position"], r["item"], r["reason"], r["detail"]) for r in decoded.refused.select(_REFUSED).to_pylist()
    ]
    refused.sort(key=lambda row: (row[0], row[1]))
    entries = np.concatenate([at, decoded.refused["position"].to_numpy()])
    several = set(_repeated(entries))  # lines with more than one event
    sent = set(np.intersect1d(at[good], [row[0] for row in refused]).tolist())  # lines of which an event was accepted

    refusals: list[list[EventRefusal]] = [[] for _ in requests]
    blank: list[list[int]] = [[] for _ in requests]
    for where, item, code, detail in refused:
        line = int(np.searchsorted(position, where))
        mine = int(request[line])
        refusals[mine].append(
            EventRefusal(
                line - int(first[mine]),
                item if where in several else None,
                code,
                _FIELDS.get(Reason(code)),
                _message(code, detail),
            )
        )
        if where not in sent:
            blank[mine].append(where - int(starts[mine]))
    accepted = np.bincount(owner[good], minlength=len(requests))
    return [
        Verdict(0, (), b"", int(counts[i]))
        if counts[i] > ROWS_MAX
        else Verdict(int(accepted[i]), refusals[i], _blanked(r.text, blank[i]))
        for i, r in enumerate(requests)
    ]


_REFUSED = ["position", "item", "reason", "detail"]
_NO_ID = "the event has no id, and the request has no Idempotency-Key: a retry would be counted twice"
_RefusedEntry = tuple[int, int, str, str | None]


def _nameless(
    ids: pa.ChunkedArray, requests: Sequence[RequestLines], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Events with a derived id in a request without a key: a retry could not be deduplicated."""
    derived = pc.starts_with(ids, f"@{_DERIVED}:").to_numpy(zero_copy_only=False).astype(bool)
    nameless: npt.NDArray[np.bool_] = derived & ~np.array([r.has_key for r in requests], bool)[owner]
    return nameless


def _entries(rows: pa.Table, code: Reason, message: str) -> list[_RefusedEntry]:
    return [(row["position"], row["item"], code, message) for row in rows.select(["position", "item"]).to_pylist()]


def _repeated(positions: npt.NDArray[np.int64]) -> list[int]:
    found, times = np.unique(positions, return_counts=True)
    return found[times > 1].tolist()  # type: ignore[no-any-return]


def _message(code: str, detail: str | None) -> str:
    return _NEUTRAL_MESSAGES.get(Reason(code)) or (detail or code)[:DETAIL_CHARACTERS_MAX]


def _blanked(text: bytes, lines: Sequence[int]) -> bytes:
    """`text` with the lines that begin at `lines` overwritten by spaces; nothing moves."""
    if not lines:
        return text
    changed = bytearray(text)
    for start in lines:
        end = text.find(b"\n", start)
        changed[start:end] = b" " * (end - start)
    return bytes(changed)
