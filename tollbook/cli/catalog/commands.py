"""`tollbook catalog check`, `diff` and `schema`, and the group that they are in."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from billing.catalog import loading as catalogs
from billing.invoicing.comparing import edits
from billing.periods import month
from lake.lake import Lake
from schemas.catalog import checks
from schemas.catalog.json_schema import catalog_schema_text
from tollbook.cli.catalog import screens
from tollbook.cli.errors import USAGE
from tollbook.cli.invoices import comparing
from tollbook.cli.invoices.listing import CsvOption, as_csv
from tollbook.cli.options import CATALOG_VARIABLE, JsonOption, LakeOption, PeriodOption, folder_path
from tollbook.cli.terminal import sentence, show_json, write

app = App(
    name="catalog",
    help="The catalog of partners, meters, prices and plans.\n\nExample: tollbook catalog check examples/catalog",
    help_epilogue="",
)
app.command("tollbook.cli.catalog.imports:app", name="import")


@app.command
def schema() -> int:
    """Print the JSON Schema of a catalog file, for editors and other programs.

    schemas/catalog.schema.json has the same content.

    Example: tollbook catalog schema
    """
    write(sys.stdout, catalog_schema_text())
    return 0


@app.command
def check(
    folder: Annotated[
        Path, Parameter(env_var=CATALOG_VARIABLE, converter=folder_path, help="Folder of the catalog's YAML files.")
    ],
    /,
    *,
    json: JsonOption = False,
) -> int:
    """Check a whole catalog, and list all problems with file, line and remedy. The exit code is 2 if there are any.

    A secret in place of an id is a problem. Text that might be a secret is only a warning, and the exit code is 0.

    Example: tollbook catalog check examples/catalog
    """
    try:
        book = catalogs.load(folder)
    except catalogs.CatalogError as exc:
        if json:
            show_json({"ok": False, "problems": [p._asdict() for p in exc.problems]})
            return USAGE
        raise
    doubts = checks.doubts(book)
    if json:
        show_json(
            {
                "ok": True,
                "sha256": book.sha256,
                "doubts": doubts,
                **{n: len(getattr(book, n)) for n in type(book).model_fields},
            }
        )
    else:
        screens.catalog_summary(book, doubts)
    return 0


@app.command
def diff(
    before: Annotated[Path, Parameter(converter=folder_path, help="Folder of the catalog as it is.")],
    after: Annotated[Path, Parameter(converter=folder_path, help="Folder of the catalog as it will be.")],
    /,
    *,
    lake: LakeOption,
    period: PeriodOption,
    csv: CsvOption = False,
    json: JsonOption = False,
) -> int:
    """Show what an edit of the catalog does to the bills of a month, line by line. Writes nothing.

    Both catalogs bill the usage that the lake has. Months that are issued stay as they are: see
    `tollbook invoice reprice`. The exit code is 1 if the new catalog cannot bill a partner that the old one bills.

    Example: tollbook catalog diff catalog new-catalog --lake demo/lake --period 2026-10
    """
    opened = Lake(lake)
    opened.check()
    month(period, "UTC")  # raises BadPeriod
    found = edits.effect(opened, period, catalogs.load(before), catalogs.load(after))
    if json:
        differences = [each.as_json() for each in found.differences]
        show_json(
            {
                "period": period,
                "bills": found.bills,
                "differences": differences,
                "problems": found.caused,
                "solved": found.solved,
            }
        )
    elif csv:
        write(sys.stdout, as_csv(comparing.difference_rows(found.differences), comparing.DIFFERENCE_COLUMNS))
    else:
        comparing.show_differences(found.differences, found.bills)
        for partner_id in found.solved:
            sentence(f"{partner_id} can be billed.", style="green")
    return comparing.complained(found.caused)
