"""`tollbook invoice preview --lines` and `tollbook catalog diff --csv`: what programs and people read line by line."""

from tests.tollbook.fixtures import PRICES, Here, requests, write_catalog


def test_a_preview_shows_the_lines_of_both_bills(here: Here) -> None:
    """Eight requests on the 1st and eight on the 18th; the last week has eight, and twelve days are left."""
    here.run(here.log("a.log", *requests(8), *requests(8, 1_790_812_800_000 + 17 * 86_400_000)))
    words = ("invoice", "preview", "--catalog", here.catalog, "--lake", here.lake, "--now", "2026-10-20")
    shown = here.tollbook(*words, "--lines")
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["requests", "4.00", "for", "16", "7.25", "for", "29"] in rows
    (given,) = here.tollbook(*words, "--lines", "--json").json["partners"]
    line = {"description": "requests", "meter": "requests", "quantity": "16", "amount": "4.00"}
    assert given["so_far"] == {"currency": "EUR", "total": "4.00", "lines": [line]}
    assert given["forecast"]["lines"] == [line | {"quantity": "29", "amount": "7.25"}]
    assert "lines" not in here.tollbook(*words, "--json").json["partners"][0]["so_far"]


def test_the_lines_that_an_edit_changes_are_rows_of_csv(here: Here) -> None:
    here.run(here.log("a.log", *requests(8)))
    dearer = write_catalog(here.folder / "dearer", prices=PRICES.replace("unit_price: 0.25", "unit_price: 0.5"))
    words = ("catalog", "diff", here.catalog, dearer, "--lake", here.lake, "--period", "2026-10", "--csv")
    assert here.tollbook(*words).out.splitlines() == [
        "partner_id,currency,description,meter,why,quantity_before,before,quantity_after,after,difference",
        "acme,EUR,requests,requests,price,8,2.00,8,4.00,2.00",
    ]
