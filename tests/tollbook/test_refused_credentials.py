"""Refused entries of unknown credentials: a close names them, and is made only for a reason, which it keeps."""

import shutil
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lake.credentials import KEY
from lake.errors import LakeError
from lake.lake import Lake
from schemas.tables import LETTERS
from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import AFTER_OCTOBER, DAY_MS, PARTNERS, T0_MS, Here, requests, write_catalog

ENDED = PARTNERS.replace(
    "{kind: consumer, id: c-acme}", "{kind: consumer, id: c-acme}, {kind: consumer, id: c-old, valid_to: 2026-09-01}"
)
KNOWN = {
    "partners": PARTNERS.replace(
        "{kind: consumer, id: c-acme}", "{kind: consumer, id: c-acme}, {kind: consumer, id: c-one}"
    )
}


def unknown_credentials(here: Here) -> None:
    """October with 3 entries of one unknown credential, 2 of another, 1 of one that had ended; and one of November."""
    write_catalog(here.catalog, partners=ENDED)
    lines = [
        *requests(10),
        *requests(3, T0_MS + 1_000, DAY_MS, consumer="c-one"),
        *requests(2, T0_MS + 2_000, consumer="c-two"),
        *requests(1, T0_MS + 3_000, consumer="c-old"),
        *requests(1, T0_MS + 31 * DAY_MS, consumer="c-november"),
        line(kong("none", consumer=None)),
    ]
    assert ", 8 refused" in here.run(here.log("a.log", *lines)).out


def test_a_month_with_unknown_credentials_is_closed_only_for_a_reason(here: Here) -> None:
    """A forgotten partner's month was closed without a word; now three groups of October are named, with entries and
    days.
    """
    unknown_credentials(here)
    refused = here.close()
    assert refused.code == 1
    (shown,) = refused.complaints
    assert (
        "2026-10 has 6 refused entries of credentials that are in no catalog, or were not valid, in 3 groups: " in shown
    )
    assert "3 UNKNOWN_CREDENTIAL, 2026-10-01 to 2026-10-03" in shown
    assert "1 CREDENTIAL_NOT_VALID, 2026-10-01 to 2026-10-01" in shown
    assert "--accept-refused" in shown
    assert "c-one" not in shown
    assert here.table("closes") == []
    closed = here.close("--accept-refused", "trial keys, never billed", "--json")
    assert closed.code == 0
    accepted = closed.json["accepted_refused"]
    assert accepted["reason"] == "trial keys, never billed"
    assert [group["entries"] for group in accepted["groups"]] == [3, 2, 1]
    assert len({group["credential"] for group in accepted["groups"]}) == 3
    assert "unbilled: trial keys" in here.close("--accept-refused", "trial keys, never billed").out


@pytest.mark.slow
def test_a_reason_holds_until_more_is_refused(here: Here) -> None:
    """A job that repeats the close needs no reason again; what nobody has accepted needs one."""
    unknown_credentials(here)
    first = here.close("--accept-refused", "trial keys", "--json").json
    assert here.close("--json").json == first
    here.run(here.log("b.log", *requests(1, T0_MS + 4_000, consumer="c-two")))
    assert "has 7 refused entries" in here.close().complaints[0]
    again = here.close("--accept-refused", "trial keys, still", "--json").json
    assert again["accepted_refused"]["reason"] == "trial keys, still"
    issued = here.tollbook(
        "invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER, "--json"
    )
    assert issued.json["close_id"] == again["close_id"]
    assert here.tollbook("invoice", "verify", "--lake", here.lake).code == 0


def test_what_a_redrive_has_counted_is_refused_no_more(here: Here) -> None:
    """The other remedy: the credential is added, and the month needs no reason for it."""
    unknown_credentials(here)
    write_catalog(here.catalog, **KNOWN)
    assert (
        here.tollbook(
            "dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge"
        ).code
        == 0
    )
    assert "in 2 groups" in here.close().complaints[0]


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
def test_a_reason_says_something(here: Here, reason: str) -> None:
    """It stands in the close for good."""
    unknown_credentials(here)
    ended = here.close("--accept-refused", reason)
    assert (ended.code, here.table("closes")) == (2, [])
    assert "must be a reason, in one line" in ended.err


def test_a_month_without_unknown_credentials_needs_no_reason_and_keeps_none(here: Here) -> None:
    """Nothing of it stands in the close."""
    assert here.run(here.log("a.log", *requests(3), b"no JSON\n")).code == 0
    assert here.close("--json").json["accepted_refused"] is None


@pytest.mark.slow
def test_a_credential_is_distinguished_and_not_told(here: Here) -> None:
    """Equal ones have one hash, in every file; what it is of cannot be tried without the lake's key, which nobody
    else may read.
    """
    unknown_credentials(here)
    here.run(here.log("b.log", *requests(1, T0_MS + 5_000, consumer="c-one")))
    rows = here.table("dead", "SELECT reason, credential_hash FROM t ORDER BY ALL")
    hashes = [row["credential_hash"] for row in rows if row["reason"] == "UNKNOWN_CREDENTIAL"]
    assert sorted(hashes.count(each) for each in set(hashes)) == [1, 2, 4]
    assert [row["credential_hash"] for row in rows if row["reason"] == "NO_PARTNER"] == [None]
    key = here.lake / KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {pa.array(["consumer c-one"])[0].as_py()} & set(hashes) == set()
    assert Lake(here.lake).credential_hashes(pa.array(["consumer c-one", None]))[0].as_py() in hashes
    other = here.folder / "other"
    Lake(other).create()
    assert Lake(other).credential_hashes(pa.array(["consumer c-one"]))[0].as_py() not in hashes


def test_sessions_of_a_role_are_one_credential(here: Here) -> None:
    """They have names without number: a group of each would say nothing."""
    record = {"requestId": "r", "routeKey": "GET /", "requestTimeEpoch": str(T0_MS), "status": "200"}
    lines = [
        line(record | {"userArn": f"arn:aws:sts::1:assumed-role/Job/run-{n}", "requestId": f"r{n}"}) for n in range(3)
    ]
    words = ("run", "--catalog", here.catalog, "--lake", here.lake, "--format", "aws_apigw", "--source", "edge")
    assert here.tollbook(*words, here.log("a.log", *lines)).code == 0
    assert "in 1 group: " in here.close().complaints[0]


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_key_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    """It is no part of the books: another one will do."""
    Lake(tmp_path / "lake").create()
    (tmp_path / "lake" / KEY).write_text(content)
    with pytest.raises(LakeError, match="restore it from a backup, or delete it"):
        Lake(tmp_path / "lake").credential_hashes(pa.array(["consumer x"]))


def dead_list(here: Here, *words: object) -> Any:
    return here.tollbook("dead", "list", "--lake", here.lake, *words)


def test_the_list_sums_up_by_credential(here: Here) -> None:
    """Which one, how often, from when to when; one of them alone by its name."""
    unknown_credentials(here)
    found = dead_list(here, "--json").json["by_credential"]
    assert [(g["detail"], g["entries"], g["reason"]) for g in found] == [
        ("consumer c-one", 3, "UNKNOWN_CREDENTIAL"), ("consumer c-two", 2, "UNKNOWN_CREDENTIAL"),
        ("consumer c-old", 1, "CREDENTIAL_NOT_VALID"), ("consumer c-november", 1, "UNKNOWN_CREDENTIAL"),
    ]  # fmt: skip
    assert (found[0]["first_at"][:10], found[0]["last_at"][:10]) == ("2026-10-01", "2026-10-03")
    shown = dead_list(here).out
    assert "Unknown credentials" in shown
    assert found[0]["credential"][:12] in shown
    one = dead_list(here, "--credential", found[0]["credential"][:12], "--json").json
    assert [row["entries"] for row in one["by_credential"]] == [3]
    assert [row["detail"] for row in one["entries"]] == ["consumer c-one"] * 3
    assert [row["entries"] for row in one["by_reason"]] == [3]
    assert dead_list(here, "--credential", "' OR 1").code == 2


@pytest.mark.slow
def test_what_they_would_be_worth_is_what_they_are_billed_when_they_are_added(here: Here) -> None:
    """Beside the partner's own usage, to the cent; and nothing is written by asking."""
    unknown_credentials(here)
    words = ("--as", "acme", "--catalog", here.catalog, "--format", "kong", "--source", "edge", "--json")
    (first, *_) = dead_list(here, "--json").json["by_credential"]
    before = sorted(path for path in here.lake.rglob("*.json"))
    shown = dead_list(here, *words, "--credential", first["credential"][:12])
    assert shown.code == 0, shown.err
    assert shown.json["worth"] == {
        "partner_id": "acme", "entries": 3, "totals": {"EUR": "0.75"}, "problems": [],
        "lines": [{"period": "2026-10", "meter": "requests", "quantity": "3", "unit": "requests", "amount": "0.75", "currency": "EUR"}],
    }  # fmt: skip
    everything = dead_list(here, *words).json["worth"]
    assert (everything["entries"], everything["totals"]) == (7, {"EUR": "1.75"})
    assert [(x["period"], x["quantity"]) for x in everything["lines"]] == [("2026-10", "6"), ("2026-11", "1")]
    assert sorted(path for path in here.lake.rglob("*.json")) == before
    assert "0.75 EUR" in dead_list(here, *words[:-1], "--credential", first["credential"][:12]).out
    rate = ("invoice", "rate", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json")
    (draft,) = here.tollbook(*rate).json["drafts"]
    write_catalog(here.catalog, **KNOWN)
    here.tollbook(
        "dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge"
    )
    (after,) = here.tollbook(*rate).json["drafts"]
    assert Decimal(after["total"]) - Decimal(draft["total"]) == Decimal("0.75")


@pytest.mark.slow
def test_a_long_credential_is_one_by_its_hash_and_can_be_rated(here: Here) -> None:
    """A client chooses how long it is; it must not make the message of refusals longer than the record that they are
    of.
    """
    long = ["c-" + "é" * 99, "c-" + "é" * 100, "c-" + "é" * 100 + "x"]
    lines = [text for n, name in enumerate(long) for text in requests(n + 1, T0_MS + n * 1_000, consumer=name)]
    assert ", 6 refused" in here.run(here.log("a.log", *lines)).out
    found = dead_list(here, "--json").json["by_credential"]
    assert [group["entries"] for group in found] == [3, 2, 1]
    words = ("--as", "acme", "--catalog", here.catalog, "--format", "kong", "--source", "edge", "--json")
    for group in found:
        shown = dead_list(here, *words, "--credential", group["credential"]).json["worth"]
        assert shown["entries"] == group["entries"]


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("missing", ["--catalog", "--format", "--source"])
def test_what_is_needed_to_rate_is_asked_for(here: Here, missing: str) -> None:
    """And a partner that does not pay has no prices."""
    unknown_credentials(here)
    given: dict[str, object] = {"--catalog": here.catalog, "--format": "kong", "--source": "edge"}
    words = [word for name, value in given.items() if name != missing for word in (name, value)]
    assert "needs --catalog, --format and --source" in dead_list(here, "--as", "acme", *words).err
    full = [word for name, value in given.items() for word in (name, value)]
    assert "known ids: acme" in dead_list(here, "--as", "nobody", *full).err


@pytest.mark.slow
def test_a_lake_of_before_gets_the_column_when_it_is_next_written_to(here: Here) -> None:
    """Entries of before have no hash: they are one group, and everything that reads the table goes on reading it."""
    assert ", 2 refused" in here.run(here.log("a.log", *requests(1), *requests(2, T0_MS + 1_000, consumer="c-one"))).out
    aged(here.lake)
    assert [group["credential"] for group in dead_list(here, "--json").json["by_credential"]] == [None]
    assert ", 1 refused" in here.run(here.log("b.log", *requests(1, T0_MS + 2_000, consumer="c-one"))).out
    found = dead_list(here, "--json").json["by_credential"]
    assert [(group["credential"] is None, group["entries"]) for group in found] == [(True, 2), (False, 1)]
    assert here.balanced(4)
    assert "in 2 groups" in here.close().complaints[0]
    write_catalog(here.catalog, **KNOWN)
    assert (
        here.tollbook(
            "dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge"
        ).code
        == 0
    )
    assert here.close().code == 0


def aged(root: Path) -> None:
    """Make table `dead` what it was before the column."""
    table = Lake(root).open(LETTERS)
    app = "follow/events"
    old = LETTERS._replace(schema=pa.schema([f for f in LETTERS.schema if f.name != "credential_hash"]), later=())
    rows = pq.read_table(table.files()[0]).select(old.schema.names)
    version = table.transaction_version(app)
    shutil.rmtree(root / LETTERS.name)
    DeltaTable.create(root / LETTERS.name, old.schema, configuration={"delta.enableExpiredLogCleanup": "false"})
    Lake(root).open(old).commit([Lake(root).write(old, rows)], versions={app: version}, info={})
