"""Run a command that must not outlive the process that asked for it: `python leash.py FOLDER COMMAND…`.

Writes the command's process id to standard output. When standard input ends or the parent is another one, the parent is
dead: the command is killed and FOLDER removed. When this process dies itself, Linux kills the command. Uses the
standard library alone and no path of ours, so that it starts at once.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
LOOK_S = 0.2


def die_with_parent() -> None:
    """In the child, before exec. The parent here is this process with its only thread: the signal can't come early."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(folder: str, command: list[str]) -> int:
    parent = os.getppid()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # there are no other threads here
        start_new_session=True,
    )
    print(process.pid, flush=True)
    while process.poll() is None:
        ended, _, _ = select.select([sys.stdin], [], [], LOOK_S)
        if ended or os.getppid() != parent:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
            return 1
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
