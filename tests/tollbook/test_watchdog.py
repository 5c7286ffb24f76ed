"""The watchdog: it ends what hangs, and nothing else."""

import json
import logging
import subprocess
import sys

from tests.tollbook.fixtures import ROOT
from tollbook.workers.watchdog import EXIT_STALLED, Watchdog

# A step that hangs where no Python runs, or only once in a while; the loop is the workers' own.
HANGING = """
import itertools, signal, sys, threading
from tollbook.workers import logs, loop
steps = itertools.count()
def step():
    if next(steps) == 3:
        {hang}
sys.exit(loop.run(logs.logger("land"), loop.WorkerOptions(watchdog_s=0.2), step, end=lambda: None))
"""


def run(hang: str) -> "subprocess.CompletedProcess[str]":
    code = HANGING.format(hang=hang)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_silence_is_measured_from_the_last_beat() -> None:
    """What health says of a worker that is slow comes from here. The limit is far away: nothing ends this process."""
    now = [100.0]
    dog = Watchdog(1e9, logging.getLogger("test"), clock=lambda: now[0])
    now[0] = 130.0
    assert dog.silent_s == 30.0
    dog.beat()
    assert dog.silent_s == 0.0
    now[0] = 131.5
    assert dog.silent_s == 1.5
    dog.stop()


def test_a_step_that_hangs_ends_the_process() -> None:
    """Also one that holds a lock for good: the exit code asks for a new start, and the last line says why."""
    done = run("lock = threading.Lock(); lock.acquire(); lock.acquire()")
    assert done.returncode == EXIT_STALLED
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["level"], last["reason"]) == ("error", "STALLED")
    assert "no progress" in last["message"]


def test_steps_that_are_made_keep_it_quiet() -> None:
    """Five times the limit, in steps that are each shorter: a busy worker is not a hanging one. SIGTERM ends it
    well.
    """
    done = run("pass\n    threading.Event().wait(0.01)\n    next(steps) > 100 and signal.raise_signal(signal.SIGTERM)")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1])["message"] == "stopped on request"


def test_a_worker_that_ends_is_let_go() -> None:
    """Its last commits may take longer than a step may: a stopped watchdog ends nobody."""
    code = (
        "import logging, threading; from tollbook.workers.watchdog import Watchdog\n"
        "dog = Watchdog(0.05, logging.getLogger()); dog.stop(); threading.Event().wait(0.5)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
