"""A gateway that writes its log and has it rotated, while something follows it."""

import gzip
import random
import shutil
from pathlib import Path

import pyarrow as pa

from tests.tollbook.fixtures import MINUTE_MS, T0_MS, requests


class Gateway:
    """Writes to `<folder>/access.log`; every line is another request."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.path = folder / "access.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self.lines = 0
        self._rng = rng
        self._half = b""
        self._rotations = 0

    def write(self, count: int) -> None:
        """So many lines more; the last one perhaps without its end so far."""
        text = self._half + b"".join(requests(count, T0_MS + self.lines * MINUTE_MS))
        self.lines += count
        keep = self._rng.choice([0, 0, 30])
        with self.path.open("ab") as file:
            file.write(text[: len(text) - keep])
        self._half = text[len(text) - keep :]

    def end_line(self) -> None:
        with self.path.open("ab") as file:
            file.write(self._half)
        self._half = b""

    def rotate(self) -> None:
        """By rename or by copytruncate, at a line's end; sometimes an older log is packed."""
        self.end_line()
        self._rotations += 1
        rotated = self.folder / f"access.log.{self._rotations}"
        if self._rng.random() < 0.5:
            self.path.rename(rotated)
        else:
            shutil.copyfile(self.path, rotated)
        self.path.write_bytes(b"") if self.path.exists() else self.path.touch()
        if self._rotations > 1 and self._rng.random() < 0.7:
            self._pack(self.folder / f"access.log.{self._rotations - 1}")

    def _pack(self, path: Path) -> None:
        if not path.exists():
            return
        text = path.read_bytes()
        to, packed = (
            (".zst", pa.compress(text, codec="zstd", asbytes=True))
            if self._rng.random() < 0.5
            else (".gz", gzip.compress(text))
        )
        path.with_name(path.name + to).write_bytes(packed)
        path.unlink()
