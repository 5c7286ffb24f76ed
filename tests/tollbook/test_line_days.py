"""`tollbook invoice rate` and `show` say for which days a line is, where it is not for all of them."""

from tests.tollbook.fixtures import AFTER_OCTOBER, DAY_MS, T0_MS, Here, requests, write_catalog

# Plans that change within the month, one of them for a single day.
PLANS = """
rate_cards:
  - id: card
    currency: EUR
    versions: [{valid_from: 2026-01-01, rates: [{meter: requests, price: {model: per_unit, unit_price: 0.25}}]}]
  - id: costly
    currency: EUR
    versions: [{valid_from: 2026-01-01, rates: [{meter: requests, price: {model: per_unit, unit_price: 0.5}}]}]
plans: [{id: small, rate_card: card}, {id: large, rate_card: costly}]
"""
CHANGING = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans:
      - {plan: small, valid_from: 2026-01-01, valid_to: 2026-10-16}
      - {plan: large, valid_from: 2026-10-16, valid_to: 2026-10-17}
      - {plan: small, valid_from: 2026-10-17}
    credentials: [{kind: consumer, id: c-acme}]
  - id: zeta
    name: Zeta Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: small, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-zeta}]
"""
LINES = [("2026-10-01", "2026-10-15"), ("2026-10-16", "2026-10-16"), ("2026-10-17", "2026-10-31")]
SHOWN = ["requests (2026-10-01 to 2026-10-15)", "requests (2026-10-16)", "requests (2026-10-17 to 2026-10-31)"]


def test_the_days_of_a_line_are_shown_where_it_is_not_the_whole_month(here: Here) -> None:
    """Three lines of one name and of three prices could not be told apart; a line of the whole month needs no days."""
    write_catalog(here.catalog, prices=PLANS, partners=CHANGING)
    logs = [*requests(10, T0_MS), *requests(4, T0_MS + 15 * DAY_MS), *requests(6, T0_MS + 20 * DAY_MS)]
    log = here.log("a.log", *logs, *requests(5, T0_MS + 7, consumer="c-zeta"))
    assert here.run(log).code == 0
    rate = ["invoice", "rate", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10"]
    drafts = {draft["partner_id"]: draft["lines"] for draft in here.tollbook(*rate, "--json").json["drafts"]}
    assert [(line["first_day"], line["last_day"]) for line in drafts["acme"]] == LINES
    assert [(line["first_day"], line["last_day"]) for line in drafts["zeta"]] == [("2026-10-01", "2026-10-31")]
    shown = here.tollbook(*rate).out
    acme, zeta = shown.split("Zeta Inc (zeta)")
    assert [line.split("  ")[0] for line in acme.splitlines() if line.startswith("requests")] == SHOWN
    assert [line.split("  ")[0] for line in zeta.splitlines() if line.startswith("requests")] == ["requests"]
    assert here.close().code == 0
    issue = ["invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER]
    assert here.tollbook(*issue).code == 0
    acme = here.tollbook("invoice", "show", "S-2026-000001", "--lake", here.lake).out
    assert [line.split("  ")[0] for line in acme.splitlines() if line.startswith("requests")] == SHOWN
    zeta = here.tollbook("invoice", "show", "S-2026-000002", "--lake", here.lake).out
    assert "(2026-10" not in zeta
