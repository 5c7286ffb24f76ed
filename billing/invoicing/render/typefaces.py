"""The fonts of invoices: those of the package and those of Typst, never the fonts of the machine."""

from functools import cache
from importlib import resources

import typst


@cache
def typefaces() -> typst.Fonts:
    """The fonts, read once per process, because reading them takes as long as typesetting an invoice."""
    with resources.as_file(resources.files("billing.invoicing.render") / "fonts") as folder:
        return typst.Fonts(include_system_fonts=False, font_paths=[str(folder)])
