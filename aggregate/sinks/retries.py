"""Repeats of one notice to one sink, with random waits that double, until it is delivered or the caller stops."""

from collections.abc import Callable
from typing import NamedTuple

from tenacity import RetryCallState, Retrying, retry_if_result, wait_random_exponential

from aggregate.sinks.sink import Answer, Outcome


class Backoff(NamedTuple):
    """Random waits between attempts: up to `first_s`, doubled each time, at most `max_s`."""

    first_s: float = 2
    max_s: float = 300


def repeated(
    attempt: Callable[[], Outcome],
    backoff: Backoff,
    *,
    rest: Callable[[float], None],
    goes_on: Callable[[], bool],
    report: Callable[[Outcome, int, float], None],
) -> Answer:
    """The last answer. AGAIN: `goes_on` returned false.

    `report` receives each failure, its number, and the wait that follows.
    """
    last = Outcome(Answer.AGAIN)

    def once() -> Answer:
        nonlocal last
        if not goes_on():
            return Answer.AGAIN
        last = attempt()
        return last.answer

    def before(state: RetryCallState) -> None:
        report(last, state.attempt_number, round(state.next_action.sleep, 1) if state.next_action else 0.0)

    retrying = Retrying(
        sleep=rest,
        wait=wait_random_exponential(multiplier=backoff.first_s, max=backoff.max_s),
        retry=retry_if_result(lambda answer: answer is Answer.AGAIN),
        stop=lambda _: not goes_on(),
        before_sleep=before,
        retry_error_callback=lambda _: Answer.AGAIN,
    )
    answer: Answer = retrying(once)
    return answer
