"""How far log files were sent to Kafka: a small file of their own, written when the broker has everything below it.

It saves work, not correctness: without it all is sent again, and the lines are known by where they stood.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.files.fingerprint import KnownFile
from lake import atomic_file, lock
from tollbook.local_run.run import Busy


class BadPositions(Exception):
    """The file of positions cannot be used. The message says why, and what to do."""


class Positions:
    """The positions of one source in a file; of no file they are kept for as long as the process lives."""

    def __init__(self, path: Path | None, source: str) -> None:
        """Raises BadPositions."""
        self._path = path
        self._source = source
        self._others = {} if path is None else _read(path)
        try:
            rows = [KnownFile(**row) for row in self._others.pop(source, [])]
        except TypeError as exc:
            raise _bad(path, exc) from exc
        self.known: Mapping[str, KnownFile] = {row.generation: row for row in rows}

    def keep(self, known: Mapping[str, KnownFile]) -> None:
        """Write them, whole or not at all, whenever the machine stops. Those of other sources stay as they are."""
        if self._path is None or known == self.known:
            return
        said = {**self._others, self._source: [k._asdict() for k in known.values()]}
        atomic_file.replace(self._path, json.dumps(said, indent=1).encode())
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
        raise Busy(f"another load is at work with {path}; give each its own --positions, or wait for it") from None


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        said = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise _bad(path, exc) from exc
    if not isinstance(said, dict):
        raise _bad(path, "no object")
    return said


def _bad(path: Path | None, why: object) -> BadPositions:
    return BadPositions(
        f"{path} is no file of positions ({why}); move it away: the files are then sent again, and their lines are known"
    )
