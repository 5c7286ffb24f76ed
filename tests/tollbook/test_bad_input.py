"""Bad input: one clear line for each problem that says what is wrong and how to fix it, an exit code, nothing half
written.
"""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from billing.catalog import loading as catalogs
from lake.lake import Lake
from tests.aggregate.fixtures import now
from tests.tollbook.fixtures import MINUTE_MS, PARTNERS, PRICES, T0_MS, Ended, Here, requests, write_catalog
from tollbook.local_run import run

Words = list[object]


def files_below(folder: Path) -> dict[str, int]:
    """Every file and its size: what a command that does nothing leaves as it is."""
    return {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


def complained(ended: Ended, code: int, *patterns: str) -> None:
    """Exactly these lines, this exit code, and nothing for programs to misread."""
    lines = ended.complaints
    assert len(lines) == len(patterns), lines
    for text, pattern in zip(lines, patterns, strict=True):
        assert re.search(pattern, text), f"{text!r} does not say {pattern!r}"
    assert ended.code == code
    assert ended.out == ""


# What is wrong with a run before it begins: how to bring it about, and what the one line says.
WRONG_RUNS: dict[str, tuple[Callable[[Here], Words], str]] = {
    "unknown format": (
        lambda here: ["--format", "punchcards", here.log("a.log", *requests(3))],
        r"unknown format 'punchcards'; there are: .*kong",
    ),
    "no such file": (lambda here: ["missing.log"], r"missing\.log: no such file, folder or pattern; check the path"),
    "a pattern without a match": (lambda here: [f"{here.folder}/*.gz"], r"\*\.gz: no such file, folder or pattern"),
    "a pattern that is none": (lambda here: [f"{here.folder}/**x"], r"\*\*x: no such file, folder or pattern"),
    "an empty name": (lambda here: [""], r"\(an empty name\): no such file"),
    "an empty folder": (lambda here: [made(here.folder / "empty")], r"empty: this folder has no files"),
    "a link to nothing": (lambda here: [link(here)], r"link\.log: this link is broken \(gone\.log\); check its target"),
    "a name that is too long": (lambda here: ["x" * 300], r"File name too long; check the path"),
    "no catalog": (lambda here: ["--catalog", here.folder / "nowhere", here.log("a.log")], r"nowhere.*no catalog here; pass"),
    "a lake that is a file": (lambda here: ["--lake", here.log("a.log", *requests(1)), here.folder / "a.log"], r"a\.log.*check the path"),
    "a lake that cannot be made": (lambda here: ["--lake", "/proc/lake", here.log("a.log", *requests(1))], r"check the path and its perm"),
    "a lake that looks like a URI": (lambda _: ["--lake", "lake%20x", "x"], r"--lake.*lake%20x contains %20, which is an escape"),
    "a foreign folder for a lake": (
        lambda here: ["--lake", here.log("foreign/mine.txt").parent, here.log("a.log", *requests(1))],
        r"foreign` is not empty and is not a Tollbook lake: .*\. Name an empty or a new folder\.",
    ),
    "a source with a slash": (lambda here: ["--source", "a/b", "x"], r"--source 'a/b' is not a valid name; use"),
    "a source of nothing": (lambda here: ["--source", " ", "x"], r"--source ' ' is not a valid name; use"),
    "a source with a control character": (lambda here: ["--source", "a\x1b[31m", "x"], r"--source 'a\\x1b\[31m' is not a valid name"),
    "a source that is too long": (lambda here: ["--source", "s" * 129, "x"], r"is not a valid name; use 1 to 128 characters"),
    "commits of nothing": (lambda here: ["--commit-entries", "0", "x"], r"--commit-entries.*>= 1\. See `tollbook run --help`"),
    "blocks of nothing": (lambda here: ["--block-bytes", "0", "x"], r"--block-bytes.*>= 1\. See `tollbook run --help`"),
    "a number that is none": (lambda here: ["--block-bytes", "many", "x"], r"--block-bytes.*\"many\".* See `tollbook run --help`"),
    "a time that is none": (lambda here: ["--received", "yesterday", "x"], r"--received.*\"yesterday\".* See `tollbook run --help`"),
    "an unknown option": (lambda here: ["--frobnicate", "x"], r"Unknown option: --frobnicate\..* See `tollbook run --help`"),
    "no file": (lambda here: [], r"FILES requires an argument\. See `tollbook run --help`"),
}  # fmt: skip


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def link(here: Here) -> Path:
    path = here.folder / "link.log"
    path.symlink_to("gone.log")
    return path


@pytest.mark.parametrize("case", WRONG_RUNS)
def test_a_run_that_cannot_begin_says_why_and_writes_nothing(here: Here, case: str) -> None:
    """A scheduler sees 2: repeating the command does not help. Its user sees what to change."""
    prepare, pattern = WRONG_RUNS[case]
    words = prepare(here)
    before = files_below(here.folder)
    given = {word for word in words if str(word).startswith("--")}
    usual = {"--catalog": here.catalog, "--lake": here.lake, "--format": "kong", "--source": "edge"}
    defaults = [item for name, value in usual.items() if name not in given for item in (name, value)]
    complained(here.tollbook("run", *defaults, *words), 2, pattern)
    assert files_below(here.folder) == before


BROKEN_CATALOGS = {
    "no YAML": ({"prices": "plans: [}"}, [r"prices\.yaml:1: invalid YAML: .*; correct the indentation or quoting"]),
    "an unknown section": ({"prices": PRICES + "\ncustomers: []\n"}, [r"prices\.yaml:\d+: customers: unknown section; a catalog has"]),
    "a reference to nothing": (
        {"partners": PARTNERS.replace("plan: small", "plan: large")},
        [r"partners\.yaml:\d+: partners\.acme\.plans\.0\.plan: no plans? .*'large'.* small"],
    ),
    "two mistakes in two files": (
        {"partners": PARTNERS.replace("Etc/UTC", "Mars/Olympus"), "prices": PRICES.replace("EUR", "XYZ")},
        [r"partners\.yaml:\d+: .*unknown time zone 'Mars/Olympus'; use", r"prices\.yaml:\d+: .*unknown currency 'XYZ'; known"],
    ),
}  # fmt: skip


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize("case", BROKEN_CATALOGS)
def test_a_broken_catalog_shows_all_its_problems_and_nothing_is_read(here: Here, case: str) -> None:
    """A run under half a catalog would refuse lines that are fine: it does not begin."""
    changes, patterns = BROKEN_CATALOGS[case]
    write_catalog(here.catalog, **changes)
    complained(here.run(here.log("a.log", *requests(3))), 2, *patterns)
    assert not here.lake.exists()
    write_catalog(here.catalog)
    assert here.run(here.folder / "a.log").code == 0
    assert here.balanced(3)


def half_gzip(here: Here) -> Path:
    packed = gzip.compress(b"".join(requests(2000)))
    return here.log("half.log.gz", packed[: len(packed) // 2])


def damaged_gzip(here: Here) -> Path:
    packed = bytearray(gzip.compress(b"".join(requests(2000))))
    packed[-8:-4] = b"\0\0\0\0"  # its checksum
    return here.log("damaged.log.gz", bytes(packed))


def half_zstd(here: Here) -> Path:
    packed = pa.compress(b"".join(requests(2000)), codec="zstd", asbytes=True)
    return here.log("half.log.zst", packed[: len(packed) // 2])


def pipe(here: Here) -> Path:
    path = here.folder / "pipe.log"
    os.mkfifo(path)
    return path


UNREADABLE: dict[str, tuple[Callable[[Here], Path], str]] = {
    "half a gzip": (half_gzip, r"half\.log\.gz: the gzip file ends too early; copy it again, then repeat the command"),
    "a damaged gzip": (damaged_gzip, r"damaged\.log\.gz: damaged gzip .*; copy it again, then repeat the command"),
    "half a zstd": (half_zstd, r"half\.log\.zst: the zstd file ends too early; copy it again, then repeat the command"),
    "a pipe": (pipe, r"pipe\.log: not a regular file but a folder, pipe or device; write its content to a file first"),
    "a file that cannot be read": (lambda _: Path("/proc/self/mem"), r"/proc/self/mem: Input/output error; "),
}


# Files that end too early: their whole lines count, among them those of the good file.
KEPT = {"half a gzip", "half a zstd"}


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(here: Here, case: str) -> None:
    """One bad file of a hundred must not keep the others out, and must not go unnoticed: code 1."""
    prepare, pattern = UNREADABLE[case]
    bad, good = prepare(here), here.log("good.log", *requests(10, T0_MS + 5 * MINUTE_MS, status=201))
    ended = here.run(bad, good)
    assert ended.code == 1
    [complaint] = ended.complaints
    assert re.search(pattern, complaint), complaint
    if case not in KEPT:
        assert ended.out.startswith("10 entries: 10 counted")
        assert here.balanced(10)
    else:
        assert re.match(r"\d+ entries: \d+ counted, 10 duplicates, 0 conflicts, 0 refused", ended.out), ended.out
    if bad.suffix in {".gz", ".zst"}:
        bad.write_bytes(gzip.compress(b"".join(requests(2000))))
        again = here.run(bad, good)
        assert again.code == 0
        assert case in KEPT or again.out.startswith("2,000 entries")
        assert here.balanced(2010)


@pytest.mark.parametrize("first", ["damaged", "whole"])
@pytest.mark.slow
def test_a_damaged_copy_of_a_log_does_not_keep_the_whole_one_from_being_read(here: Here, first: str) -> None:
    """Both begin with the same bytes, so they are the same log; the readable one counts, in whichever order they
    come.
    """
    damaged, whole = damaged_gzip(here), here.log("whole.log", *requests(2000))
    ended = here.run(*((damaged, whole) if first == "damaged" else (whole, damaged)))
    assert ended.out.startswith("2,000 entries: 2,000 counted")
    assert [c.partition(":")[0] for c in ended.complaints] == [str(damaged)]
    assert ended.code == 1


# Commands that read a lake. Each is tried on what is no lake.
READERS: dict[str, Callable[[Here], Words]] = {
    "verify": lambda here: ["verify"],
    "usage": lambda here: ["usage", "acme", "--catalog", here.catalog, "--period", "2026-10"],
    "dead list": lambda here: ["dead", "list"],
    "dead show": lambda here: ["dead", "show", "5a0c41d2e8f7"],
    "dead redrive": lambda here: ["dead", "redrive", "--catalog", here.catalog, "--format", "kong", "--source", "edge"],
    "invoice close": lambda here: ["invoice", "close", "--catalog", here.catalog, "--period", "2026-10"],
    "invoice rate": lambda here: ["invoice", "rate", "--catalog", here.catalog, "--period", "2026-10"],
    "invoice issue": lambda here: ["invoice", "issue", "--period", "2026-10"],
    "invoice show": lambda here: ["invoice", "show", "S-2026-000001"],
    "invoice verify": lambda here: ["invoice", "verify"],
    "invoice unbilled": lambda here: ["invoice", "unbilled"],
    "credits statement": lambda here: ["credits", "statement", "acme", "--catalog", here.catalog],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("lake", ["missing", "foreign"])
def test_what_is_no_lake_is_named_with_the_remedy(here: Here, reader: str, lake: str) -> None:
    """A mistyped path must never look like an empty lake."""
    folder = here.folder / lake
    if lake == "foreign":
        here.log("foreign/mine.txt", b"mine")
    words = READERS[reader](here)
    complained(
        here.tollbook(*words, "--lake", folder), 2, rf"{lake}` is not a Tollbook lake: .*\. Run `tollbook run --lake"
    )
    assert not (here.folder / "missing").exists()


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(
    ("marker", "code", "pattern"),
    [
        pytest.param(
            json.dumps({"format": 999}), 2, r"has lake format 999; this version reads \d+: upgrade", id="newer"
        ),
        pytest.param('{"form', 1, r"tollbook-lake\.json is damaged .*; restore it from a backup", id="damaged"),
    ],
)
@pytest.mark.parametrize("reader", ["verify", "run"])
def test_a_lake_of_another_format_is_left_alone(here: Here, reader: str, marker: str, code: int, pattern: str) -> None:
    """A lake that a later version wrote may mean other things by the same names."""
    log = here.log("a.log", *requests(3))
    assert here.run(log).code == 0
    (here.lake / "tollbook-lake.json").write_text(marker)
    before = files_below(here.lake)
    complained(here.run(log) if reader == "run" else here.tollbook("verify", "--lake", here.lake), code, pattern)
    assert files_below(here.lake) == before


def test_a_lake_without_one_of_its_files_is_named(here: Here) -> None:
    """A lost file is no bug of Tollbook's and no reason to try again: the lake comes back from a backup."""
    assert here.run(here.log("a.log", *requests(3))).code == 0
    for part in (here.lake / "rollups").rglob("*.parquet"):
        part.unlink()
    ended = here.tollbook("usage", "acme", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10")
    complained(ended, 1, r"\.parquet is missing; restore it from a backup")


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with ten requests in October."""
    folder = tmp_path_factory.mktemp("landed")
    (folder / "a.log").write_bytes(b"".join(requests(10)))
    book = catalogs.load(write_catalog(folder / "catalog"))
    run.run(Lake(folder / "lake"), book, [folder / "a.log"], format_name="kong", source="edge", now=now)
    return folder / "lake"


@pytest.fixture
def at_landed(here: Here, landed: Path) -> Here:
    shutil.copytree(landed, here.lake)
    return here


OCTOBER = ["--period", "2026-10"]
NAMED: dict[str, tuple[Words, int, str]] = {
    "unknown partner": (["usage", "nobody", "CATALOG", *OCTOBER], 2, r"no partner 'nobody' in the catalog; known ids: acme"),
    "unknown reason": (["dead", "list", "--reason", "BORED"], 2, r"unknown reason 'BORED'; known reasons: BAD_UTF8, "),
    "a negative limit": (["dead", "list", "--limit", "-1"], 2, r"--limit.*>= 0\. See `tollbook dead list --help`"),
    "unknown invoice": (["invoice", "show", "S-1"], 2, r"no invoice 'S-1' in .*lake; known invoices: none"),
    "unknown legal entity": (
        ["invoice", "close", "CATALOG", *OCTOBER, "--legal-entity", "nobody"], 2,
        r"no legal entity 'nobody': the catalog has the legal entities seller; name one with --legal-entity",
    ),
    "not closed yet": (["invoice", "issue", *OCTOBER], 1, r"2026-10 is not closed; run `tollbook invoice close --period 2026-10` first"),
    "bad period in usage": (["usage", "acme", "CATALOG", "--period", "2026-13"], 2, r"'2026-13' is not a billing period; write"),
    "bad period in close": (["invoice", "close", "CATALOG", "--period", "october"], 2, r"'october' is not a billing period; write"),
    "bad period in rate": (["invoice", "rate", "CATALOG", "--period", "2026-1"], 2, r"'2026-1' is not a billing period; write"),
    "bad period in issue": (["invoice", "issue", "--period", "26-10"], 2, r"'26-10' is not a billing period; write"),
    "period not over": (
        ["invoice", "close", "CATALOG", *OCTOBER, "--now", "2026-10-31T23:59:59Z"], 1,
        r"period 2026-10 of partner acme is not over before 2026-11-01T00:00Z \(Etc/UTC\); close it then",
    ),
    "unknown command": (["lnad"], 2, r"Unknown command \"lnad\".*\. See `tollbook --help`"),
    "unknown subcommand": (["invoice", "shwo"], 2, r"Unknown command \"shwo\".*show.*\. See `tollbook( invoice)? --help`"),
    "too much": (["verify", "now"], 2, r"now.*\. See `tollbook verify --help`"),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_what_is_not_there_is_answered_with_what_there_is(at_landed: Here, case: str) -> None:
    """The answer to a wrong name is the list of right ones; the lake stays as it is."""
    words, code, pattern = NAMED[case]
    given = [part for word in words for part in (["--catalog", at_landed.catalog] if word == "CATALOG" else [word])]
    needs_lake = case not in {"unknown command", "unknown subcommand"}
    before = files_below(at_landed.lake)
    complained(at_landed.tollbook(*given, *(["--lake", at_landed.lake] if needs_lake else [])), code, pattern)
    assert files_below(at_landed.lake) == before


UNBILLABLE = {
    "a meter without a rate": (
        {
            "meters": "meters:\n  - {id: requests, aggregate: count, unit: requests}\n  - {id: posts, aggregate: count, unit: posts}\n"
        },
        r"partner acme: meter posts counted 10, but rate card card has no rate for it .*; add one",
    ),
    "a partner without a plan": (
        {"partners": PARTNERS.replace("[{plan: small, valid_from: 2026-01-01}]", "[]")},
        r"partner acme has 10 requests .*plan.*; .*assign|partner acme.*no plan.*",
    ),
    "a plan that begins later": (
        {"partners": PARTNERS.replace("2026-01-01", "2026-11-01")},
        r"partner acme.*10 requests.*plan",
    ),
    "a rate card that begins later": (
        {"prices": PRICES.replace("valid_from: 2026-01-01\n        rates", "valid_from: 2026-12-01\n        rates")},
        r"partner acme: rate card card has no version for 2026-10-01; add one that is valid from that day",
    ),
}


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("case", UNBILLABLE)
def test_usage_that_cannot_be_priced_blocks_the_close_and_nothing_is_written(at_landed: Here, case: str) -> None:
    """Usage without a price is never left out of an invoice: the close is refused until the catalog prices it.

    What a close begins with is kept: identities that were compared once need not be compared again.
    """
    changes, pattern = UNBILLABLE[case]
    write_catalog(at_landed.catalog, **changes)
    assert at_landed.tollbook("settle", "--lake", at_landed.lake).code == 0
    before = files_below(at_landed.lake)
    complained(at_landed.close(), 1, pattern)
    rated = at_landed.tollbook(
        "invoice", "rate", "--catalog", at_landed.catalog, "--lake", at_landed.lake, "--period", "2026-10"
    )
    assert rated.code == 1
    assert len(rated.complaints) == 1
    assert files_below(at_landed.lake) == before
    write_catalog(at_landed.catalog)
    assert at_landed.close().code == 0


def test_a_failure_of_our_own_ends_with_70_and_shows_where(at_landed: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no rule foresees must not look like bad input, nor like success."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tollbook.cli.metering.usage.prove", broken)
    ended = at_landed.tollbook("verify", "--lake", at_landed.lake)
    assert ended.code == 70
    assert "ZeroDivisionError" in ended.err
    assert ended.err.splitlines()[-1].startswith("error: this is a bug in Tollbook")
