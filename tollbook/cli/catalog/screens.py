"""Screens of the catalog commands: the summary of a catalog, and the diff and notes of an import."""

from collections.abc import Sequence

from billing.catalog.imports.proposal import Proposal, difference
from schemas.catalog.records import Catalog
from tollbook.cli.terminal import out, sentence, table, words

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}
_NAMES_MAX = 8


def proposal(found: Proposal) -> None:
    """The whole proposal, shown before anything is written."""
    for change in found.changes:
        for line in difference(change):
            out.print(
                words(line),
                style=next((s for start, s in _STYLES.items() if line.startswith(start)), ""),
                soft_wrap=True,
            )
    if found.state is not None:
        new = "a new file" if found.state.old is None else "changes, too"
        sentence(f"{found.state.file}: {new}; it separates imported values from manual changes.", style="dim")
    if found.is_nothing:
        sentence("Nothing to change.")
    if found.notes:
        sentence(("Not expressible, or different in the catalog:", "bold yellow"))
        for note in found.notes:
            sentence(
                "- ",
                (note.address, "bold"),
                *((": ", (note.attribute, "bold")) if note.attribute else ()),
                f": {note.why}; {note.remedy}",
            )
    if found.ignored:
        sentence(f"Ignored by your rules: {_listed(found.ignored)}.", style="dim")
    if found.others:
        kinds = tuple(f"{count} {kind}" for kind, count in sorted(found.others.items()))
        sentence(f"Skipped, as a catalog does not describe them: {_listed(kinds)}.", style="dim")


def written(found: Proposal) -> None:
    """The files that were written."""
    files = [str(c.file) for c in (*found.changes, *([found.state] if found.state else []))]
    sentence(("Written: ", "bold"), f"{', '.join(files)}.")


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def catalog_summary(catalog: Catalog, doubts: Sequence[str]) -> None:
    """The content of a valid catalog, with its warnings."""
    view = table("The catalog is valid", "partner", "status", "plan", "rate card", "credentials")
    for p in catalog.partners:
        plans = ", ".join(a.plan for a in p.plans) or "none"
        cards = ", ".join(sorted({catalog.plan(a.plan).rate_card for a in p.plans}))
        view.row(p.id, p.status, plans, cards, ", ".join(c.kind for c in p.credentials))
    out.print(view)
    sizes = ((catalog.meters, "meter"), (catalog.rate_cards, "rate card"), (catalog.plans, "plan"))
    sentence(", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for found, name in sizes))
    for doubt in doubts:
        sentence(doubt, style="yellow")
    sentence(f"sha256 {catalog.sha256}", style="dim")
