"""Catalogs on disk: every problem at once, each with its file, line and remedy; nothing that YAML guesses."""

import itertools
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from billing.catalog.loading import CatalogError, CatalogProblem, load, of_close
from schemas.catalog.checks import doubts
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.per_unit import PerUnit
from schemas.catalog.records import Partner
from schemas.windows import from_us
from tests.billing import catalogs
from tests.billing.broken_access import BROKEN_ACCESS
from tests.billing.broken_catalogs import BROKEN, Broken
from tests.billing.broken_routes import BROKEN_ROUTES
from tests.billing.broken_terms import BROKEN_TERMS
from tests.billing.catalogs import FILES, PARTNERS, PRICES, SELLER

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "catalog"


def problems(folder: Path) -> list[CatalogProblem]:
    with pytest.raises(CatalogError) as refused:
        load(folder)
    return refused.value.problems


@pytest.mark.parametrize("folder", [None, EXAMPLES], ids=["the tests' catalog", "examples/catalog"])
def test_a_catalog_in_order_loads(tmp_path: Path, folder: Path | None) -> None:
    """What all the others break is whole to begin with."""
    assert load(folder or catalogs.written(tmp_path / "catalog")).partners


@pytest.mark.parametrize(
    "broken", [pytest.param(b, id=b.name) for b in (*BROKEN, *BROKEN_ACCESS, *BROKEN_ROUTES, *BROKEN_TERMS)]
)
def test_a_broken_catalog_is_refused_with_place_and_remedy(tmp_path: Path, broken: Broken) -> None:
    """File, line, field, and what to write instead; one problem, without others that only follow from it."""
    text = FILES[f"{broken.file}.yaml"]
    assert broken.there in text
    changed = {broken.file: text.replace(broken.there, broken.instead, 1)}
    folder = catalogs.written(tmp_path / "catalog", **changed)
    first, *others = problems(folder)
    assert others == []
    assert first[:3] == (str(folder / f"{broken.file}.yaml"), broken.line, broken.field)
    assert broken.says in first.message
    assert str(first).startswith(f"{folder / broken.file}.yaml:{broken.line}: ")
    assert "\n" not in str(first)


def test_every_problem_is_reported_at_once_and_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    """What is wrong in a record hides neither what is wrong in others nor a reference between whole records."""
    partners = PARTNERS.replace("Europe/Berlin", "Mars").replace("name: Zeta Inc.", "names: Zeta")
    prices = PRICES.replace("unit_price: 0.12}", "unit_price: much}").replace(
        "meter: requests, period", "meter: calls, period"
    )
    seller = SELLER + "sources:\n  - {id: edge}\n  - {id: edge}\n"
    found = problems(catalogs.written(tmp_path / "catalog", partners=partners, prices=prices, seller=seller))
    assert [(Path(p.file).stem, p.line, p.field) for p in found] == [
        ("partners", 7, "partners.acme.time_zone"),
        ("partners", 12, "partners.zeta.name"),
        ("partners", 13, "partners.zeta.names"),
        ("prices", 17, "rate_cards.standard.versions.0.rates.2.price.unit_price"),
        ("prices", 22, "plans.plan-a.quotas.0.meter"),
        ("seller", 12, "sources.edge.id"),
    ]


def test_a_file_that_cannot_be_read_does_not_make_its_records_missing(tmp_path: Path) -> None:
    """Its own line is told, and what is wrong in the other files; not that every reference into it leads nowhere."""
    found = problems(
        catalogs.written(tmp_path / "catalog", prices="meters: [", partners=PARTNERS.replace("id: zeta", "id: acme"))
    )
    assert [(Path(p.file).stem, p.field) for p in found] == [("partners", "partners.acme.id"), ("prices", "")]


@pytest.mark.parametrize(
    "content", [pytest.param(b"\xff\xfe\x00", id="no UTF-8"), pytest.param(b"name: \x00\x07", id="control characters")]
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    """One line, no traceback."""
    folder = catalogs.written(tmp_path / "catalog")
    (folder / "seller.yaml").write_bytes(content)
    (first,) = problems(folder)
    assert first.file == str(folder / "seller.yaml")
    assert "check that it is a UTF-8 text file" in first.message
    assert "\n" not in str(first)


@pytest.mark.parametrize("made", [False, True], ids=["no such folder", "an empty folder"])
def test_a_missing_catalog_is_named_with_the_remedy(tmp_path: Path, made: bool) -> None:
    """Says what to name instead."""
    folder = tmp_path / "nowhere"
    if made:
        folder.mkdir()
    (first,) = problems(folder)
    assert first.file == str(folder)
    assert "pass a folder with *.yaml files" in first.message


def test_nothing_is_a_float_and_no_word_is_a_boolean(tmp_path: Path) -> None:
    """YAML would make 0.1 a double, 1_000 an integer, `no` false and 010 eight; here text stays text until a field
    asks.
    """
    prices = PRICES.replace("unit_price: 0.12}", "unit_price: 0.1000000000000000055511151231257827}")
    partners = PARTNERS.replace("name: Zeta Inc.", "name: no").replace("reference: PO 1", "reference: 010")
    seller = SELLER + "sources:\n  - {id: edge, may_tag: no}\n  - {id: core, may_tag: yes}\n"
    catalog = load(catalogs.written(tmp_path / "catalog", prices=prices, partners=partners, seller=seller))
    graduated, per_unit = (rate.price for rate in catalog.rate_card("standard").versions[0].rates[1:])
    assert isinstance(per_unit, PerUnit)
    assert per_unit.unit_price == Decimal("0.1000000000000000055511151231257827")
    assert isinstance(graduated, Graduated)
    assert [str(t.unit_price) for t in graduated.tiers] == ["0.5", "0.125"]
    assert [p.name for p in catalog.partners] == ["Acme GmbH", "no"]
    assert catalog.partners[0].reference == "010"
    assert [s.may_tag for s in catalog.sources] == [False, True]


def test_text_is_shown_as_it_is_written_and_never_run(tmp_path: Path) -> None:
    """A tag that would make an object elsewhere is text here; an anchor is only short for what it names."""
    partners = PARTNERS.replace("name: Zeta Inc.", "name: !!python/object/apply:os.getcwd []")
    (first,) = problems(catalogs.written(tmp_path / "a", partners=partners))
    assert first.field == "partners.zeta.name"
    shared = PARTNERS.replace('address: ["Weg 2"', 'address: &home ["Weg 2"').replace(
        "name: Zeta Inc.", "name: Zeta Inc.\n    address: *home"
    )
    acme, zeta = load(catalogs.written(tmp_path / "b", partners=shared)).partners
    assert zeta.address == acme.address


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:], ids=str)
def test_the_hash_names_the_content_and_not_the_files(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Splitting a file, moving a record, turning fields around: the same catalog, so the same closes and invoices."""
    whole = load(catalogs.written(tmp_path / "whole"))
    split = tmp_path / "split"
    split.mkdir()
    acme, zeta = PARTNERS.removeprefix("partners:\n").split("  - id: zeta\n")
    pieces = [f"partners:\n{acme}", f"partners:\n  - id: zeta\n{zeta}", PRICES + SELLER]
    for name, piece in zip("abc", (pieces[i] for i in order), strict=True):
        (split / f"{name}.yml").write_text(piece, encoding="utf-8")
    assert load(split).sha256 == whole.sha256
    turned = PARTNERS.replace(
        "    legal_entity: north\n    time_zone: Europe/Berlin\n",
        "    time_zone: Europe/Berlin\n    legal_entity: north\n",
    )
    assert turned != PARTNERS
    assert load(catalogs.written(tmp_path / "turned", partners=turned)).sha256 == whole.sha256


def test_the_hash_changes_with_every_price(tmp_path: Path) -> None:
    """Two catalogs that bill differently never share a name."""
    other = PRICES.replace("unit_price: 0.125", "unit_price: 0.1250000001")
    catalog, changed = load(catalogs.written(tmp_path / "a")), load(catalogs.written(tmp_path / "b", prices=other))
    assert catalog.sha256 != changed.sha256


def test_one_file_is_a_catalog_too(tmp_path: Path) -> None:
    """For trying things out."""
    path = tmp_path / "all.yaml"
    path.write_text(SELLER + PRICES + PARTNERS, encoding="utf-8")
    assert load(path).sha256 == load(catalogs.written(tmp_path / "catalog")).sha256


def test_what_ends_when_the_next_begins_does_not_overlap(tmp_path: Path) -> None:
    """[from, to): a plan may change and a key may move to another partner at one midnight, in each partner's own
    zone.
    """
    partners = (
        PARTNERS.replace(
            "{plan: plan-a, valid_from: 2026-01-01}",
            "{plan: plan-a, valid_from: 2026-01-01, valid_to: 2026-03-29}\n      - {plan: plan-a, valid_from: 2026-03-29}",
        )
        .replace("{kind: iam", '{kind: api_key, id: key-a, valid_from: "2026-03-28T23:00:00Z"}\n      - {kind: iam')
        .replace("id: key-a, valid_from: 2026-01-01", "id: key-a, valid_from: 2026-01-01, valid_to: 2026-03-29")
    )
    assert load(catalogs.written(tmp_path / "catalog", partners=partners)).partners[1].credentials[0].id == "key-a"
    early = partners.replace("T23:00:00Z", "T22:45:00Z")
    assert early != partners
    (first,) = problems(catalogs.written(tmp_path / "early", partners=early))
    assert first.field == "partners.zeta.credentials.0"


INTERNAL = """
  - id: us
    name: Our own
    status: internal
    time_zone: Etc/UTC
    credentials: [{kind: oidc, issuer: "https://login.example"}, {kind: oidc, issuer: "https://b.example", client_id: app}]
"""


def test_a_source_whose_unknown_credentials_would_all_be_own_is_refused(tmp_path: Path) -> None:
    """A forgotten partner among them would never be missed; and an issuer for all its clients is pointed out for the
    same reason.
    """
    partners, seller = PARTNERS + INTERNAL, SELLER + "sources:\n  - {id: edge, partner: us}\n"
    (found,) = problems(catalogs.written(tmp_path / "catalog", partners=partners, seller=seller))
    assert found.field == "sources.edge.partner"
    assert "own: {partner: us, without_credential: true}" in found.message
    tagged = SELLER + "sources:\n  - {id: edge, may_tag: true, own: {partner: us, without_credential: true}}\n"
    doubt, other = reversed(doubts(load(catalogs.written(tmp_path / "wide", partners=partners, seller=tagged))))
    assert other.startswith("sources.edge.own: a tag names the partner here")
    assert doubt.startswith("partners.us.credentials.0: every client of https://login.example")


def test_ids_are_listed_as_many_as_somebody_reads(tmp_path: Path) -> None:
    """A reference that leads nowhere among thousands of partners is one line, not one of a hundred thousand
    characters.
    """
    first = PARTNERS.partition("  - id: zeta")[0].partition("\n")[2]
    partners = "partners:\n" + "".join(
        first.replace("id: acme", f"id: p{i:03}").replace("key-a", f"key-{i}") for i in range(100)
    )
    seller = SELLER + "sources:\n  - {id: push, partner: gone}\n"
    (found,) = problems(catalogs.written(tmp_path / "catalog", partners=partners, seller=seller))
    assert "known ids: p000, p001, p002," in found.message
    assert found.message.endswith("p019 and 80 more")


def test_the_catalog_of_a_close_is_read_once() -> None:
    """Each invoice of a close asks for it."""
    document = json.dumps({"catalog": json.loads(catalogs.book().canonical_json())})
    assert of_close(document) is of_close(document[:1] + document[1:])
    assert of_close(document).sha256 == catalogs.book().sha256


DAYS = ["0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31"]
INSTANTS = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-12:00",
    "2026-01-01T00:00:00+23:59",
]
NO_DAYS = [
    "10000-01-01", "0000-01-01", "-0001-01-01", "2026-02-30", "20260101", "0", "1767225600", "1e5", "inf", "2026-01-01 ",
    "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:60Z", "\u0662\u0660\u0662\u0666-01-01", "",
]  # fmt: skip


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati", "UTC", "America/New_York", "Etc/GMT+12"])
@pytest.mark.parametrize("bound", ["valid_from", "valid_to"])
def test_dates_at_the_edges_of_time_are_dates(tmp_path: Path, zone: str, bound: str) -> None:
    """The year 1 in Tokyo lies before the year 1 in UTC: that ended the process. What lies beyond means the edge."""
    for value in [*DAYS, *INSTANTS]:
        text = PARTNERS.replace("Europe/Berlin", zone, 1).replace(
            "id: key-a, valid_from: 2026-01-01", f'id: key-a, {bound}: "{value}"'
        )
        partner = load(catalogs.written(tmp_path / "catalog", partners=text)).partners[0]
        start, end = partner.validity_us(partner.credentials[0])
        assert start < end
        assert -(10**17) < (start if bound == "valid_from" else end) < 10**18


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "Etc/GMT-14", "Etc/GMT+12"])
def test_plans_and_prices_may_begin_and_end_at_the_edges_of_time(tmp_path: Path, zone: str) -> None:
    """`0001-01-01` and `9999-12-31` are written for always and for ever; the month between is billed as any other."""
    text = PARTNERS.replace("Europe/Berlin", zone, 1)
    always = text.replace(
        "{plan: plan-a, valid_from: 2026-01-01}", "{plan: plan-a, valid_from: 0001-01-01, valid_to: 9999-12-31}", 1
    )
    prices = PRICES.replace("valid_from: 2026-01-01", "valid_from: 0001-01-01")
    catalog = load(catalogs.written(tmp_path / "catalog", partners=always, prices=prices))
    assert type(catalog).model_validate_json(catalog.canonical_json()).sha256 == catalog.sha256
    start, end = (catalog.partners[0].instant(d) for d in (date(2026, 10, 1), date(2026, 11, 1)))
    first, last = (from_us(us) for us in catalog.partners[0].validity_us(catalog.partners[0].plans[0]))
    assert first < start < end < last


@pytest.mark.parametrize("value", NO_DAYS)
@pytest.mark.parametrize("field", ["plans", "credentials", "versions"])
def test_what_is_no_date_is_refused_with_the_form(tmp_path: Path, value: str, field: str) -> None:
    """20260101 was taken for seconds since 1970, so a credential without dashes in its date was valid since August
    1970.
    """
    old = {"plans": "{plan: plan-a, valid_from: 2026-01-01}", "credentials": "id: key-a, valid_from: 2026-01-01"}.get(
        field, "valid_from: 2026-01-01"
    )
    new = old.replace("2026-01-01", f'"{value}"')
    changed = (
        {"prices": PRICES.replace(old, new, 1)} if field == "versions" else {"partners": PARTNERS.replace(old, new, 1)}
    )
    (found,) = problems(catalogs.written(tmp_path / "catalog", **changed))
    assert found.field.endswith("valid_from")
    assert "is not a date; write it like 2026-01-31" in found.message


@pytest.mark.parametrize("there", ["id: acme", "id: plan-a", "id: standard", "id: north", "{id: egress"])
def test_an_id_that_looks_like_an_option_is_refused(tmp_path: Path, there: str) -> None:
    """`tollbook usage --help` could mean a partner. A close that keeps such an id is still read."""
    instead = there.partition("id: ")[0] + "id: --help"
    changed = {stem.removesuffix(".yaml"): text.replace(there, instead) for stem, text in FILES.items()}
    found = problems(catalogs.written(tmp_path / "catalog", **changed))
    assert any("'--help' begins with a dash, so a command would read it as an option" in p.message for p in found)
    assert Partner.model_validate({**catalogs.document()["partners"][0], "id": "--help"}).id == "--help"
