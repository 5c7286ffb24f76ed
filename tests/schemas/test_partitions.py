"""The partition of a key is Kafka's, for any bytes, and the same however the keys lie in memory."""

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from schemas.kafka.partitions import murmur2, partition_of_key, partitions_of, partitions_of_keys
from tests.conftest import MakeTopic

pytestmark = pytest.mark.usefixtures("either_way")

# What Kafka's own tests expect of its murmur2, as Java's signed integers.
KNOWN = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
KEYS = st.lists(st.text(max_size=40) | st.text(alphabet="ab\0é🙂", max_size=9), max_size=40)


def plain(key: bytes) -> int:
    """Murmur2 of one key, byte by byte, as a textbook would write it."""
    h = 0x9747B28C ^ len(key)
    for i in range(0, len(key) - 3, 4):
        k = int.from_bytes(key[i : i + 4], "little") * 0x5BD1E995 % 2**32
        k = (k ^ k >> 24) * 0x5BD1E995 % 2**32
        h = h * 0x5BD1E995 % 2**32 ^ k
    rest = key[len(key) // 4 * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 % 2**32
    h = (h ^ h >> 13) * 0x5BD1E995 % 2**32
    return h ^ h >> 15


@pytest.mark.integration
def test_known_hashes() -> None:
    """Both the columns and the plain form that judges them agree with Kafka."""
    found = murmur2(pa.array(list(KNOWN))).view(np.int32).tolist()
    assert found == list(KNOWN.values())
    assert [plain(key.encode()) for key in KNOWN] == [n % 2**32 for n in KNOWN.values()]


@pytest.mark.integration
@given(KEYS)
def test_any_keys_hash_as_one_by_one(keys: list[str]) -> None:
    """Keys of many lengths, empty ones and none at all: a hash is the key's alone, not its neighbours'."""
    assert murmur2(pa.array(keys, pa.string())).tolist() == [plain(key.encode()) for key in keys]


@given(KEYS, st.integers(0, 40), st.integers(1, 64))
def test_a_slice_has_the_partitions_of_its_part(keys: list[str], first: int, partitions: int) -> None:
    """Arrow slices and chunks share buffers; the offsets must be the slice's own."""
    array = pa.array(keys, pa.string())
    chunked = pa.chunked_array([array[first:], array[:first], array[:0]], pa.string())
    expected = [(plain(key.encode()) & 0x7FFFFFFF) % partitions for key in keys[first:] + keys[:first]]
    assert partitions_of_keys(chunked, partitions).tolist() == expected
    assert (
        partitions_of_keys(array[first:].cast(pa.large_string()), partitions).tolist() == expected[: len(keys[first:])]
    )


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=30)), max_size=30))
def test_the_key_of_an_event_is_source_and_id_and_nothing_else(events: list[tuple[str, str]]) -> None:
    """A resend with another partner, time or size must meet its first copy; coding by dictionary changes nothing."""
    source = pa.chunked_array([pa.array([s for s, _ in events], pa.string())])
    event_id = pa.chunked_array([pa.array([e for _, e in events], pa.string())])
    expected = [(plain(f"{s}\0{e}".encode()) & 0x7FFFFFFF) % 12 for s, e in events]
    assert partitions_of(source, event_id, 12).tolist() == expected
    assert partitions_of(source.dictionary_encode(), event_id, 12).tolist() == expected


@pytest.mark.integration
def test_more_rows_than_a_block_stay_in_order() -> None:
    """Blocks are only for the cache's sake."""
    keys = [f"{'k' * (i % 13)}{i}" for i in range(40_000)]
    assert murmur2(pa.array(keys)).tolist() == [plain(key.encode()) for key in keys]


def test_a_null_has_no_partition() -> None:
    """An event without an id is refused long before; here it would be a bug, not partition 0."""
    with pytest.raises(ValueError, match="1 keys of 2 are null"):
        murmur2(pa.array(["a", None]))


@pytest.mark.integration
@pytest.mark.sampled(keep=1)
def test_partitions_are_those_that_a_producer_chooses(kafka: str, make_topic: MakeTopic) -> None:
    """librdkafka with `murmur2_random`, Java and this function must agree, or a resend by another program goes
    elsewhere.
    """
    topic = make_topic("spread", partitions=12)
    keys = [f"edge-{i % 3}\0{'x' * (i % 17)}{i * 7919}" for i in range(300)]
    chosen: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random", "log_level": 0})
    for key in keys:
        producer.produce(
            topic, b"", key.encode(), on_delivery=lambda _, m: chosen.setdefault(m.key().decode(), m.partition())
        )
    assert producer.flush(30) == 0
    assert partitions_of_keys(pa.array(keys), 12).tolist() == [chosen[key] for key in keys]
    assert [partition_of_key(key, 12) for key in keys[:20]] == [chosen[key] for key in keys[:20]]
    assert len(set(chosen.values())) == 12
