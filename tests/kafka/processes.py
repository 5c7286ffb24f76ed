"""Workers of the product as processes, as an operator starts them: their logs are read as they come.

A process dies with the test run that started it, however that ends.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
WAIT_S = 90  # what takes seconds on a quiet machine
STOP_LIMIT_S = 15  # what is promised of SIGTERM
# The process asks to be killed when its parent dies, and becomes the command.
TIED = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

LogLine = Mapping[str, Any]


class Process:
    """A running command of Tollbook.

    `log_lines` holds its lines on standard error: JSON as it is, other text as `message`.
    """

    def __init__(
        self, words: Sequence[object], *, code: Sequence[str] = ("-m", "tollbook"), env: Mapping[str, str] | None = None
    ) -> None:
        """`code`: what Python runs; `env` is added to the environment."""
        self.words = [str(word) for word in words]
        self.log_lines: list[LogLine] = []
        self._changed = threading.Condition()
        self._silent = False  # it has closed its standard error
        self._running = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", TIED, *code, *self.words],
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def is_asleep(self) -> bool:
        """Whether SIGSTOP holds it (Linux)."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs, negative when a signal ended it."""
        return self._running.poll()

    def until(self, wanted: Callable[[LogLine], bool], limit_s: float = WAIT_S) -> LogLine:
        """Wait for a line that is `wanted`, past or to come; fails if the process ends without it."""
        deadline = time.monotonic() + limit_s
        seen = 0
        with self._changed:
            while True:
                for line in self.log_lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.log_lines)
                if self._silent:
                    raise AssertionError(f"{self.words[0]} ended with {self._running.wait()}: {self.tail()}")
                left = deadline - time.monotonic()
                assert left > 0, f"{self.words[0]} did not log it within {limit_s} s: {self.tail()}"
                self._changed.wait(left)

    def until_logged(self, message: str) -> LogLine:
        """Wait for a line whose message holds `message`."""
        return self.until(lambda line: message in str(line["message"]))

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the worker's own, such as /healthz."""
        port = self.until(lambda line: "metrics_port" in line)["metrics_port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 where it is not there."""
        selector = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{selector}}} " if labels else f"{name} "
        _, text = self.get("/metrics")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(wanted))

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    def ended(self, limit_s: float = WAIT_S) -> int:
        """Wait for its end; the exit code."""
        code = self._running.wait(limit_s)
        self._reader.join()
        return code

    def stop(self) -> int:
        """SIGTERM, and the end within what is promised; the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended(STOP_LIMIT_S)

    def kill(self) -> None:
        """SIGKILL; safe to repeat."""
        self._running.kill()
        self._running.wait()
        self._reader.join()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log, for people."""
        return "\n".join(json.dumps(line) for line in self.log_lines[-lines:])

    def _read(self) -> None:
        assert self._running.stderr is not None
        with self._running.stderr as errors:
            for text in errors:
                with self._changed:
                    self.log_lines.append(_parsed(text))
                    self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()


def _parsed(text: str) -> LogLine:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) and "message" in line else {"message": text.rstrip("\n")}
