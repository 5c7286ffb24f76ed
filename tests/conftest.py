"""What tests of several folders share: a real Kafka, topics that are the test's own, and a broker that may be
killed.
"""

import gc
import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import settings

from kernels import compiled
from tests import kinds, long
from tests.kafka.broker import Broker
from tests.kafka.finding import any_kafka, missing
from tests.kafka.jars import Unavailable
from tests.once import started_once

MakeTopic = Callable[..., str]

# How long an example takes says more about the machine's other work, and about first imports, than about our code.
settings.register_profile("tollbook", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)


# The output of a command depends on the width of the terminal, which the environment of a test run may set.
for variable in ("COLUMNS", "LINES"):
    os.environ.pop(variable, None)


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples of a law there are, before the modules that ask for it are imported."""
    long.QUICK = not long.LONG and config.option.markexpr in {"unit", "not slow"}
    settings.load_profile("quick" if long.QUICK else "tollbook")
    config.pluginmanager.register(Order())


@pytest.hookimpl(optionalhook=True)  # a test of the tests runs without xdist
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, since many tests wait for brokers and workers; at most four."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the import of folders without unit tests: it would take half of the time of `make unit`."""
    if config.option.markexpr == "unit" and collection_path.is_dir() and kinds.folder(collection_path) in kinds.FOLDERS:
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and none of them later: they live to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test for `make unit`, `make test` and `make test-all`."""
    kinds.assign(items)


class Order:
    """A plugin of its own, since a module has one hook of a name."""

    @staticmethod
    @pytest.hookimpl(trylast=True)  # after the order was drawn
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Put costly modules first."""
        kinds.costly_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Forbid processes and connections to a unit test and its fixtures."""
    with kinds.guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a unit test that tried to start a process or to connect, even if it swallowed the error."""
    report = yield
    tried = kinds.tried()
    if tried and report.passed:
        report.outcome = "failed"
        report.longrepr = f"a unit test starts no process and connects to nothing, but: {tried}"
    return report


def pytest_unconfigure() -> None:
    """Let go of the tests, or DuckDB reports at the end that the types which they name have leaked.

    Hypothesis measures the collector by a callback. The list of these outlives all modules, so what the callback
    reaches is never collected: its module, pytest's session, every test.
    """
    gc.unfreeze()
    gc.callbacks[:] = [each for each in gc.callbacks if each.__module__ != "hypothesis.internal.conjecture.junkdrawer"]


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka that all tests of the run share: use topics and groups named by
    `kafka_prefix`.
    """
    with started_once(pytestconfig, tmp_path_factory, "kafka", any_kafka) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="module", params=[False, True], ids=["columns", "compiled"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """By columns, and by the loops that take their place where these are loaded: for tests that must hold for both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_loaded", lambda: request.param)
        yield


@pytest.fixture
def kafka_prefix(kafka: str) -> Iterator[str]:
    """A prefix for the names of topics and groups that no other test has; topics that bear it are deleted
    afterwards.
    """
    with own_prefix(kafka) as prefix:
        yield prefix


@contextmanager
def own_prefix(bootstrap: str) -> Iterator[str]:
    """What `kafka_prefix` is, for as long as it is needed."""
    prefix = f"t{secrets.token_hex(5)}-"
    yield prefix
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    ours = [name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)]
    if ours:
        for done in admin.delete_topics(ours).values():
            done.result()


@pytest.fixture
def make_topic(kafka: str, kafka_prefix: str) -> MakeTopic:
    """`make_topic("events", partitions=3, config={…})` creates a topic of the test's own and gives its full name."""
    return topic_maker(kafka, kafka_prefix)


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker of the test's own, started: it may be killed, paused, restarted.

    Needs a JDK, whatever `kafka` is found by.
    """
    try:
        with Broker() as broker:
            yield broker
    except Unavailable as exc:
        missing([f"a broker that may be killed is started by Java: {exc}"])


def topic_maker(bootstrap: str, prefix: str = "") -> MakeTopic:
    """What `make_topic` does, for any broker. Returns when the topic's leaders are known."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def make(name: str, *, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        full = f"{prefix}{name}"
        created = admin.create_topics([NewTopic(full, partitions, 1, config=config or {})], operation_timeout=30)
        created[full].result()
        while not _led(admin, full, partitions):
            pass  # the answer to the creation may come before the metadata
        return full

    return make


def _led(admin: AdminClient, topic: str, partitions: int) -> bool:
    try:
        known = admin.list_topics(topic, timeout=10).topics[topic].partitions
    except KafkaException:
        return False
    return len(known) == partitions and all(p.leader >= 0 for p in known.values())
