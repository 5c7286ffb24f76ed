"""The logs of workers: one JSON object per line on standard error. Control characters are escaped."""

import json
import logging
import sys
from datetime import UTC, datetime

_TEXT_MAX = 2048


class JsonLines(logging.Formatter):
    """`time`, `level`, `process`, `message`, and the fields given as `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line. A traceback becomes a field."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.name,
            "message": record.getMessage()[:_TEXT_MAX],
            **{name: _cut(value) for name, value in getattr(record, "fields", {}).items()},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-_TEXT_MAX:]
        return json.dumps(line, default=str)


def _cut(value: object) -> object:
    return value[:_TEXT_MAX] if isinstance(value, str) else value


def logger(name: str) -> logging.Logger:
    """The logger of a worker process. Call once. Warnings of libraries go to the same place."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("faust", "aiokafka", "kafka", "httpx", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return logging.getLogger(f"tollbook.{name}")
