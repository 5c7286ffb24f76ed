"""How far a run has come."""

from typing import NamedTuple


class Progress(NamedTuple):
    """The progress of a run: bytes of the files on disk, and entries read, including those not committed yet."""

    bytes_done: int
    bytes_total: int
    entries: int
