"""Imports and people at one catalog: what each wrote stays its own, twice is once, nothing that a person did is
undone.
"""

import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.catalog import loading as catalogs
from billing.catalog.imports.credential_merge import NOTHING
from billing.catalog.imports.model import (
    BadDocument,
    ImportConflict,
    ImportedCredential,
    ImportedGrant,
    ImportedPlan,
    ImportModel,
    ImportOptions,
    Period,
)
from billing.catalog.imports.owners import OwnershipRules
from billing.catalog.imports.proposal import Proposal, propose, write
from billing.catalog.loading import CatalogError
from schemas.catalog.credentials import Credential, Grant
from schemas.catalog.records import Catalog

SELLER = """\
legal_entities:
  - {id: seller, name: Seller Ltd, invoice_prefix: S}
"""
PRICES = """\
# Prices of 2026, agreed with sales.
meters:
  - {id: requests, aggregate: count, unit: requests}
  - {id: thousands, aggregate: count, unit: thousand requests, divide_by: 1000}
rate_cards:
  - id: card
    currency: EUR
    versions:
      - valid_from: 2026-01-01
        rates:
          - {meter: requests, price: {model: per_unit, unit_price: 0.25}}
          - {meter: thousands, price: {model: per_unit, unit_price: 0}}
"""
PARTNERS = """\
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Europe/Berlin
    # keys are in the vault under acme/
    credentials:
      - {kind: consumer, id: c-acme}   # since the pilot
  - {id: zeta, name: Zeta, legal_entity: seller, time_zone: Etc/UTC}
"""
START = date(2026, 11, 1)
NEW = ImportOptions(rate_card="card", valid_from=START)
ROLE = "arn:aws:iam::444455556666:role/export"
READ = ImportedGrant(("s3:GetObject",), ("arn:aws:s3:::b/*",), ("203.0.113.0/24",))
CALL = ImportedGrant(("lambda:InvokeFunction",), ("arn:aws:lambda:eu-central-1:1:function:f",))
Quotas = dict[Period, Decimal]
NO_RULES = OwnershipRules()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "catalog")


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in {"seller": SELLER, "prices": PRICES, "partners": PARTNERS}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def plan(
    address: str = "t.plan",
    name: str = "Wholesale",
    *,
    limit: int = 1_000_000,
    rate: int | None = 100,
    burst: int = 50,
    **quotas: int,
) -> ImportedPlan:
    found: Quotas = {"MONTH": Decimal(limit)}
    if "day" in quotas:
        found["DAY"] = Decimal(quotas["day"])
    return ImportedPlan(address, name, found, None if rate is None else Decimal(rate), burst, (name,))


def key(
    key_id: str = "k1", partner: str | None = "acme", plan: str | None = "t.plan", address: str = ""
) -> ImportedCredential:
    return ImportedCredential("api_key", key_id, address or f"t.{key_id}", (key_id,), partner, plan)


def role(*allow: ImportedGrant, partner: str = "acme") -> ImportedCredential:
    return ImportedCredential("iam", ROLE, "t.role", (ROLE,), partner, None, allow)


def found(*things: ImportedPlan | ImportedCredential, secrets: frozenset[str] = frozenset()) -> ImportModel:
    return ImportModel(
        plans=tuple(t for t in things if isinstance(t, ImportedPlan)),
        credentials=tuple(t for t in things if isinstance(t, ImportedCredential)),
        secrets=secrets,
    )


WHOLE = found(plan(), key())


def imported(
    folder: Path,
    document: ImportModel,
    *,
    name: str = "t",
    rules: OwnershipRules = NO_RULES,
    options: ImportOptions = NEW,
) -> Proposal:
    """Propose, write, and look that a second time changes nothing."""
    proposal = propose(folder, document, name=name, rules=rules, options=options)
    write(proposal)
    again = propose(folder, document, name=name, rules=rules, options=options)
    assert again.is_nothing, again.changes
    assert again.notes == proposal.notes or options.overwrite
    return proposal


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert text.count(old) == 1, text
    (folder / file).write_text(text.replace(old, new))


def notes(proposal: Proposal) -> list[str]:
    return [f"{n.attribute}: {n.why}" for n in proposal.notes]


def credential(book: Catalog, key_id: str = ROLE) -> Credential:
    (one,) = [c for p in book.partners for c in p.credentials if c.id == key_id]
    return one


def test_a_plan_with_its_key_becomes_a_plan_an_assignment_and_a_credential(folder: Path) -> None:
    """1,000,000 requests a MONTH, rate 100, burst 50, one key: what issue 5 asks for, exactly.

    It passes the catalog's check.
    """
    assert imported(folder, WHOLE).notes == ()
    book = catalogs.load(folder)
    made_plan, acme = book.plan("wholesale"), book.partner("acme")
    assert acme is not None
    assert made_plan.rate_card == "card"
    assert [(q.meter, q.period, q.limit) for q in made_plan.quotas] == [("requests", "MONTH", Decimal(1_000_000))]
    assert made_plan.throttle is not None
    assert (made_plan.throttle.rate_per_s, made_plan.throttle.burst) == (Decimal(100), 50)
    assert [(a.plan, a.valid_from, a.valid_to) for a in acme.plans] == [("wholesale", START, None)]
    assert [(c.kind, c.id, c.valid_from) for c in acme.credentials] == [
        ("consumer", "c-acme", None),
        ("api_key", "k1", START),
    ]


def test_everything_a_person_wrote_keeps_its_bytes(folder: Path) -> None:
    """Comments, quotes, order: the lines of before are the lines of after, some others between them."""
    imported(folder, WHOLE)
    after = (folder / "partners.yaml").read_text().splitlines()
    rest = iter(after)
    assert all(line in rest for line in PARTNERS.splitlines())
    assert (folder / "prices.yaml").read_text() == PRICES


def test_nothing_is_written_before_it_is_agreed(folder: Path) -> None:
    """A proposal is a value."""
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert not propose(folder, WHOLE, name="t", rules=OwnershipRules(), options=NEW).is_nothing
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_what_the_document_changed_is_changed(folder: Path) -> None:
    """The import wrote it, nobody else touched it: the gateway's limit is the catalog's."""
    imported(folder, WHOLE)
    proposal = imported(folder, found(plan(limit=2_000_000, burst=80, day=9), key(), key("k2")))
    book = catalogs.load(folder)
    assert {q.period: q.limit for q in book.plan("wholesale").quotas} == {
        "MONTH": Decimal(2_000_000),
        "DAY": Decimal(9),
    }
    throttle = book.plan("wholesale").throttle
    assert throttle is not None
    assert (throttle.rate_per_s, throttle.burst) == (Decimal(100), 80)
    assert credential(book, "k2")
    assert ["gives each of the 2 keys of partner acme the quota separately" in n for n in notes(proposal)] == [True]


# What a person does after an import: the place, the old value, the new value, and the note if the document changes as
# well.
BY_HAND: dict[str, tuple[str, str, str, str]] = {
    "another limit": ("imported-t.yaml", "limit: 1000000", "limit: 1500000", "it was set to 1500000 by hand; the document has 2000000"),
    "another burst": ("imported-t.yaml", "burst: 50", "burst: 60", "it was set to 60 by hand; the document has 80"),
    "a quota less": ("imported-t.yaml", "    quotas:\n      - {meter: requests, period: MONTH, limit: 1000000}\n", "", "it was removed by hand"),
    "a throttle less": ("imported-t.yaml", "    throttle: {rate_per_s: 100, burst: 50}\n", "", "it was removed by hand"),
    "a key less": ("partners.yaml", "      - {kind: api_key, id: k1, valid_from: 2026-11-01}  # t.k1\n", "", "it was removed by hand"),
    "a key ended": ("partners.yaml", "id: k1, valid_from: 2026-11-01}", "id: k1, valid_from: 2026-11-01, valid_to: 2026-11-20T10:00:00Z}", "it ended on 2026-11-20"),
    "an assignment less": ("partners.yaml", "    plans:\n      - {plan: wholesale, valid_from: 2026-11-01}  # t.plan\n", "", "it was removed by hand"),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_what_a_person_changed_afterwards_stays_with_a_note(folder: Path, name: str) -> None:
    """The gateway and the contract may differ: that is a person's decision, which no import takes back."""
    imported(folder, WHOLE)
    file, old, new, says = BY_HAND[name]
    edit(folder, file, old, new)
    kept = (folder / file).read_text()
    proposal = imported(
        folder, found(plan(limit=2_000_000, burst=80), key()), options=NEW._replace(valid_from=date(2026, 12, 1))
    )
    assert any(says in note for note in notes(proposal)), notes(proposal)
    after = (folder / file).read_text()
    assert new.strip() in after
    assert old not in after
    assert len(after.splitlines()) == len(kept.splitlines())


def test_overwrite_takes_the_documents_word(folder: Path) -> None:
    """For whoever sees the diff and means it."""
    imported(folder, WHOLE)
    edit(folder, "imported-t.yaml", "limit: 1000000", "limit: 1500000")
    edit(folder, "partners.yaml", "      - {kind: api_key, id: k1, valid_from: 2026-11-01}  # t.k1\n", "")
    imported(folder, WHOLE, options=NEW._replace(overwrite=True))
    book = catalogs.load(folder)
    assert book.plan("wholesale").quotas[0].limit == 1_000_000
    assert credential(book, "k1")


def test_what_was_written_by_hand_before_the_first_import_is_kept_too(folder: Path) -> None:
    """A hand-written plan keeps rate card, thresholds and limit; what it lacks is added, and what differs has a
    note.
    """
    (folder / "plans.yaml").write_text(
        "plans:\n  - id: wholesale\n    rate_card: card\n    quotas:\n"
        "      - {meter: thousands, period: MONTH, limit: 500, thresholds: [70]}  # contract 4711\n"
    )
    proposal = imported(folder, WHOLE, options=ImportOptions(valid_from=START))
    (quota,) = catalogs.load(folder).plan("wholesale").quotas
    assert (quota.limit, quota.thresholds) == (Decimal(500), (Decimal(70),))
    assert notes(proposal) == [
        "plan wholesale: quotas thousands MONTH: limit: it was set to 500 by hand; the document has 1000"
    ]
    assert catalogs.load(folder).plan("wholesale").throttle is not None
    assert "# contract 4711" in (folder / "plans.yaml").read_text()
    assert not (folder / "imported-t.yaml").exists()


def test_a_quota_is_in_the_unit_of_its_meter(folder: Path) -> None:
    """A million requests are a thousand thousands."""
    imported(folder, WHOLE, options=NEW._replace(meter="thousands"))
    assert [(q.meter, q.limit) for q in catalogs.load(folder).plan("wholesale").quotas] == [
        ("thousands", Decimal(1000))
    ]


def test_what_left_the_document_stays_and_is_named_until_somebody_decided(folder: Path) -> None:
    """Old months need ended credentials: an import never deletes one, and cannot know the day of its end."""
    imported(folder, WHOLE)
    gone = imported(folder, found())
    assert {n.attribute for n in gone.notes} == {
        "quota requests MONTH",
        "throttle rate_per_s",
        "throttle burst",
        "assignment wholesale",
        "credential api_key k1",
    }
    edit(
        folder,
        "partners.yaml",
        "id: k1, valid_from: 2026-11-01}",
        "id: k1, valid_from: 2026-11-01, valid_to: 2026-12-01}",
    )
    edit(
        folder,
        "partners.yaml",
        "{plan: wholesale, valid_from: 2026-11-01}",
        "{plan: wholesale, valid_from: 2026-11-01, valid_to: 2026-12-01}",
    )
    proposal = propose(folder, found(), name="t", rules=OwnershipRules(), options=NEW)
    assert {n.attribute for n in proposal.notes} == {"quota requests MONTH", "throttle rate_per_s", "throttle burst"}


def test_a_policys_grants_become_the_credentials(folder: Path) -> None:
    """As the check of usage reads them."""
    imported(folder, found(role(READ, CALL)))
    assert credential(catalogs.load(folder)).allow == (
        Grant(actions=READ.actions, resources=READ.resources, networks=READ.networks), Grant(actions=CALL.actions, resources=CALL.resources),
    )  # fmt: skip


def grants(folder: Path) -> list[str]:
    return [" ".join(g.actions) for g in credential(catalogs.load(folder)).allow or ()]


def test_a_narrower_policy_narrows_the_check_and_a_persons_grants_stay(folder: Path) -> None:
    """A grant that the policy lost would let pass what AWS no longer allows; one that a person added is nobody
    else's.
    """
    imported(folder, found(role(READ, CALL)))
    edit(
        folder,
        "partners.yaml",
        "          - actions: [lambda",
        "          - actions: [sqs:SendMessage]  # by hand\n          - actions: [lambda",
    )
    narrower = READ._replace(networks=("203.0.113.0/25",))
    imported(folder, found(role(narrower)))
    allow = credential(catalogs.load(folder)).allow or ()
    assert [(g.actions, g.networks) for g in allow] == [
        (("sqs:SendMessage",), None),
        (("s3:GetObject",), ("203.0.113.0/25",)),
    ]
    assert "# by hand" in (folder / "partners.yaml").read_text()


def test_a_policy_that_allows_nothing_is_not_one_that_is_not_checked(folder: Path) -> None:
    """Without a grant nothing would be checked: a grant that fits nothing stands for it, and goes when there is a
    real one.
    """
    first = imported(folder, found(role()))
    assert grants(folder) == list(NOTHING.actions)
    assert any("every request of it will be marked" in n for n in notes(first))
    imported(folder, found(role(READ)))
    assert grants(folder) == ["s3:GetObject"]
    imported(folder, found(role()))
    assert grants(folder) == list(NOTHING.actions)


def test_two_policies_of_one_principal_keep_to_their_own_grants(folder: Path) -> None:
    """Each is imported under its own name; what one loses and the other has stays."""
    imported(folder, found(role(READ, CALL)), name="one")
    imported(folder, found(role(CALL)), name="two")
    assert grants(folder) == ["s3:GetObject", "lambda:InvokeFunction"]
    imported(folder, found(role(READ)), name="one")
    assert grants(folder) == ["s3:GetObject", "lambda:InvokeFunction"]
    propose_two = imported(folder, found(role(READ._replace(actions=("sqs:SendMessage",)))), name="two")
    assert grants(folder) == ["s3:GetObject", "sqs:SendMessage"]
    assert propose_two.notes == ()


def test_grants_that_a_person_took_away_stay_away(folder: Path) -> None:
    """A check that a person made stricter is not made looser; one that was removed is not added again.

    Both have a note.
    """
    imported(folder, found(role(READ, CALL)))
    text = (folder / "partners.yaml").read_text()
    start = text.index("          - actions: [lambda")
    end = text.index("function:f]\n", start) + len("function:f]\n")
    (folder / "partners.yaml").write_text(text[:start] + text[end:])
    assert any(
        "lambda:InvokeFunction was removed by hand" in n for n in notes(imported(folder, found(role(READ, CALL))))
    )
    assert grants(folder) == ["s3:GetObject"]
    text = (folder / "partners.yaml").read_text()
    start = text.index("        allow:")
    (folder / "partners.yaml").write_text(text[:start] + text[text.index("  - {id: zeta") :])
    assert any("nothing is checked" in n for n in notes(imported(folder, found(role(READ, CALL)))))
    assert credential(catalogs.load(folder)).allow is None


def test_a_check_never_ends_because_its_last_grant_went(folder: Path) -> None:
    """One grant a person took away, the other the policy lost: an empty list would be no check at all."""
    imported(folder, found(role(READ, CALL)))
    text = (folder / "partners.yaml").read_text()
    start = text.index("          - actions: [lambda")
    end = text.index("function:f]\n", start) + len("function:f]\n")
    (folder / "partners.yaml").write_text(text[:start] + text[end:])
    imported(folder, found(role(CALL)))
    assert grants(folder) == list(NOTHING.actions)


# What a person must decide first: the document, the options, and every line of the message.
UNSETTLED: dict[str, tuple[ImportModel, ImportOptions, OwnershipRules, list[str]]] = {
    "credentials without a partner": (
        found(key("k1", None, None), key("k2", None, None), key("k3", "acme", None)), NEW, OwnershipRules(),
        [r"t\.k1 \(api_key\) has no partner: tag it tollbook_partner, or pass --partner 't\.k1=ID', or --ignore 't\.k1'", r"t\.k2 .* has no partner"],
    ),
    "a partner who is not there": (
        found(key(partner="nobody")), NEW, OwnershipRules(),
        [r"belongs to partner 'nobody', which is not in the catalog; .*: acme, zeta"],
    ),
    "a plan without prices": (
        WHOLE, ImportOptions(valid_from=START), OwnershipRules(),
        [r"t\.plan: plan wholesale is new, and it needs prices; pass --rate-card ID; .*: card"],
    ),
    "a rate card that is not there": (WHOLE, NEW._replace(rate_card="gold"), OwnershipRules(), [r"--rate-card gold is not in the catalog.*the catalog has: card"]),
    "no day": (WHOLE, ImportOptions(rate_card="card"), OwnershipRules(), [r"does not say from which day partner acme has plan wholesale; pass --valid-from DATE"]),
    "a meter that is none": (
        WHOLE, NEW._replace(meter="egress"), OwnershipRules(),
        [r"--meter egress does not name a meter that counts requests; .*: requests, thousands"],
    ),
    "two plans of one name": (
        found(plan(), plan("t.other"), key(), key("k2", "zeta", "t.other")), NEW, OwnershipRules(), [r"t\.other and t\.plan would both become plan wholesale; .*--plan"],
    ),
    "a name of signs": (found(plan(name="***"), key()), NEW, OwnershipRules(), [r"t\.plan: its name contains no character of a plan id"]),
    "a credential of two": (
        found(key(), key(partner="zeta", address="t.again")), NEW, OwnershipRules(),
        [r"t\.again: api_key k1 is assigned to both acme and zeta"],
    ),
    "somebody else's": (
        found(ImportedCredential("consumer", "c-acme", "t.c", ("c-acme",), "zeta")), NEW, OwnershipRules(),
        [r"c-acme belongs to zeta by the rules and to acme in the catalog"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSETTLED)
def test_what_only_a_person_can_say_is_asked_for_all_at_once(folder: Path, name: str) -> None:
    """Each with the option that says it; nothing is guessed and nothing written."""
    document, options, rules, says = UNSETTLED[name]
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(ImportConflict) as refused:
        propose(folder, document, name="t", rules=rules, options=options)
    assert len(refused.value.problems) == len(says), refused.value.problems
    for problem, pattern in zip(refused.value.problems, says, strict=True):
        assert re.search(pattern, problem), problem
        assert "\n" not in problem
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_rules_say_whose_a_credential_is(folder: Path) -> None:
    """An exact name goes before a pattern, a rule before a tag, a tag before being ignored."""
    rules = OwnershipRules((("t.*", None), ("k?", "zeta"), ("t.k1", "acme")), ())
    document = found(
        key("k1", None, None),
        key("k2", None, None),
        key("k3", "acme", None),
        key("other", None, None, address="x.other"),
    )
    with pytest.raises(ImportConflict, match=r"x\.other"):
        propose(folder, document, name="t", rules=rules, options=NEW)
    proposal = imported(folder, document, rules=rules._replace(partners=(*rules.partners, ("*", None))))
    book = catalogs.load(folder)
    owner = {c.id: p.id for p in book.partners for c in p.credentials}
    assert owner == {"c-acme": "acme", "k1": "acme", "k3": "acme"}
    assert proposal.ignored == ("t.k2", "x.other")


def test_a_plan_of_the_catalog_can_be_named(folder: Path) -> None:
    """The gateway's name for it is not the contract's."""
    (folder / "plans.yaml").write_text("plans:\n  - {id: gold, rate_card: card}\n")
    imported(folder, WHOLE, rules=OwnershipRules(plans=(("Whole*", "gold"),)))
    assert [(p.id, len(p.quotas)) for p in catalogs.load(folder).plans] == [("gold", 1)]


def test_a_partner_has_one_plan_at_a_time(folder: Path) -> None:
    """A second one, of the document or by hand, is named and not assigned: which holds is in the contract."""
    two = imported(folder, found(plan(), plan("t.b", "b"), key(), key("k2", plan="t.b")))
    assert any("its credentials are in several plans" in n for n in notes(two))
    assert catalogs.load(folder).partner("acme").plans == ()  # type: ignore[union-attr]
    edit(folder, "partners.yaml", "    # keys are", "    plans: [{plan: b, valid_from: 2026-01-01}]\n    # keys are")
    one = imported(folder, WHOLE)
    assert any("has plan b from 2026-01-01 on; a partner has one plan at a time" in n for n in notes(one))


def test_a_key_that_moved_to_another_plan_waits_for_the_day_of_the_move(folder: Path) -> None:
    """The document does not say it. Once a person has ended the old plan, the new one is assigned from that day on."""
    imported(folder, WHOLE)
    moved = found(plan("t.b", "b"), key(plan="t.b"))
    assert any(
        "has plan wholesale from 2026-11-01 on; a partner has one plan at a time" in n
        for n in notes(imported(folder, moved))
    )
    edit(
        folder,
        "partners.yaml",
        "{plan: wholesale, valid_from: 2026-11-01}",
        "{plan: wholesale, valid_from: 2026-11-01, valid_to: 2026-12-01}",
    )
    imported(folder, moved, options=NEW._replace(valid_from=date(2026, 12, 1)))
    acme = catalogs.load(folder).partner("acme")
    assert acme is not None
    assert [(a.plan, a.valid_from, a.valid_to) for a in acme.plans] == [
        ("wholesale", date(2026, 11, 1), date(2026, 12, 1)), ("b", date(2026, 12, 1), None),
    ]  # fmt: skip


def test_a_key_of_the_document_never_reaches_a_file_or_a_message(folder: Path) -> None:
    """Somebody named a thing by its key. It is refused, and the refusal does not say it either."""
    secret = "sk-live-0123456789abcdef"
    with pytest.raises(ImportConflict, match="would hold a key") as refused:
        propose(
            folder,
            found(key(address=f"t.{secret}", plan=None), secrets=frozenset({secret})),
            name="t",
            rules=OwnershipRules(),
            options=NEW,
        )
    assert secret not in str(refused.value)
    with pytest.raises(ImportConflict, match="has no partner") as refused:
        propose(
            folder,
            found(key(partner=None, address=secret), secrets=frozenset({secret})),
            name="t",
            rules=OwnershipRules(),
            options=NEW,
        )
    assert secret not in str(refused.value)


def test_a_broken_catalog_is_not_imported_into(folder: Path) -> None:
    """Its own problems come first, with file and line."""
    edit(folder, "partners.yaml", "Europe/Berlin", "Mars")
    with pytest.raises(CatalogError, match="unknown time zone"):
        propose(folder, WHOLE, name="t", rules=OwnershipRules(), options=NEW)


@pytest.mark.parametrize(
    "text",
    [
        b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format": 2, "facts": {}}', b'{"format": 1, "facts": []}', b'{"format": 1, "facts": {"x/y": 1}}',
        b'{"format": 1, "facts": {"quota/p": 1}}', b'{"format": 1, "facts": {"grants/iam/a": 5}}', b'{"format": 1, "facts": {"grants/iam/a": [{}]}}',
    ],
    ids=lambda t: t.decode(errors="replace")[:50],
)  # fmt: skip
def test_a_spoiled_record_of_an_import_is_refused(folder: Path, text: bytes) -> None:
    """Guessing who wrote what would undo a person's work."""
    (folder / "imported-t.json").write_bytes(text)
    with pytest.raises(BadDocument, match=r"imported-t\.json is not a valid import state"):
        propose(folder, WHOLE, name="t", rules=OwnershipRules(), options=NEW)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 101])
def test_a_name_is_part_of_a_file_name(folder: Path, name: str) -> None:
    """And leads nowhere else."""
    with pytest.raises(BadDocument, match="--name"):
        propose(folder, WHOLE, name=name, rules=OwnershipRules(), options=NEW)


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(folder: Path) -> None:
    """Between the diff and the answer somebody else may have saved."""
    proposal = propose(folder, WHOLE, name="t", rules=OwnershipRules(), options=NEW)
    edit(folder, "partners.yaml", "Acme Inc", "Acme AG")
    with pytest.raises(ImportConflict, match="changed since it was read; nothing was written"):
        write(proposal)
    assert not (folder / "imported-t.yaml").exists()


def test_an_import_that_was_killed_while_it_wrote_is_made_whole_by_the_next(folder: Path) -> None:
    """Files are put in place one by one, the record of the import last."""
    whole = propose(folder, WHOLE, name="t", rules=OwnershipRules(), options=NEW)
    write(whole._replace(changes=whole.changes[:1], state=None))
    imported(folder, WHOLE)
    again = folder.parent / "again"
    again.mkdir()
    imported(made(again), WHOLE)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {f.name: f.read_bytes() for f in again.iterdir()}


def test_links_are_written_through(folder: Path) -> None:
    """A catalog may be a folder of links into another checkout."""
    real = folder.parent / "real.yaml"
    (folder / "partners.yaml").rename(real)
    (folder / "partners.yaml").symlink_to(real)
    imported(folder, WHOLE)
    assert (folder / "partners.yaml").is_symlink()
    assert "k1" in real.read_text()


LIMITS = st.integers(1, 4)
DOCUMENTS = st.builds(
    lambda limit, rate, keys, allow: found(
        plan(limit=limit, rate=rate), *(key(f"k{k}") for k in sorted(keys)), *([role(*allow)] if allow is not None else [])
    ),
    LIMITS, LIMITS, st.frozensets(st.integers(1, 3), min_size=1), st.none() | st.lists(st.sampled_from([READ, CALL]), unique=True, max_size=2),
)  # fmt: skip


def by_person(catalog: Catalog, marks: list[str]) -> list[Any]:
    """What is a person's in a catalog: the partner's own fields, the credentials that were added by hand, prices."""
    acme = catalog.partner("acme")
    assert acme is not None
    return [
        acme.name,
        [c for c in acme.credentials if c.id == "c-acme" or c.id in marks],
        catalog.rate_cards,
        catalog.meters,
    ]


HANDS: list[Callable[[str, str], str]] = [
    lambda text, mark: text.replace(
        "    credentials:\n", f"    credentials:\n      - {{kind: api_key, id: {mark}}}  # {mark}\n", 1
    ),
    lambda text, mark: (
        text.replace("name: Acme Inc\n", f"name: Acme Inc  # {mark}\n", 1)
        if "Inc  #" not in text
        else f"# {mark}\n{text}"
    ),
    lambda text, mark: f"{text}# {mark}\n",
]


@pytest.mark.integration
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.tuples(DOCUMENTS, st.sampled_from(range(len(HANDS)))), min_size=1, max_size=4))
def test_any_order_of_imports_and_edits_keeps_what_a_person_added(
    tmp_path: Path, steps: list[tuple[ImportModel, int]]
) -> None:
    """The law of the merge: after each import a second is nothing, and every comment and record of a person is still
    there.
    """
    folder = made(tmp_path / "c")
    marks: list[str] = []
    for number, (document, hand) in enumerate(steps):
        before = by_person(catalogs.load(folder), marks)
        imported(folder, document)
        assert by_person(catalogs.load(folder), marks) == before
        marks.append(f"by-hand-{number}")
        file = folder / "partners.yaml"
        file.write_text(HANDS[hand](file.read_text(), marks[-1]))
        assert all(mark in file.read_text() for mark in marks)
    last = steps[-1][0]
    imported(folder, last)
    book = catalogs.load(folder)
    assert all(mark in (folder / "partners.yaml").read_text() for mark in marks)
    assert book.plan("wholesale").quotas[0].limit == last.plans[0].quotas["MONTH"]
    assert {c.id for c in last.credentials} <= {c.id for c in book.partner("acme").credentials}  # type: ignore[union-attr]
    json.loads((folder / "imported-t.json").read_text())
