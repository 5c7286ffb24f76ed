"""What stands on the screen: text from logs, files and catalogs is text there, whatever it holds, and nothing is
left out.
"""

import csv
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import REMEDY, Reason
from tests.billing.formulas import FORMULAS
from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import PARTNERS, ROOT, T0_MS, Here, requests, write_catalog
from tollbook.cli import terminal
from tollbook.cli.figures import aligned, number
from tollbook.cli.terminal import Screen, shortened, shown, table, words

HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] [/] :smile: \x07\x08\r\x00 \u202e \x9b2J \N{TAB}end"


def printed(draw: Callable[[Screen], None], monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    """What a screen of some width sends to a terminal that knows colours."""
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    screen.file = io.StringIO()
    screen._force_terminal = True
    screen._color_system = None
    draw(screen)
    return screen.file.getvalue()


@given(st.text())
def test_text_is_shown_without_a_character_that_could_move_or_colour(text: str) -> None:
    """Whatever the bytes of a log: on the screen there are only characters that are printed, and line ends."""
    result = shown(text)
    assert all(c.isprintable() or c in "\n\u00a0\u3000" or c.isspace() for c in result)
    assert not set(result) & {"\x1b", "\r", "\x07", "\x08", "\x9b", "\t", "\x0b", "\x0c", "\x85", "\u2028"}
    assert shown(result) == result


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda screen: screen.print(HOSTILE), id="a line"),
        pytest.param(lambda screen: screen.print(words(HOSTILE, (HOSTILE, ""))), id="words"),
        pytest.param(lambda screen: screen.print(grid(HOSTILE)), id="a table's title, head and cell"),
    ],
)
def test_hostile_text_is_text_everywhere(draw: Callable[[Screen], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """No escape sequence is sent, no markup is read, no smiley is drawn."""
    sent = printed(draw, monkeypatch, columns=1000)
    assert "\x1b" not in sent
    assert "[bold]x[/bold] [/] :smile:" in sent
    assert "\\x1b[31mred\\x1b[0m" in sent


def grid(text: str) -> terminal.Grid:
    view = table(text, text, ">number")
    view.row(text, text)
    return view


@pytest.mark.parametrize("columns", [20, 80])
def test_a_value_that_does_not_fit_is_folded_and_nothing_of_it_is_lost(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path or an id that ends in … cannot be copied."""
    value = "".join(f"{n:03}" for n in range(60))
    view = table(None, "i", ">nnnnnn")
    view.row(value, "xxxxxxx")
    sent = printed(lambda screen: screen.print(view), monkeypatch, columns)
    assert all(len(text) <= columns for text in sent.splitlines())
    assert "…" not in sent
    assert re.sub(r"[^0-9]", "", sent) == value
    assert (sent.count("x"), sent.count("n"), sent.count("i")) == (7, 6, 1)


def test_a_number_that_does_not_fit_is_folded_and_never_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,234 for 1,234,567 would be a wrong number, not a narrow one."""
    view = table(None, ">a", ">b")
    view.row("1234567", "1234567")
    sent = printed(lambda screen: screen.print(view), monkeypatch, columns=9)
    assert sorted(re.sub(r"[^0-9]", "", sent)) == sorted("1234567" * 2)


def test_a_value_beyond_all_measure_is_cut_and_says_how_long_it_is() -> None:
    """A line of a megabyte must not roll everything else off the screen."""
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 1_000_000) == "x" * 200 + " … (1,000,000 characters)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", "0"), ("1234567.5", "1,234,567.5"), ("-1234", "-1,234"), ("-0.5", "-0.5"), ("1E+6", "1,000,000")],
)
def test_numbers_have_groups_of_three(value: str, expected: str) -> None:
    """1129483 and 11129483 look alike."""
    from decimal import Decimal

    assert number(Decimal(value)) == expected


def test_decimal_points_of_a_column_stand_below_each_other() -> None:
    """0.1 above 0.09 must not look like less."""
    from decimal import Decimal

    assert aligned([Decimal("0.1"), Decimal("0.0925"), Decimal(12345)]) == ["0.1000", "0.0925", "12,345.0000"]
    assert aligned([Decimal(1), Decimal(22)]) == ["1", "22"]
    assert aligned([]) == []


def test_only_the_terminal_module_makes_text_for_the_screen() -> None:
    """Text that is built elsewhere would go around its rules: markup, control characters, raw styles."""
    for path in (ROOT / "tollbook").glob("*.py"):
        if path.name not in {"terminal.py", "progress.py"}:
            source = path.read_text()
            assert not re.search(
                r"rich\.(text|markup|console|table)|from rich import|\bprint\(", source.replace("out.print(", "")
            ), path.name


@pytest.fixture
def hostile(here: Here) -> Here:
    """A lake in which every text that came from outside is hostile: file name, path, route, id, raw lines, partner's
    name.
    """
    write_catalog(here.catalog, partners=PARTNERS.replace("name: Acme Inc", 'name: "[red]Acme[/red] :smile:"'))
    lines = [
        *requests(3, route__name=f"/{HOSTILE}/" + "r" * 5000),
        line(kong("id-hostile", consumer={"id": HOSTILE}, request__uri=f"/{HOSTILE}")),
        f"no JSON {HOSTILE}\n".encode(),
        b"\xff\xfe no UTF-8 \x1b[31m\n",
        line(kong("id-long", consumer={"id": "c" * 3000})),
    ]
    name = os.fsdecode(b"log \x1b[31m[red] \xff.log")
    log = here.log(name, *lines, b'{"half": "a line \x1b[31m')
    ended = here.run(log)
    assert ended.code == 0
    assert_harmless(ended.out)
    assert "ends with an unfinished line" in ended.out
    return here


def assert_harmless(text: str, *, whole: bool = False) -> None:
    """Only printed characters and line ends; and, unless a text is asked for whole, no line so long that it buries
    the rest.
    """
    assert not [c for c in text if not c.isprintable() and c != "\n" and not c.isspace()]
    assert not set(text) & {"\x1b", "\r", "\x07", "\x9b", "\u202e"}
    assert whole or all(len(found) < 2000 for found in text.splitlines())


def test_no_command_lets_what_came_from_outside_onto_the_screen_as_it_is(hostile: Here) -> None:
    """Clients choose what a log contains. Commands print that text and never run it."""
    lake, catalog, october = ["--lake", hostile.lake], ["--catalog", hostile.catalog], ["--period", "2026-10"]
    letters = hostile.tollbook("dead", "list", *lake, "--json").json["entries"]
    seen = {
        "usage": hostile.tollbook("usage", "acme", *lake, *catalog, *october),
        "dead": hostile.tollbook("dead", "list", *lake),
        **{f"dead {row['letter']}": hostile.tollbook("dead", "show", row["letter"], *lake) for row in letters},
        "verify": hostile.tollbook("verify", *lake),
        "check": hostile.tollbook("catalog", "check", hostile.catalog),
        "close": hostile.close("--accept-refused", "unknown clients"),
        "rate": hostile.tollbook("invoice", "rate", *lake, *catalog, *october),
        "issue": hostile.tollbook("invoice", "issue", *lake, *october, "--now", "2026-11-05"),
        "show": hostile.tollbook("invoice", "show", "S-2026-000001", *lake),
        "proved": hostile.tollbook("invoice", "verify", *lake),
    }
    for name, ended in seen.items():
        assert (ended.code, ended.err) == (0, "")
        assert_harmless(ended.out, whole=name.startswith("dead "))
    assert "[red]Acme[/red] :smile:" in seen["usage"].out
    assert "\\x1b[31mred" in seen["usage"].out
    assert "log \\x1b[31m[red] \\xff.log" in seen["dead"].out
    assert "UNKNOWN_CREDENTIAL" in seen["dead"].out


def test_json_is_plain_ascii_whatever_came_from_outside(hostile: Here) -> None:
    """A terminal acts on C1 control characters, too, which JSON does not escape by itself."""
    shown_ = hostile.tollbook("dead", "list", "--lake", hostile.lake, "--json")
    assert shown_.out.isascii()
    assert not set(shown_.out) & {"\x1b", "\x7f"}
    assert len(shown_.json["entries"]) == 4


def test_dead_letters_as_csv_hold_no_formula_and_no_control_character(here: Here) -> None:
    """The file is opened in a spreadsheet, and clients choose what its lines contain."""
    raws = [text.encode() for text in FORMULAS if "\n" not in text and text.strip()] + [b"-2+3\x1b[31m red"]
    assert here.run("--accept-form-errors", here.log("a.log", *(raw + b"\n" for raw in raws))).code == 0
    ended = here.tollbook("dead", "list", "--lake", here.lake, "--csv", "--limit", 99)
    assert (ended.code, ended.err) == (0, "")
    assert_harmless(ended.out.replace("\r\n", "\n"))
    rows = list(csv.DictReader(io.StringIO(ended.out, newline="")))
    assert [row["reason"] for row in rows] == ["NOT_JSON"] * len(raws)
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if re.search(r"""(^|[",;|\t])\s*[=+\-@\uff1d\uff0b\uff0d\uff20]""", cell)]
    assert rows[-1]["raw"] == "'-2+3\\x1b[31m red"
    assert all(REMEDY[Reason(row["reason"])] == row["remedy"] for row in rows)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("columns", [80, 120])
def test_every_screen_of_a_month_fits_the_terminal(here: Here, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, so none is broken where nobody meant it; nothing ends in an ellipsis."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lake, catalog, october = ["--lake", here.lake], ["--catalog", here.catalog], ["--period", "2026-10"]
    screens = [
        here.run(here.log("a.log", *requests(120, T0_MS), b"no JSON\n")),
        here.tollbook("usage", "acme", *lake, *catalog, *october),
        here.tollbook("dead", "list", *lake),
        here.tollbook(
            "dead", "show", here.tollbook("dead", "list", *lake, "--json").json["entries"][0]["letter"], *lake
        ),
        here.tollbook("dead", "redrive", *lake, *catalog, "--format", "kong", "--source", "edge"),
        here.tollbook("verify", *lake),
        here.tollbook("catalog", "check", here.catalog),
        here.tollbook("formats"),
        here.tollbook("formats", "kong"),
        here.tollbook("formats", "aws_apigw"),
        here.tollbook("formats", "detect", here.folder / "a.log"),
        here.close(),
        here.tollbook("invoice", "rate", *lake, *catalog, *october),
    ]
    for ended in screens:
        assert (ended.code, ended.err) == (0, "")
        assert all(len(text.rstrip()) <= columns for text in ended.out.splitlines())
        assert not re.search(r"\b20\d\d-\d?\n|\b20\d\d-\d\d-\d?\n", ended.out), "a date is broken"


def test_without_a_terminal_nothing_is_wrapped(here: Here) -> None:
    """grep and awk read lines."""
    assert here.run(here.log("a.log", *requests(3))).code == 0
    [books] = [
        text for text in here.tollbook("verify", "--lake", here.lake).out.splitlines() if text.startswith("Books:")
    ]
    assert books == "Books: 3 entries = 3 counted + 0 duplicates + 0 conflicts + 0 refused; unexplained: 0"


def test_what_the_terminal_cannot_write_is_escaped(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a locale has an ASCII terminal; a name with an umlaut must not end the command."""
    write_catalog(here.catalog, partners=PARTNERS.replace("Acme Inc", "Ägypten 🐫"))
    assert here.run(here.log("a.log", *requests(3))).code == 0
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    from tollbook.cli.app import run

    words_ = ["usage", "acme", "--catalog", str(here.catalog), "--lake", str(here.lake), "--period", "2026-10"]
    assert run(words_) == 0
    assert b"\\xc4gypten \\U0001f42b, 2026-10" in raw.getvalue()
    assert Path(here.lake).is_dir()
