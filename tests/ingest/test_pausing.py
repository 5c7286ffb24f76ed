"""Which shares of refusals pause a source, what is handed on until then, and what never counts."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.framing import split_lines
from ingest.decode.pausing import WINDOW_ENTRIES, FormCheck, FormChecks, PausingLog, matching_format
from ingest.decode.pipeline import Decoder, SourceRules
from schemas.log import Fetched, Origin, Partition
from schemas.reasons import FORM, FORM_IF_ANOTHER_FITS, Reason
from schemas.tables import DEAD, FRESH_EVENTS
from tests.ingest.fixtures import OWNERS, kong, line
from tests.long import amount

EDGE = Partition("edge", "g", "edge.log")
OTHER = Partition("edge", "h", "other.log")


def refused(*reasons: str) -> pa.Table:
    """Rows of DEAD."""
    rows = [{"outcome": "refused", "reason": reason, "raw": b"nonsense", "source": "edge"} for reason in reasons]
    return pa.Table.from_pylist(rows, DEAD.schema)


def decoded(*lines: bytes, format_name: str = "kong") -> tuple[pa.Table, pa.Table]:
    result = Decoder(format_name, SourceRules("edge"), OWNERS).decode(split_lines(b"".join(lines), 0), "g")
    return result.events, result.refused


def test_what_a_stranger_can_bring_about_is_no_question_of_form() -> None:
    """Unknown callers control credentials and tags, and the bytes, ids and sizes of their requests."""
    attribution = {
        Reason.NO_PARTNER, Reason.BAD_PARTNER, Reason.UNKNOWN_PARTNER, Reason.TAG_NOT_ALLOWED, Reason.UNKNOWN_CREDENTIAL,
        Reason.CREDENTIAL_NOT_VALID, Reason.PARTNER_MISMATCH, Reason.KEY_MISMATCH, Reason.UNKNOWN_METER, Reason.ID_CONFLICT,
    }  # fmt: skip
    chosen = {
        Reason.BAD_UTF8,
        Reason.TOO_LARGE,
        Reason.NO_ID,
        Reason.BAD_ID,
        Reason.CONTROL_CHAR,
        Reason.NUMBER_RANGE,
        Reason.NEGATIVE,
    }
    late = {Reason.TOO_LATE, Reason.IN_FUTURE}
    assert not (FORM | FORM_IF_ANOTHER_FITS) & (attribution | chosen | late)
    for reason in attribution | chosen | late:
        form = FormCheck("kong", 0)
        form.add(1_000, refused(*[reason] * 1_000))
        assert not form.is_bad


@pytest.mark.parametrize(
    ("percent", "bad", "is_bad"),
    [(50, 100, False), (50, 101, True), (0, 0, False), (0, 1, True), (99, 199, True), (100, 200, False)],
)
def test_the_share_is_measured_exactly(percent: int, bad: int, is_bad: bool) -> None:  # a case
    """The agreed share itself is allowed; one more entry is too many. 100 never pauses."""
    form = FormCheck("kong", percent)
    form.add(200, refused(*["NOT_JSON"] * bad))
    assert form.is_full
    assert form.is_bad == is_bad


def test_old_good_entries_do_not_outweigh_new_bad_ones() -> None:
    """A format that changes after ten million lines is noticed as soon as one that is wrong from the start."""
    form = FormCheck("kong", 50)
    form.add(10_000_000, refused())
    form.add(WINDOW_ENTRIES, refused(*["NOT_JSON"] * WINDOW_ENTRIES))
    assert form.is_bad


@pytest.mark.integration
def test_lines_that_are_no_requests_count_only_where_another_format_reads_them() -> None:
    """Error logs and failed handshakes are harmless, and anyone can cause many; another gateway's requests are a wrong format."""
    _, harmless = decoded(*[b'{"level":"error","msg":"no request"}\n'] * 300)
    assert set(harmless["reason"].to_pylist()) == {"NOT_A_REQUEST"}
    form = FormCheck("kong", 50)
    form.add(300, harmless)
    assert not form.is_bad
    _, foreign = decoded(*(line(kong(f"id-{n}")) for n in range(300)), format_name="cloudflare")
    assert set(foreign["reason"].to_pylist()) == {"NOT_A_REQUEST"}
    form = FormCheck("cloudflare", 50)
    form.add(300, foreign)
    assert (form.is_bad, form.fits) == (True, "kong")
    assert matching_format(harmless, "kong") is None


class Pieces:
    """A log with given batches: accepted and refused entries of each."""

    def __init__(self, *pieces: tuple[int, int], partition: Partition = EDGE) -> None:
        self._pieces = [*pieces]
        self._partition = partition
        self.at = 0

    def start(self, reader: object) -> None:
        self.reader = reader

    def more(self, *pieces: tuple[int, int]) -> None:
        self._pieces += pieces

    def poll(self) -> Fetched | None:
        if not self._pieces:
            return None
        good, bad = self._pieces.pop(0)
        start, self.at = self.at, self.at + good + bad
        events = pa.Table.from_pylist([{"event_id": str(start + n)} for n in range(good)], FRESH_EVENTS)
        return Fetched(
            self._partition, start, self.at, events, refused(*["NOT_JSON"] * bad), [Origin("g", start, self.at)]
        )


def handed(log: PausingLog) -> list[tuple[int, int]]:
    """The offsets of all batches that it passes on."""
    return [(fetched.from_offset, fetched.to_offset) for fetched in iter(log.poll, None)]


def test_nothing_is_handed_on_of_what_pauses_a_source() -> None:
    """Earlier batches are passed on; the next reader gets the rest as new."""
    log = PausingLog(Pieces((500, 0), (100, 100), (0, 200), (500, 0)), "kong", 50, ends=True)
    assert handed(log) == [(0, 500), (500, 700)]
    assert log.paused is not None
    assert (log.paused.partition, log.paused.from_offset, log.paused.entries, log.paused.refused) == (
        EDGE,
        700,
        200,
        200,
    )
    assert log.paused.reasons == {"NOT_JSON": 200}
    assert log.poll() is None, "it stays paused"


def test_a_log_that_ends_is_judged_however_short_it_is() -> None:
    """A file with three lines in another format is a wrong format, too."""
    log = PausingLog(Pieces((1, 2)), "kong", 50, ends=True)
    assert handed(log) == []
    assert log.paused is not None


def test_a_log_that_goes_on_holds_few_bad_entries_back_until_more_have_come() -> None:
    """One bad line alone is not a wrong format. It waits for more entries; if none come, it pauses the source."""
    pieces = Pieces((0, 1))
    log = PausingLog(pieces, "kong", 50, ends=False)
    assert handed(log) == []
    assert log.paused is None
    pieces.more((1, 0))
    assert handed(log) == [(0, 1), (1, 2)]
    pieces.more(*[(0, 1)] * (WINDOW_ENTRIES - 2))
    assert handed(log) == []
    assert log.paused is not None
    assert log.paused.from_offset == 2


def test_what_is_held_of_a_partition_that_is_taken_away_is_dropped() -> None:
    """The next owner reads it again: keeping it would count it twice."""

    class Reader:
        def assigned(self, partitions: object) -> dict[Partition, int | None]:
            return {}

        def revoked(self, partitions: object) -> None:
            return None

    pieces = Pieces((0, 5))
    log = PausingLog(pieces, "kong", 50, ends=False)
    log.start(Reader())
    assert handed(log) == []
    log.revoked([OTHER])
    pieces.more((6, 0))
    log.revoked([EDGE])
    assert handed(log) == [(5, 11)]


@pytest.mark.integration
@settings(max_examples=amount(8, 25))
@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), max_size=12), st.integers(0, 100), st.booleans())
def test_what_is_handed_on_is_whole_and_in_order(pieces: list[tuple[int, int]], percent: int, ends: bool) -> None:
    """A prefix of the log without gaps; the whole log if nothing pauses and it ends."""
    log = PausingLog(Pieces(*pieces), "kong", percent, ends=ends)
    got = handed(log)
    total = sum(good + bad for good, bad in pieces)
    assert [start for start, _ in got] == [0, *(end for _, end in got)][: len(got)]
    if ends and log.paused is None:
        assert (got[-1][1] if got else 0) == total
    if percent == 100:
        assert log.paused is None


def test_sources_of_a_topic_are_judged_apart() -> None:
    """A bad source is paused for good in this format; the others continue."""
    forms = FormChecks(lambda source: 100 if source == "accepted" else 50)
    bad = refused(*["NOT_JSON"] * 200)
    assert forms.judge("kong", "edge", 200, bad)
    assert forms.judge("kong", "edge", 200, refused())
    assert not forms.judge("kong", "other", 200, refused())
    assert not forms.judge("kong", "accepted", 200, bad)
    assert not forms.judge("nginx", "edge", 200, refused())
