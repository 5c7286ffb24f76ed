"""`tollbook credits statement`, from logs to the ledger."""

from tests.tollbook.fixtures import AFTER_OCTOBER, PARTNERS, Ended, Here, requests, write_catalog

CREDITS = """
    credits:
      - {id: prepaid, amount: 10.00, currency: EUR, valid_from: 2026-10-01, priority: 1}
      - {id: welcome, amount: 2.00, currency: EUR, valid_from: 2026-10-01, valid_to: 2026-11-01}
"""


def statement(here: Here, partner: str = "acme", *words: str) -> Ended:
    return here.tollbook(
        "credits", "statement", partner, "--catalog", here.catalog, "--lake", here.lake, "--now", AFTER_OCTOBER, *words
    )


def issue(here: Here) -> None:
    assert here.close().code == 0
    words = ("invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER)
    assert here.tollbook(*words).code == 0


def test_a_statement_says_what_became_of_each_credit(here: Here) -> None:
    """20 requests cost 5.00: the welcome credit pays 2.00 and the prepaid one 3.00. A void gives both back."""
    write_catalog(here.catalog, partners=PARTNERS + CREDITS)
    assert here.run(here.log("a.log", *requests(20))).code == 0
    issue(here)
    found = statement(here, "acme", "--json").json
    figures = ("id", "paid", "used", "expired", "left")
    assert [[row[name] for name in figures] for row in found["credits"]] == [
        ["welcome", "2.00", "2.00", "0.00", "0.00"],
        ["prepaid", "10.00", "3.00", "0.00", "7.00"],
    ]
    assert {row["account"]: row["balance"] for row in found["balances"]} == {
        "billed": "5.00",
        "credit/prepaid": "7.00",
        "credit/welcome": "0.00",
        "prepaid": "-12.00",
    }
    voided = here.tollbook(
        "invoice", "void", "S-2026-000001", "--lake", here.lake, "--reason", "test", "--now", AFTER_OCTOBER
    )  # fmt: skip
    assert voided.code == 0
    found = statement(here, "acme", "--json").json
    assert [[row[name] for name in figures] for row in found["credits"]] == [
        ["welcome", "2.00", "0.00", "2.00", "0.00"],
        ["prepaid", "10.00", "0.00", "0.00", "10.00"],
    ]


def test_a_used_credit_that_left_the_catalog_is_named(here: Here) -> None:
    """Its uses are on issued invoices, so the ledger cannot do without it."""
    write_catalog(here.catalog, partners=PARTNERS + CREDITS)
    assert here.run(here.log("a.log", *requests(20))).code == 0
    issue(here)
    write_catalog(here.catalog, partners=PARTNERS)
    ended = statement(here)
    assert ended.code == 1
    assert len(ended.complaints) == 2
    assert "partner acme, credit prepaid: issued invoices used 3.00 EUR, but the catalog has 0.00 EUR" in ended.err


def test_an_unknown_partner_is_named_with_the_known_ones(here: Here) -> None:
    """A mistyped id must not look like a partner without credits."""
    assert here.run(here.log("a.log", *requests(1))).code == 0
    ended = statement(here, "acmee")
    assert ended.code == 2
    assert "no partner 'acmee' in the catalog; known partners: acme" in ended.err
