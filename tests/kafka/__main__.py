"""A broker to try things on.

Alone it runs until Ctrl-C and its address is printed; with a command behind it, as long as that.

`python -m tests.kafka COMMAND …` appends `--bootstrap-servers ADDRESS` to the command. Then KAFKA_BOOTSTRAP_SERVERS, if
it is set, names a broker to use instead.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kafka.broker import Broker
from tests.kafka.jars import Unavailable


@contextmanager
def _address() -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with Broker() as broker:
        yield broker.bootstrap


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        try:
            if sys.argv[1:]:
                with _address() as address:
                    sys.exit(subprocess.run([*sys.argv[1:], "--bootstrap-servers", address], check=False).returncode)
            with Broker() as broker:
                print(f"KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap}", flush=True)
                signal.pause()
        except Unavailable as exc:
            sys.exit(f"error: no Kafka: {exc}; set KAFKA_BOOTSTRAP_SERVERS, or install Java 17 and Maven")
