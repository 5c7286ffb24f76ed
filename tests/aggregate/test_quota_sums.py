"""What the quota worker adds up: the newest of each partition, old news ignored, both tables merged without loss."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregate.quota.rule import Fired, Mark
from aggregate.quota.sums import (
    NOTHING,
    PartitionTotal,
    Parts,
    Standing,
    Terms,
    fired_decoded,
    fired_encoded,
    merged,
    parts_decoded,
    parts_encoded,
    standing,
    union,
)
from schemas.kafka.totals import BadTotal, Total, decoded, messages
from schemas.quotas import ALWAYS
from tests.aggregate.quota_kafka import END, START, THRESHOLDS, total

D = Decimal
quantities = st.decimals(0, 10**15, places=9, allow_nan=False)
times = st.timedeltas(timedelta(0), timedelta(days=31)).map(START.__add__)
instants = st.none() | times
terms = st.none() | st.builds(
    Terms,
    st.sampled_from([D(4), D("10.5")]),
    st.sampled_from([(D(50),), (D(50), D(100))]),
    instants,
    st.lists(st.tuples(times, times), max_size=2).map(tuple),
)
part_maps = st.dictionaries(
    st.integers(0, 11),
    st.builds(PartitionTotal, quantities, times, st.integers(0, 9), terms, st.none() | st.integers(0, 99)),
    max_size=5,
)
marks = st.sets(
    st.builds(
        Mark, st.sampled_from([D(50), D(80), D("99.5")]), st.none() | st.sampled_from([D(4), D("10.5")]), instants
    ),
    max_size=6,
)
ledgers = st.builds(lambda fired, withdrawn: union(NOTHING, Fired(fired, withdrawn)), marks, marks)
HELD = ((START, END),)
LATER, LAST = START + timedelta(days=1), START + timedelta(days=2)


def after(
    *totals: Total, parts: Parts | None = None, fired: Fired = NOTHING, first: int | None = None
) -> tuple[Standing | None, list[str]]:
    """What stands after all of them, and the alerts as they fell due. `first` is the offset of the first."""
    now: Standing | None = None
    sent: list[str] = []
    for n, each in enumerate(totals):
        now = standing(parts or {}, fired, [(each, None if first is None else first + n)])
        if now is not None:
            parts, fired = now.parts, now.fired
            sent += [f"{a.kind} {a.threshold_percent}{' passed' if a.passed else ''}" for a in now.alerts]
    return now, sent


def test_the_newest_of_each_partition_is_added_up() -> None:
    """One partner's events are in all partitions: none alone says how much is used."""
    now, sent = after(total(300, 1), total(250, 2, part=1), total(350, 3), total(50, 1, part=7))
    assert now is not None
    assert (now.used, now.events_version, now.seen_until) == (D(650), 3, START + timedelta(hours=3))
    assert sent == ["quota 50"]


def test_old_news_changes_nothing_and_the_same_news_says_the_same() -> None:
    """A total that is delivered again after a newer one must not take usage back; one that was cut short is done
    again.
    """
    newest = total(900, 5)
    _, sent = after(total(400, 2), newest, total(400, 2))
    assert sent == ["quota 50 passed", "quota 80 passed", "quota 90"]
    assert standing({0: PartitionTotal(D(900), START, 5)}, NOTHING, [(total(400, 2), None)]) is None
    again = standing({0: PartitionTotal(D(900), newest.seen_until, 5)}, NOTHING, [(newest, None)])
    assert again is not None
    assert [a.alert_id for a in again.alerts] == [a.alert_id for a in standing({}, NOTHING, [(newest, None)]).alerts]  # type: ignore[union-attr]


def test_less_at_a_later_commit_is_a_correction() -> None:
    """It takes alerts back, once; what fired stays fired."""
    _, sent = after(total(850, 2), total(700, 3), total(690, 4), total(860, 5))
    assert sent == ["quota 50 passed", "quota 80", "withdrawn 80"]


def test_how_totals_are_batched_does_not_matter() -> None:
    """The alerts of two totals are those of one after the other, wherever the worker was stopped between."""
    one, two = total(500, 1), total(950, 2)
    _, together = after(one, two)
    first, sent = after(one)
    assert first is not None
    _, more = after(
        two, parts=parts_decoded(parts_encoded(first.parts)), fired=fired_decoded(fired_encoded(first.fired))
    )
    assert together == sent + more == ["quota 50", "quota 80 passed", "quota 90"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1200), st.integers(1, 4)), min_size=1, max_size=12))
def test_a_batch_gives_what_its_totals_give_one_by_one(news: list[tuple[int, int, int]]) -> None:
    """The sums are the same, and so are the alerts that hold at the end. What held only in between is not stated."""
    totals = [total(used, version, part=part) for part, used, version in news]
    batch = standing({}, NOTHING, [(each, n) for n, each in enumerate(totals)])
    assert batch is not None
    one_by_one: Standing | None = None
    parts: Parts = {}
    fired = NOTHING
    for n, each in enumerate(totals):
        if (now := standing(parts, fired, [(each, n)])) is not None:
            one_by_one, parts, fired = now, now.parts, now.fired
    assert one_by_one is not None
    assert (batch.parts, batch.used, batch.seen_until) == (one_by_one.parts, one_by_one.used, one_by_one.seen_until)
    reached = {t for t in THRESHOLDS if batch.used >= 10 * t}
    assert {m.threshold_percent for m in batch.fired.alerts} == reached
    assert not batch.fired.withdrawn


def test_sums_are_exact() -> None:
    """Nine decimals and 10^15 units: more digits than a decimal has by default."""
    big, small = D("999999999999999.999999999"), D("0.000000001")
    now, _ = after(total(big, 1), total(big, 1, part=1), total(small, 1, part=2))
    assert now is not None
    assert now.used == D("1999999999999999.999999999")


@pytest.mark.parametrize(
    "change",
    [
        {"meter": "gb_out"},
        {"plan": "silver"},
        {"kind": "DAY"},
        {"partner": "bolt"},
        {"start": START + timedelta(days=1)},
    ],
)
def test_what_is_another_quota_has_another_key(change: dict[str, object]) -> None:
    """Two quotas under one key would be added up."""
    assert total(1, 1).quota_key == total(2, 2, part=5).quota_key
    assert total(1, 1, **change).quota_key != total(1, 1).quota_key  # type: ignore[arg-type]


@pytest.mark.integration
@given(part_maps, ledgers)
def test_tables_hold_what_was_put_into_them(parts: Parts, fired: Fired) -> None:
    """What a changelog gives back after a crash is what was known before it."""
    assert parts_decoded(parts_encoded(parts)) == parts
    assert fired_decoded(fired_encoded(fired)) == fired


@pytest.mark.integration
@given(part_maps, part_maps, ledgers, ledgers)
def test_what_a_former_owner_writes_late_takes_nothing_back(ours: Parts, theirs: Parts, one: Fired, two: Fired) -> None:
    """A worker that lost its partition may write once more: recovery merges, and forgets neither usage nor alerts."""
    both = merged(ours, theirs)
    assert both.keys() == ours.keys() | theirs.keys()
    for number, part in ours.items():
        known = both[number]
        assert known.used >= part.used or known.events_version >= part.events_version
        assert _at_least(known.terms, part.terms), "a limit that holds since later stays"
    assert merged(both, theirs) == both
    assert set(union(one, two).alerts) == {*one.alerts, *two.alerts}
    assert set(union(one, two).withdrawn) == {*one.withdrawn, *two.withdrawn}


def _at_least(one: Terms | None, other: Terms | None) -> bool:
    since = other.limit_since if other else None
    return since is None or (one is not None and one.limit_since is not None and one.limit_since >= since)


def test_the_newest_limit_decides_whoever_tells_the_usage() -> None:
    """While workers are started again with a new catalog, some still tell the limit of before: it must not fire in
    turns.
    """
    raised = total(400, 2, limit=D(2000), limit_since=LATER)
    old = total(600, 3, part=1, limit=D(1000), limit_since=ALWAYS)
    now, sent = after(total(400, 1, limit_since=ALWAYS), raised, old, total(400, 1, limit_since=ALWAYS), old)
    assert sent == ["quota 50"], "1000 of 2000, and never 1000 of 1000"
    assert now is not None
    assert (now.rule.limit, now.rule.limit_since) == (2000, LATER)


def test_a_limit_that_was_raised_and_lowered_again_fires_again_and_a_redelivery_does_not() -> None:
    """A, B, A on Kafka: every land worker tells the same instants, and totals that come twice change nothing."""
    first = total(600, 1, limit_since=ALWAYS)
    raised = total(600, 1, limit=D(2000), limit_since=LATER)
    back = total(600, 1, limit_since=LAST)
    now, sent = after(first, raised, back, first, raised, back)
    assert sent == ["quota 50", "withdrawn 50", "quota 50"]
    assert now is not None
    parts, fired = parts_decoded(parts_encoded(now.parts)), fired_decoded(fired_encoded(now.fired))
    assert after(first, raised, back, parts=parts, fired=fired)[1] == []


def test_what_a_catalog_of_before_made_of_the_same_commit_is_old_news() -> None:
    """A meter counted more then. Delivered again behind the new limit, it would fire an alert that was never true."""
    counted_more, less = total(900, 3, limit_since=ALWAYS), total(100, 3, limit_since=ALWAYS)
    lowered = total(100, 3, limit=D(500), limit_since=LATER)
    now, _ = after(counted_more, less, lowered)
    assert now is not None
    assert after(counted_more, less, lowered, parts=now.parts, fired=now.fired)[1] == []


@pytest.mark.parametrize(
    "totals",
    [
        pytest.param([total(100, 3), total(900, 3)], id="counted less before"),
        pytest.param([total(900, 2, part=1), total(100, 2, part=1), total(450, 3)], id="counted more before"),
    ],
)
def test_totals_of_two_catalogs_at_one_commit_are_told_apart_by_their_offsets(totals: list[Total]) -> None:
    """A filter was changed and no limit. Delivered again after a restart, the totals of before change nothing."""
    now, _ = after(*totals, first=7)
    assert now is not None
    parts, fired = parts_decoded(parts_encoded(now.parts)), fired_decoded(fired_encoded(now.fired))
    for begin in range(len(totals)):
        assert after(*totals[begin:], parts=parts, fired=fired, first=7 + begin)[1] == []


def test_what_an_earlier_version_kept_is_read() -> None:
    """Its ledger knew thresholds alone, its totals no limit's instant: neither is forgotten, and nothing is sent
    again.
    """
    parts = parts_decoded(b'{"0": ["600", "2026-10-02T00:00:00+00:00", 1]}')
    fired = fired_decoded(b'{"thresholds": ["50", "80"], "withdrawn": ["80"]}')
    assert after(total(700, 2, limit_since=ALWAYS), parts=parts, fired=fired)[1] == []
    assert after(total(810, 2, limit_since=ALWAYS), parts=parts, fired=fired)[1] == []
    assert after(total(910, 2, limit_since=ALWAYS), parts=parts, fired=fired)[1] == ["quota 90"]
    assert after(total(700, 2, limit=D(700), limit_since=LATER), parts=parts, fired=fired)[1][-1] == "quota 100"


def test_a_total_of_an_earlier_version_is_read() -> None:
    """The topic is compacted: such a total may lie there for years."""
    one = total(1, 1, held=HELD)
    (message,) = messages([one])
    fields = json.loads(message.value)
    ((partition, used, seen_until),) = fields.pop("parts")
    fields |= {"schema": "tollbook.totals/1", "events_partition": partition, "used": used, "seen_until": seen_until}
    assert decoded(json.dumps(fields).encode()) == [one]
    del fields["limit_since"], fields["held"]
    (read,) = decoded(json.dumps(fields).encode())
    assert (read.limit_since, read.held) == (None, ((read.start, read.end),))


def test_the_partitions_of_a_quota_are_one_message() -> None:
    """What differs in more than the partition and its usage is another message. Its key names the partitions."""
    one, two = total(1, 5, held=HELD), total(2, 5, part=7, held=HELD)
    others = [
        total(3, 4, part=2, held=HELD),
        total(3, 5, part=3, limit=D(7), held=HELD),
        total(3, 5, partner="bolt", held=HELD),
    ]
    made = messages([one, *others, two])
    assert [decoded(message.value) for message in made] == [[one, two], *([other] for other in others)]
    assert [message.key.rpartition("|")[2] for message in made] == ["0,7", "2", "3", "0"]
    assert len({message.key for message in made}) == len(made)


def test_a_message_without_totals_is_refused() -> None:
    """To pass it over would leave an alert out."""
    (message,) = messages([total(1, 1)])
    with pytest.raises(BadTotal, match="no partition"):
        decoded(json.dumps(json.loads(message.value) | {"parts": []}).encode())
    with pytest.raises(BadTotal, match="of another"):
        decoded(b'{"schema": "of another"}')
