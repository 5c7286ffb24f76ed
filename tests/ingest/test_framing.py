"""Bytes to lines: nothing is lost, whatever the ends of lines and the encoding."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.decode.documents import BOM, LINE_BYTES_MAX
from ingest.decode.framing import BAD_BYTES, split_lines

pytestmark = pytest.mark.usefixtures("either_way")


@pytest.mark.integration
@given(
    st.lists(st.sampled_from([b"\n", b"\x0b", b"\x8a", b"\0", b"\xff", b"ab"]), max_size=60),
    st.sampled_from([0, 1, 262_140]),
)
@example([b"\n", b"\x0b", b"ab"], 0)
def test_a_line_ends_at_a_newline_and_at_nothing_like_it(parts: list[bytes], before: int) -> None:
    """Wherever it stands in a word or a slice: bytes with a bit more or less, next to one, end nothing."""
    text = b"x" * before + b"".join(parts)
    found = split_lines(text, 0).lines["position"].to_pylist()
    ends = [0, *(i + 1 for i, b in enumerate(text) if b == 10)]
    assert found == [a for a, b in zip(ends, [*ends[1:], len(text)], strict=True) if text[a:b].strip()]


@pytest.mark.integration
@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    st.booleans(),
    st.integers(0, 10**12),
)
def test_every_line_that_is_not_blank_comes_out_at_its_offset(lines: list[bytes], closed: bool, start: int) -> None:
    """With and without a last newline; positions are offsets in the text."""
    text = b"\n".join(lines) + (b"\n" if closed else b"")
    framed = split_lines(text, start)
    expected, at = [], start
    for one in text.split(b"\n"):
        mark = len(one) - len(one.removeprefix(BOM))
        at, one = at + mark, one[mark:]  # noqa: PLW2901
        if one.strip():
            expected.append((at, one))
        at += len(one) + 1
    assert framed.lines["position"].to_pylist() == [place for place, _ in expected]
    unreadable = set(framed.unreadable["position"].to_pylist())
    for (place, one), got in zip(expected, framed.lines["line"].to_pylist(), strict=True):
        if place not in unreadable:
            assert got.encode().rstrip(b"\n") == one


def test_carriage_returns_blank_lines_and_a_byte_order_mark_do_no_harm() -> None:
    """What editors and Windows leave behind."""
    framed = split_lines(b"\xef\xbb\xbf{}\r\n\r\n\n  \n[1]", 0)
    assert framed.lines["position"].to_pylist() == [3, 13]
    assert [text.strip() for text in framed.lines["line"].to_pylist()] == ["{}", "[1]"]


def test_a_byte_order_mark_before_any_line_is_passed_over() -> None:
    """Files with marks are joined by `cat`, and records of a topic are read together: a line counts the same wherever it stands."""
    framed = split_lines(b"{}\n" + BOM + b"[1]\n" + BOM + b"\n", 7)
    assert framed.lines["position"].to_pylist() == [7, 13]
    assert framed.lines["line"].to_pylist() == ["{}\n", "[1]\n"]


def test_a_line_in_another_encoding_is_told_apart_from_damaged_bytes() -> None:
    """The remedy differs: one is shipped wrongly, the other is broken."""
    framed = split_lines(b"good\n" + "x".encode("utf-16") + b"\n\xc3(\n", 0)
    assert framed.unreadable["reason"].to_pylist() == ["BAD_ENCODING", "BAD_UTF8"]


def test_a_line_that_is_no_text_or_too_long_is_set_apart_and_its_neighbours_stay() -> None:
    """Reason, size and hash of the whole line; only a beginning is shown."""
    framed = split_lines(b"good\n\xff\xfa\n" + b"x" * (LINE_BYTES_MAX + 1) + b"\nlast\n", 0)
    assert framed.unreadable["reason"].to_pylist() == ["BAD_UTF8", "TOO_LARGE"]
    shown = framed.lines["line"].to_pylist()
    assert [shown[0], shown[1], shown[3]] == ["good\n", chr(BAD_BYTES + 0xFF) + chr(BAD_BYTES + 0xFA) + "\n", "last\n"]
    assert len(shown[2]) < 5000


@pytest.mark.parametrize("at", [0, 1, 2], ids=["in the first slice", "in the middle", "in the last"])
def test_a_line_that_is_no_text_is_noticed_wherever_it_lies(at: int) -> None:
    """Text is looked through in slices: one is enough that is not plain."""
    raw = [b"x" * 999 + b"\n"] * 900
    raw[at * 449] = b"\xff" * 999 + b"\n"
    framed = split_lines(b"".join(raw), 0)
    assert framed.unreadable["reason"].to_pylist() == ["BAD_UTF8"]
    assert framed.unreadable["position"].to_pylist() == [at * 449_000]
    assert framed.lines.num_rows == 900
