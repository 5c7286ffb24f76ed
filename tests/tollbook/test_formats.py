"""`tollbook formats detect`: a proposal with its reasons, from any file, and an exit code for scripts."""

import gzip

from tests.ingest.gateway_lines import GOOD
from tests.tollbook.fixtures import Here, requests


def test_a_packed_log_has_its_format_proposed_with_reasons(here: Here) -> None:
    """What reads it, how much of it, and why not all of it."""
    log = here.log("a.log.gz", gzip.compress(b"".join([*requests(3), b"no line of Kong's\n"])))
    shown = here.tollbook("formats", "detect", log)
    assert shown.code == 0
    assert "kong reads the most lines" in shown.out
    assert "python -m ingest parse --format kong FILE" in shown.out
    first, *_ = here.tollbook("formats", "detect", log, "--json").json
    assert first == {
        "format": "kong",
        "entries": 4,
        "accepted": 3,
        "fields": 36,
        "refused": "NOT_JSON",
        "recognised": 0,
    }


def test_formats_that_read_the_same_text_are_named_together(here: Here) -> None:
    """A tie is told, not decided by the alphabet."""
    shown = here.tollbook("formats", "detect", here.log("a.log", GOOD["apache"][0].line.encode()))
    assert "apache" in shown.out
    assert "nginx" in shown.out
    assert "read it equally well" in shown.out


def test_a_log_that_nothing_reads_ends_with_1_and_says_what_to_do(here: Here) -> None:
    """For scripts; for people the way to a format of their own."""
    shown = here.tollbook("formats", "detect", here.log("a.log", b"Hello diary\n"))
    assert (shown.code, shown.err) == (1, "")
    assert "No format can read these lines" in shown.out
    assert "docs/formats.md" in shown.out


def test_a_file_that_is_not_there_is_one_complaint(here: Here) -> None:
    """As everywhere: one line, code 2."""
    ended = here.tollbook("formats", "detect", here.folder / "missing.log")
    assert ended.code == 2
    assert "missing.log: No such file or directory" in ended.complaints[0]
