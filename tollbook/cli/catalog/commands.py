"""`tollbook catalog check` and `schema`, and the group that they are in."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from billing.catalog import loading as catalogs
from schemas.catalog import checks
from schemas.catalog.json_schema import catalog_schema_text
from tollbook.cli.catalog import imports, screens
from tollbook.cli.errors import USAGE
from tollbook.cli.options import CATALOG_VARIABLE, JsonOption, folder_path
from tollbook.cli.terminal import show_json, write

app = App(
    name="catalog",
    help="The catalog of partners, meters, prices and plans.\n\nExample: tollbook catalog check examples/catalog",
    help_epilogue="",
)
app.command(imports.app)


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
