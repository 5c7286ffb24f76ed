"""Processes and pipes of the tests: a gateway that is ready when it accepts connections, and logs that are read as
they are written.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_S = 30.0
_END = b"\0end of the log\n"


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Log:
    """Lines of a log, which are there as soon as the gateway writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[bytes] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, count: int, timeout_s: float = 10.0) -> bool:
        """Whether there are `count` lines, as soon as there are, or after the time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.lines) >= count, timeout_s)

    def wait_for(self, text: bytes, start: int, timeout_s: float = 10.0) -> int:
        """The number of the first line from `start` on that contains the text."""
        with self._changed:
            found = self._changed.wait_for(lambda: any(text in line for line in self.lines[start:]), timeout_s)
            assert found, f"{self.path.name}: no line with {text!r} within {timeout_s} s; {self.lines[start:]}"
            return next(i for i in range(start, len(self.lines)) if text in self.lines[i])

    def _add(self, lines: list[bytes]) -> None:
        with self._changed:
            self.lines += [line + b"\n" for line in lines if line]
            self._changed.notify_all()

    def _read(self) -> None:
        raise NotImplementedError


class LogPipe(Log):
    """A named pipe that a gateway takes for its log file."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)  # a writer of our own: the pipe does not end when the gateway closes it
        super().__init__(path)

    def close(self) -> None:
        os.write(self._fd, b"\n" + _END)
        self._reader.join()
        os.close(self._fd)
        self.path.unlink()

    def _read(self) -> None:
        rest = b""
        while True:
            *whole, rest = (rest + os.read(self._fd, 1 << 16)).split(b"\n")
            if whole and whole[-1] + b"\n" == _END:
                return
            self._add(whole)


class LogSocket(Log):
    """A socket like /dev/log, to which a gateway sends its lines one by one."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        super().__init__(path)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(_END, str(self.path))
        self._reader.join()
        self._socket.close()
        self.path.unlink()

    def _read(self) -> None:
        while (line := self._socket.recv(1 << 17)) != _END:
            self._add([line.rstrip(b"\n\0")])


@contextmanager
def running(command: Sequence[str | Path], ports: Sequence[int], folder: Path, **more: object) -> Iterator[int]:
    """A process that accepts connections on these ports; ended by its id."""
    errors = folder / "errors.txt"
    with errors.open("wb") as err:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=err, stderr=err, **more
        )
    try:
        for port in ports:
            _connect(port, process, errors)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _connect(port: int, process: "subprocess.Popen[bytes]", errors: Path) -> None:
    """Return when the process accepts a connection.

    A refused one returns at once, so each round waits for the process's end.
    """
    for _ in range(int(READY_S / 0.02)):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            return
    raise AssertionError(f"{process.args}: nothing listens on {port}\n{errors.read_text(errors='replace')[-3000:]}")
