"""The positions up to which log files were sent to Kafka, in a file that is written when the broker has them.

The file saves work only. Without it, all lines are sent again and recognized by their positions.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.files.fingerprint import KnownFile
from ingest.files.known_logs import DigestCache
from lake import atomic_file, lock
from tollbook.local_run.active import Busy


class BadPositions(Exception):
    """The file of positions cannot be used. The message says why, and what to do."""


class Positions:
    """The positions of one source. Without a file they last as long as the process."""

    def __init__(self, path: Path | None, source: str) -> None:
        """Raises BadPositions."""
        self._path = path
        self._source = source
        self._others = {} if path is None else _read(path)
        try:
            rows = [KnownFile(**row) for row in self._others.pop(source, [])]
            others = [KnownFile(**{**row, "source": name}) for name, each in self._others.items() for row in each]
        except TypeError as exc:
            raise _bad(path, exc) from exc
        self.known: Mapping[str, KnownFile] = {row.generation: row for row in rows}
        self.others = others
        self.cache = DigestCache()

    def keep(self, known: Mapping[str, KnownFile]) -> None:
        """Write the positions atomically. Those of other sources are kept."""
        if self._path is None or known == self.known:
            return
        document = {**self._others, self._source: [k._asdict() for k in known.values()]}
        atomic_file.replace(self._path, json.dumps(document, indent=1).encode())
        self.known = dict(known)


@contextmanager
def positions(path: Path | None, source: str) -> Iterator[Positions]:
    """The positions in a file, for one command at a time. Raises BadPositions, Busy."""
    if path is None:
        yield Positions(None, source)
        return
    try:
        with lock.held(path.with_name(f".{path.name}.lock")):
            yield Positions(path, source)
    except lock.Taken:
        raise Busy(f"another load is using {path}; give each its own --positions, or wait until it ends") from None


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise _bad(path, exc) from exc
    if not isinstance(document, dict):
        raise _bad(path, "not an object")
    return document


def _bad(path: Path | None, why: object) -> BadPositions:
    return BadPositions(
        f"{path} is not a positions file ({why}); move it away: the logs are then sent again, and no line is counted twice"
    )
