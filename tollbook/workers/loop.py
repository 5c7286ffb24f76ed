"""The main loop of all worker processes: steps until SIGTERM, with a watchdog and metrics, and a clear exit code.

Exit codes for a supervisor: 0 stopped on request · 2 fix the cause before a restart · 70 a bug or a hang · 75 restart.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from confluent_kafka import KafkaException

from lake.errors import Fenced, LakeError
from schemas.halts import Halt, Halted
from tollbook.kafka import errors
from tollbook.workers import metrics
from tollbook.workers.watchdog import Watchdog


class WorkerOptions(NamedTuple):
    """The options of every worker."""

    metrics: str = "127.0.0.1:0"
    watchdog_s: float = 60.0
    drain_s: float = 10.0
    leave_s: float = 13.0  # from the signal to the end, whatever the broker does; supervisors kill after about 15


def run(
    log: logging.Logger,
    options: WorkerOptions,
    step: Callable[[], object],
    *,
    end: Callable[[], None],
    wrong: Callable[[], list[str]] = list,
) -> int:
    """Call `step` until SIGTERM or SIGINT, then `end`. `wrong` returns the reasons why the process is unhealthy."""
    with _stop_signals(log, options.leave_s) as stopped:
        dog = Watchdog(options.watchdog_s, log)
        port = metrics.serve(options.metrics, lambda: [*wrong(), *_silence(dog, options)])
        log.info("started", extra={"fields": {"metrics_port": port, "pid": os.getpid()}})
        code = 0
        try:
            while not stopped.is_set():
                step()
                dog.beat()
            end()
            log.info("stopped on request")
        except Halted as exc:
            log.error(str(exc), extra={"fields": {"reason": exc.reason}})  # noqa: TRY400  # a message, not a traceback
            code = 75 if exc.reason.passes else 2
        except Fenced as exc:
            metrics.FENCED.inc()
            log.warning(
                "another worker owns this worker's partitions: restarting", extra={"fields": {"detail": str(exc)}}
            )
            code = 75
        except KafkaException as exc:
            error = exc.args[0]
            remedy = errors.remedy(error)
            text = f"Kafka failed: {error.str()} ({error.name()}); {remedy or 'restarting'}"
            log.error(text, extra={"fields": {"reason": Halt.KAFKA}})  # noqa: TRY400
            code = 75 if remedy is None else 2
        except LakeError as exc:
            log.error(str(exc), extra={"fields": {"reason": "LAKE"}})  # noqa: TRY400
            code = 2
        except OSError as exc:
            text = f"{exc.filename or 'disk'}: {exc.strerror or exc}; free or repair it: the next start continues where this one stopped"
            log.error(text, extra={"fields": {"reason": "DISK"}})  # noqa: TRY400
            code = 75
        except Exception:  # the top loop: an unexpected error ends the process, and nothing of its batch is committed
            log.exception("this is a bug in Tollbook; please report this line", extra={"fields": {"reason": "BUG"}})
            code = 70
        dog.stop()
    return code


def left(code: int) -> int:
    """Return code 0, or end the process with another code.

    Closing a consumer that is still open would wait for its broker.
    """
    if code:
        logging.shutdown()
        os._exit(code)
    return code


def _silence(dog: Watchdog, options: WorkerOptions) -> list[str]:
    return [f"no progress for {dog.silent_s:.0f} s"] if dog.silent_s > options.watchdog_s / 2 else []


@contextlib.contextmanager
def _stop_signals(log: logging.Logger, leave_s: float) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set. A process that takes longer than `leave_s` afterwards is ended.

    A pipe receives the signal at once, while Python's own handlers wait until the main thread returns from a C call.
    """
    stopped, out = threading.Event(), threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = (signal.SIGTERM, signal.SIGINT)

    def listen() -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while (byte := pipe.read(1)) and byte[0] not in numbers:
                pass
        if byte and not out.wait(leave_s):
            log.error(
                "still running %g s after the signal: ending now; nothing is lost", leave_s, extra={"fields": {"reason": Halt.KAFKA}}
            )  # fmt: skip
            os._exit(75)

    kept = {s: signal.signal(s, lambda *_: stopped.set()) for s in numbers}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=listen, name="stop", daemon=True).start()
    try:
        yield stopped
    finally:
        out.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
        for number, handler in kept.items():
            signal.signal(number, handler)
