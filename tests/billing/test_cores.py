"""Documents are made by all cores, and it does not show in what comes out."""

from collections.abc import Iterator

import pytest

from billing.invoicing.render.cores import on_all_cores


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(on_all_cores(lambda n: n * n, range(500))) == [n * n for n in range(500)]


def test_few_are_begun_before_one_is_taken() -> None:
    """A month of ten thousand partners is not held in memory."""
    begun = 0

    def items() -> Iterator[int]:
        nonlocal begun
        while True:
            begun += 1
            yield begun

    found = on_all_cores(lambda n: n, items())
    assert next(found) == 1
    assert begun < 1_000
    found.close()  # type: ignore[attr-defined]


def test_the_first_failure_is_raised_and_no_more_is_begun() -> None:
    made: list[int] = []

    def make(n: int) -> int:
        if n == 20:
            raise ValueError("the disk is full")
        made.append(n)
        return n

    with pytest.raises(ValueError, match="the disk is full"):
        for _ in on_all_cores(make, range(100_000)):
            pass
    assert len(made) < 1_000
