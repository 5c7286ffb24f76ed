"""Digests of the text of a log: of all bytes before an offset, computed as the text is read.

A text is cut into chunks of CHUNK_BYTES. The digest of its first n bytes is BLAKE2b over one NH sum for each whole chunk,
followed by the bytes after the last whole chunk. NH, the hash of UMAC (RFC 4418), adds a key to each 32-bit word and sums
the products of pairs of words; only it touches every byte. The keys are fixed, so that digests can be compared later.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ingest.decode.framing import Text

CHUNK_BYTES = 1 << 16
HEAD_BYTES = 4096
_DIGEST_BYTES = 8
_HEAD_MARKS = 64
_KEYS: npt.NDArray[np.uint32] = np.frombuffer(hashlib.shake_128(b"text of a log").digest(CHUNK_BYTES), "<u4")
_HALF = len(_KEYS) // 2


Marks = Mapping[int, str]  # offset → digest of the text before it


class TextDigest:
    """The digest of the text that was given so far. `size` is the number of its bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._chunks = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._rest = b""

    def update(self, text: Text) -> None:
        """Append `text`."""
        self.size += len(text)
        if self._rest:
            missing = CHUNK_BYTES - len(self._rest)
            self._rest += text[:missing]
            text = text[missing:]
            if len(self._rest) < CHUNK_BYTES:
                return
            self._chunks.update(_sums(self._rest))
        whole = len(text) // CHUNK_BYTES * CHUNK_BYTES
        if whole:
            self._chunks.update(_sums(text[:whole]))
        self._rest = bytes(text[whole:])

    def value(self) -> str:
        """The digest, in hexadecimal digits."""
        digest = self._chunks.copy()
        digest.update(self._rest)
        return digest.hexdigest()

    def copy(self) -> "TextDigest":
        """The same state, to be continued by itself."""
        copied = TextDigest()
        copied.size, copied._chunks, copied._rest = self.size, self._chunks.copy(), self._rest
        return copied


def _sums(text: Text) -> bytes:
    """The sum of each chunk of `text`, which is whole chunks."""
    whole = np.frombuffer(text, np.uint8)
    found = np.zeros(len(whole) // CHUNK_BYTES, np.uint64)
    for i in range(len(found)):
        halves = whole[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES].view("<u4") + _KEYS
        found[i] = np.dot(halves[:_HALF].astype(np.uint64), halves[_HALF:].astype(np.uint64))
    return found.astype("<u8", copy=False).tobytes()


def head_marks(head: bytes) -> Marks:
    """The marks in the first HEAD_BYTES of a text: after its first lines, and at HEAD_BYTES if the text is as long."""
    ends: list[int] = []
    end = 0
    while len(ends) < _HEAD_MARKS - 1 and (end := head.find(b"\n", end, HEAD_BYTES) + 1) > 0:
        ends.append(end)
    if len(head) >= HEAD_BYTES and HEAD_BYTES not in ends:
        ends.append(HEAD_BYTES)
    return {end: digest(head[:end]) for end in ends}


def later_mark(offset: int) -> int:
    """The first mark after an offset: a power of two, from HEAD_BYTES on."""
    return max(HEAD_BYTES, 1 << offset.bit_length())


def digest(text: bytes) -> str:
    """The digest of a short text."""
    whole = TextDigest()
    whole.update(text)
    return whole.value()


def encoded(marks: Marks) -> str:
    """Marks as text, in order."""
    return " ".join(f"{offset}:{digest}" for offset, digest in sorted(marks.items()))


def decoded(text: str) -> Marks:
    """Marks that were encoded."""
    pairs = (each.split(":") for each in text.split())
    return {int(offset): digest for offset, digest in pairs}


class RecordedText:
    """The digest and the marks of a text that is read on from `start`. `before` are the bytes before that.

    `digest` is the one of the text before `start`, `marks` those of its head; they are recorded again if the lake has none.
    """

    def __init__(self, start: int, before: bytes, digest: TextDigest, marks: Marks) -> None:
        assert digest.size == start, "it is the digest of the text before"
        self.digest = digest.copy()
        self._head = before if start < HEAD_BYTES else b""
        self._from = start
        self._marks = dict(marks)

    def update(self, text: Text) -> None:
        """Append the next bytes."""
        if len(self._head) == self.digest.size < HEAD_BYTES:
            self._head += bytes(text[: HEAD_BYTES - len(self._head)])
            self._marks |= {at: each for at, each in head_marks(self._head).items() if at > self._from}
        while (mark := later_mark(self.digest.size)) <= self.digest.size + len(text):
            part = mark - self.digest.size
            self.digest.update(text[:part])
            text = text[part:]
            self._marks[mark] = self.digest.value()
        self.digest.update(text)

    def taken(self) -> str:
        """The marks since the last call, encoded."""
        marks, self._marks, self._from = encoded(self._marks), {}, self.digest.size
        return marks
