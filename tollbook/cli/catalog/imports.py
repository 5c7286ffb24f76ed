"""`tollbook catalog import …`: configuration of other systems as a diff, then in the catalog."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from billing.catalog import openmeter
from billing.catalog.imports import deck as deck_files
from billing.catalog.imports import iam as policies
from billing.catalog.imports import owners
from billing.catalog.imports import terraform as plans
from billing.catalog.imports.model import ImportedCredential, ImportModel, ImportOptions
from billing.catalog.imports.owners import OwnershipRules
from billing.catalog.imports.proposal import Proposal, difference, propose, write
from billing.catalog.imports.reading import json_document
from tollbook.cli.catalog import screens
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.options import CatalogOption, JsonOption
from tollbook.cli.terminal import complain, show_json

app = App(
    name="import",
    help="Import usage plans, keys and policies from other systems into a catalog.\n\n"
    "The import shows a diff first, keeps manual changes, and lists what a catalog cannot express.\n\n"
    "Example: tollbook catalog import terraform plan.json --catalog examples/catalog --dry-run",
    help_epilogue="",
)
PartnersOption = Annotated[
    list[str] | None,
    Parameter(
        "--partner", negative="",
        help="PATTERN=ID: partner of credentials whose address, id, ARN or name matches; * matches any text, ? one character. Repeatable.",
    ),
]  # fmt: skip
PartnersFileOption = Annotated[
    Path | None, Parameter("--partners", help="YAML file of --partner rules: `pattern: id`, or null to ignore.")
]
IgnoreOption = Annotated[
    list[str] | None,
    Parameter(
        "--ignore",
        negative="",
        help="PATTERN of credentials that belong to no partner. Tagged credentials are still imported. Repeatable.",
    ),
]
TagOption = Annotated[str, Parameter("--tag", help="Name of the tag that holds the partner's id.")]
PlansOption = Annotated[
    list[str] | None,
    Parameter(
        "--plan",
        negative="",
        help="PATTERN=ID: plan of the catalog for a matching plan. By default, it is derived from the name. Repeatable.",
    ),
]
RateCardOption = Annotated[
    str | None, Parameter("--rate-card", help="Rate card of new plans. Existing plans keep theirs.")
]
MeterOption = Annotated[
    str | None,
    Parameter("--meter", help="Meter of quotas. By default `requests`, or the only meter that counts requests."),
]

NameOption = Annotated[
    str | None,
    Parameter("--name", help="Name of this import, used in its file names. Keep it the same for the same document."),
]
DryRunOption = Annotated[
    bool,
    Parameter("--dry-run", negative="", show_default=False, help="Show what would be written, and write nothing."),
]
YesOption = Annotated[bool, Parameter("--yes", negative="", show_default=False, help="Write without asking.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The options of every import."""

    catalog: CatalogOption
    name: NameOption = None
    valid_from: Annotated[
        datetime | None,
        Parameter("--valid-from", help="First day of new records, YYYY-MM-DD. The documents do not contain it."),
    ] = None
    overwrite: Annotated[
        bool,
        Parameter(
            "--overwrite",
            negative="",
            show_default=False,
            help="Replace manual changes with the values of the document.",
        ),
    ] = False
    dry_run: DryRunOption = False
    yes: YesOption = False


@app.command
def terraform(
    file: Annotated[Path, Parameter(help="Output of `terraform show -json` for a plan or a state.")],
    /,
    common: CommonOptions,
    *,
    partner: PartnersOption = None,
    partners: PartnersFileOption = None,
    ignore: IgnoreOption = None,
    tag: TagOption = owners.TAG,
    plan: PlansOption = None,
    rate_card: RateCardOption = None,
    meter: MeterOption = None,
    json: JsonOption = False,
) -> int:
    """Import API Gateway's keys and usage plans, and the policies of IAM roles and users.

    Example: tollbook catalog import terraform plan.json --catalog examples/catalog --rate-card wholesale --valid-from 2026-11-01
    """  # noqa: W505  # the example is one line
    rules = _rules(partner, partners, ignore, plan, tag)
    options = _options(common, rate_card, meter)
    return _run(lambda: plans.read(file, tag=tag), common.name or "terraform", rules, options, common, json=json)


@app.command
def deck(
    file: Annotated[Path, Parameter(help="Kong's configuration, written by `deck gateway dump --with-id`.")],
    /,
    common: CommonOptions,
    *,
    partner: PartnersOption = None,
    partners: PartnersFileOption = None,
    ignore: IgnoreOption = None,
    tag: TagOption = owners.TAG,
    plan: PlansOption = None,
    rate_card: RateCardOption = None,
    meter: MeterOption = None,
    json: JsonOption = False,
) -> int:
    """Import Kong's consumers, the ids of their keys, and their rate limits.

    The tag of a consumer is `tollbook_partner:ID`.

    Example: tollbook catalog import deck kong.yaml --catalog examples/catalog --partner 'northwind-*=northwind' --ignore 'internal-*'
    """  # noqa: W505  # the example is one line
    rules = _rules(partner, partners, ignore, plan, tag)
    options = _options(common, rate_card, meter)
    return _run(lambda: deck_files.read(file, tag=tag), common.name or "deck", rules, options, common, json=json)


@app.command
def iam(
    file: Annotated[Path, Parameter(help="An IAM policy: JSON with Version and Statement.")],
    /,
    common: CommonOptions,
    *,
    principal: Annotated[str, Parameter("--principal", help="ARN of the role or user that has the policy.")],
    partner: Annotated[str, Parameter("--partner", help="Id of the partner that the principal belongs to.")],
    json: JsonOption = False,
) -> int:
    """Import what a policy allows its principal, as grants of that credential.

    Import several policies of one principal one by one, each with its own --name.

    Example: tollbook catalog import iam policy.json --catalog examples/catalog --principal arn:aws:iam::444455556666:role/Export --partner globex
    """  # noqa: W505  # the example is one line
    if not principal.startswith("arn:") or any(not c.isprintable() or c == " " for c in principal):
        raise WrongUse(f"--principal {principal!r} is not an ARN; write one like arn:aws:iam::444455556666:role/Export")
    name = common.name or owners.slug(f"iam-{principal.rpartition('/')[2][:40]}-{file.stem}")
    rules = OwnershipRules(partners=((principal, partner),))
    return _run(lambda: _policy(file, principal), name, rules, _options(common), common, json=json)


@app.command(name="openmeter")
def meters(
    file: Annotated[Path, Parameter(help="OpenMeter's configuration file, or a list of meters from its API.")],
    /,
    *,
    catalog: CatalogOption,
    name: NameOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Import OpenMeter's meters, with the paths of their values and groups. Meters of the catalog stay unchanged.

    Example: tollbook catalog import openmeter config.yaml --catalog examples/catalog --dry-run
    """
    proposal = openmeter.propose(catalog, file, name=name or "openmeter")
    return _finished(proposal, dry_run=dry_run, yes=yes, json=json)


def _policy(file: Path, principal: str) -> ImportModel:
    read = policies.policy(json_document(file, "an IAM policy"), str(file))
    credential = ImportedCredential("iam", principal, principal, allow=policies.grants([read]))
    return ImportModel(credentials=(credential,), notes=read.notes)


def _rules(
    partner: list[str] | None, file: Path | None, ignore: list[str] | None, plan: list[str] | None, tag: str
) -> OwnershipRules:
    whose: list[tuple[str, str | None]] = [*owners.pairs(partner or (), "--partner")]
    whose += owners.partners_file(file) if file else []
    whose += [(pattern, None) for pattern in ignore or ()]
    return OwnershipRules(tuple(whose), tuple(owners.pairs(plan or (), "--plan")), tag)


def _options(common: CommonOptions, rate_card: str | None = None, meter: str | None = None) -> ImportOptions:
    start = None if common.valid_from is None else common.valid_from.date()
    return ImportOptions(rate_card, meter, start, common.overwrite)


def _run(
    read: Callable[[], ImportModel],
    name: str,
    rules: OwnershipRules,
    options: ImportOptions,
    common: CommonOptions,
    *,
    json: bool,
) -> int:
    """Read the document, show the proposal, ask for confirmation, and write it."""
    proposal = propose(common.catalog, read(), name=name, rules=rules, options=options)
    return _finished(proposal, dry_run=common.dry_run, yes=common.yes, json=json)


def _finished(proposal: Proposal, *, dry_run: bool, yes: bool, json: bool) -> int:
    """Show the proposal, ask for confirmation, and write it."""
    if not json:
        screens.proposal(proposal)
    written = False
    code = 0
    if not proposal.is_nothing and not dry_run:
        if yes or (not json and _agreed()):
            write(proposal)
            written = True
        else:
            complain("nothing was written; add --yes to write, or --dry-run to only show the changes")
            code = REFUSED
    if json:
        show_json(_row(proposal, written=written))
    elif written:
        screens.written(proposal)
    return code


def _agreed() -> bool:
    """Whether the user confirms. Without a terminal it is False."""
    if not sys.stdin.isatty():
        return False
    sys.stdout.write("Write this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _row(proposal: Proposal, *, written: bool) -> dict[str, object]:
    return {
        "changed": not proposal.is_nothing,
        "written": written,
        "files": [str(c.file) for c in (*proposal.changes, *([proposal.state] if proposal.state else []))],
        "diff": ["\n".join(difference(c)) for c in proposal.changes],
        "not_expressed": [note._asdict() for note in proposal.notes],
        "ignored": list(proposal.ignored),
        "others": dict(proposal.others),
    }
