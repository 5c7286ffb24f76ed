"""What a stranger may send, for tests that no input ends a process: pieces of logs, whole, cut, changed, blank, and bytes of no kind."""

from hypothesis import strategies as st

from ingest.decode import formats
from tests.ingest.cloud_lines import CASES
from tests.ingest.gateway_lines import GOOD
from tests.ingest.test_decode import HOSTILE

# Of each format texts that it reads. What has none of its own is sent everybody's.
TEXTS: dict[str, list[bytes]] = {name: [row.line.encode() for row in rows] for name, rows in GOOD.items()} | {
    name: [case.text.encode() for case in rows[0]] for name, rows in CASES.items()
}
_ALL = [text for texts in TEXTS.values() for text in texts]
BLANKS = [b"", b" ", b"\r", b"\t \r", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r", b"\x0b", b"\x0c", b"\x1c", b"\xc2\xa0"]
_STRUCTURE = [
    b"[]",
    b"{}",
    b"[{}]",
    b"[[]]",
    b"[null]",
    b'""',
    b"\\",
    b'"',
    b"{",
    b"[",
    b"}",
    b"]",
    b",",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
]
_NUMBERS = [
    b"9" * 4400,
    b"-" + b"9" * 4400,
    b"1e999999999",
    b"0" * 5000,
    b"18446744073709551616",
    b"-9223372036854775809",
    b"NaN",
]


def pieces(format_name: str) -> st.SearchStrategy[bytes]:
    """A line, or something in the place of one."""
    texts = TEXTS.get(format_name) or _ALL
    whole = st.sampled_from(texts)
    return st.one_of(
        st.sampled_from(BLANKS),
        whole,
        st.sampled_from(HOSTILE).map(lambda text: text.rstrip(b"\n")),
        st.sampled_from(_STRUCTURE + _NUMBERS),
        st.binary(max_size=40),
        st.builds(_cut, whole, st.integers(0, 1 << 12)),
        st.builds(_changed, whole, st.integers(0, 1 << 12), st.integers(0, 40), st.sampled_from(_STRUCTURE + _NUMBERS) | st.binary(max_size=9)),
    )  # fmt: skip


def blocks(format_name: str) -> st.SearchStrategy[bytes]:
    """Lines one after another; often blank ones alone."""
    ends = st.sampled_from([b"\n", b"\r\n", b"\n\n"])
    lines = st.lists(pieces(format_name), max_size=6) | st.lists(st.sampled_from(BLANKS), max_size=3)
    return st.builds(lambda found, end, last: end.join(found) + (end if last else b""), lines, ends, st.booleans())


def names() -> tuple[str, ...]:
    """All formats."""
    return formats.names()


def _cut(text: bytes, at: int) -> bytes:
    return text[: at % (len(text) + 1)]


def _changed(text: bytes, at: int, length: int, by: bytes) -> bytes:
    at %= len(text) + 1
    return text[:at] + by + text[at + length :]
