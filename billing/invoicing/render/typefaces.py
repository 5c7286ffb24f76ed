"""The fonts of invoices: ours, and what Typst brings along. Nothing of the machine's."""

from functools import cache
from importlib import resources

import typst


@cache
def typefaces() -> typst.Fonts:
    """Read once a process: to read them for each invoice took as long as to set it."""
    with resources.as_file(resources.files("billing.invoicing.render") / "fonts") as folder:
        return typst.Fonts(include_system_fonts=False, font_paths=[str(folder)])
