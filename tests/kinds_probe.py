"""Not collected by itself: test_kinds runs it in a pytest of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

NOBODY = ("127.0.0.1", 1)


def test_keeps_to_itself() -> None:
    one, other = socket.socketpair()
    one.close()
    other.close()


def test_starts_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_starts_a_process_and_is_not_told() -> None:
    with contextlib.suppress(RuntimeError):
        subprocess.Popen(["true"])


def test_starts_a_shell() -> None:
    os.system("true")


def test_forks() -> None:
    if os.fork() == 0:
        os._exit(0)


def test_connects() -> None:
    with socket.socket() as made:
        made.connect_ex(NOBODY)


def test_connects_elsewhere() -> None:
    def connect() -> None:
        with contextlib.suppress(RuntimeError, OSError):
            socket.create_connection(NOBODY, timeout=1)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()


@pytest.fixture(scope="module")
def process() -> Iterator[None]:
    subprocess.run([sys.executable, "-c", ""], check=True)
    return


@pytest.mark.usefixtures("process")
def test_has_a_fixture_that_starts_a_process() -> None:
    pass


@pytest.mark.integration
def test_says_that_it_starts_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.usefixtures("kafka")
def test_needs_a_broker() -> None:
    pass


@pytest.mark.slow
def test_is_slow() -> None:
    pass


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("case", range(100, 109))
def test_has_many_cases(case: int) -> None:
    pass


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


@pytest.mark.slow
@given(st.integers())
def test_names_a_type_of_duckdb(con: duckdb.DuckDBPyConnection, number: int) -> None:
    pass
