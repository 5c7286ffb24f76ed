"""`python -m tests.kafka`: a broker to try things on, until Ctrl-C; its address is printed."""

import contextlib
import signal

from tests.kafka.broker import Broker

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), Broker() as broker:
        print(f"KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap}", flush=True)
        signal.pause()
