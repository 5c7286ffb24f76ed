"""What finance cannot do is one clear line with the remedy, and an exit code. Nothing is half done, and a repetition
says the same.

A rate card without a price is in test_bad_input, two issues at once in tests/billing/test_issuing, an approval by the
same person in test_approving, and kills in tests/billing/test_kills.
"""

from tests.tollbook.fixtures import AFTER_OCTOBER, PARTNERS, Ended, Here, requests, write_catalog


def with_terms(here: Here, *terms: str) -> None:
    """A catalog whose partner has these terms."""
    write_catalog(here.catalog, partners=PARTNERS + "".join(f"    {term}\n" for term in terms))


def issue(here: Here) -> Ended:
    words = ["--lake", here.lake, "--catalog", here.catalog, "--period", "2026-10", "--now", AFTER_OCTOBER]
    return here.tollbook("invoice", "issue", *words)


def numbers(here: Here) -> list[str]:
    return [row["number"] for row in here.tollbook("invoice", "list", "--lake", here.lake, "--json").json]


def refused_twice(here: Here, *words: object) -> str:
    """The one line with which a command is refused, now and when it is repeated; no document is added."""
    before = numbers(here)
    first, again = (here.tollbook(*words, "--now", AFTER_OCTOBER) for _ in range(2))
    assert (first.code, first.out, first) == (1, "", again)
    assert numbers(here) == before
    (complaint,) = first.complaints
    return complaint


def test_a_credit_beyond_the_invoice_and_a_second_void_are_refused(here: Here) -> None:
    """The messages name what is left, and the credit note that took it."""
    here.run(here.log("a.log", *requests(5)))
    assert issue(here).code == 0
    credit = ("invoice", "credit", "S-2026-000001", "--lake", here.lake, "--reason", "outage", "--amount")
    void = ("invoice", "void", "S-2026-000001", "--lake", here.lake, "--now", AFTER_OCTOBER, "--reason")
    assert (
        refused_twice(here, *credit, "1.26") == "S-2026-000001: 1.26 EUR is more than is left of the invoice: 1.25 EUR"
    )
    assert here.tollbook(*credit, "1.00", "--now", AFTER_OCTOBER).code == 0
    assert (
        refused_twice(here, *credit, "0.26") == "S-2026-000001: 0.26 EUR is more than is left of the invoice: 0.25 EUR"
    )
    assert here.tollbook(*void, "wrong company").code == 0
    voided = "S-2026-000001 was voided by credit note S-CN-2026-000002; nothing of it is left"
    assert refused_twice(here, "invoice", "void", "S-2026-000001", "--lake", here.lake, "--reason", "again") == voided
    assert refused_twice(here, *credit, "0.01") == voided
    assert here.tollbook(*void, "wrong company").code == 0, "the same void again"
    assert len(numbers(here)) == 3


def test_a_purchase_order_that_is_used_up_blocks_the_invoice_until_there_is_another(here: Here) -> None:
    """The line names the order and what is left of it. With a larger amount the same command issues the invoice."""
    here.run(here.log("a.log", *requests(5)))
    order = "purchase_orders: [{number: PO 7, amount: AMOUNT, currency: EUR, valid_from: 2026-01-01}]"
    with_terms(here, order.replace("AMOUNT", "1.20"))
    for ended in (issue(here), issue(here)):
        assert ended.code == 1
        (complaint,) = ended.complaints
        assert "the bill of 2026-10 is 1.25 EUR, and purchase order PO 7 has 1.20 EUR left; add an order" in complaint
    assert numbers(here) == []
    with_terms(here, order.replace("AMOUNT", "1.25"))
    assert issue(here).code == 0
    assert numbers(here) == ["S-2026-000001"]


def test_terms_in_another_currency_are_refused_all_at_once(here: Here) -> None:
    """A commitment, a discount and an order, each with its file and line; nothing is closed."""
    here.run(here.log("a.log", *requests(5)))
    with_terms(
        here,
        "commitments: [{amount: 12, currency: USD, term: year, valid_from: 2026-01-01}]",
        "discounts: [{amount: 1, currency: JPY, valid_from: 2026-01-01}]",
        "purchase_orders: [{number: PO 7, amount: 9, currency: GBP, valid_from: 2026-01-01}]",
    )
    ended = issue(here)
    assert ended.code == 2
    for currency in ("USD", "JPY", "GBP"):
        (line,) = [line for line in ended.err.splitlines() if f"is {currency}, but" in line]
        assert "partners.yaml:" in line
    assert here.tollbook("invoice", "list", "--lake", here.lake, "--state", "draft", "--json").json == []
