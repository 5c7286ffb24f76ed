"""`python -m benchmarks.profiled OUT COMMAND …`: run a tollbook command; at its end OUT holds a profile of its main
thread.

Times are the thread's own CPU seconds, so what the machine does beside it does not count. The rest of the process are
librdkafka's threads; OUT's neighbour `OUT.cpu` holds the seconds of the whole process.
"""

import cProfile
import sys
import time
from pathlib import Path


def main() -> None:
    out, *command = sys.argv[1:]
    from tollbook.__main__ import main as tollbook

    began = time.process_time()
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    try:
        tollbook(command)
    finally:
        profile.disable()
        profile.dump_stats(out)
        Path(f"{out}.cpu").write_text(f"{time.process_time() - began}")


if __name__ == "__main__":
    main()
