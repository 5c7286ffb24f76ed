"""The fonts of documents: those of the package, of Typst and of the extra `fonts`, never the fonts of the machine.

Inter draws Latin, Greek and Cyrillic. Each package of the extra draws one more script; without it, text in that script
is refused before a document is issued (billing/invoicing/render/glyphs.py). A text that Inter can draw is drawn by
Inter, so its bytes do not depend on the extra.
"""

from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import NamedTuple

import typst

INTER = "Inter"
# Chinese, Japanese and Korean write the same characters in different forms. The buyer's country decides.
_HAN_FORMS = {"JP": "JP", "KR": "KR", "KP": "KR", "TW": "TC", "HK": "HK", "MO": "HK"}
_HAN_DEFAULT = "SC"


class FontPackage(NamedTuple):
    """A Python package that holds a font: its module, the folder of the font in it, and the family of the font."""

    module: str
    folder: str
    family: str


PACKAGES = (
    FontPackage("noto_cjk_sans_otc", "", "Noto Sans CJK"),
    FontPackage("fontpkg_noto_sans_arabic", "files", "Noto Sans Arabic"),
    FontPackage("pylopdf_fonts_he", "", "Noto Sans Hebrew"),
    FontPackage("fontpkg_noto_sans_thai", "files", "Noto Sans Thai"),
    FontPackage("fontpkg_noto_sans_devanagari", "files", "Noto Sans Devanagari"),
)


def missing() -> list[str]:
    """The families of the extra `fonts` that are not installed."""
    return [package.family for package in PACKAGES if _folder(package) is None]


def families(country: str | None = None) -> list[str]:
    """The families that draw a document, in the order in which they are asked for a character.

    `country` is the ISO 3166 code of the buyer's country.
    """
    han = f"Noto Sans CJK {_HAN_FORMS.get(country or '', _HAN_DEFAULT)}"
    installed = [package.family for package in PACKAGES if _folder(package) is not None]
    return [INTER, *(han if family == "Noto Sans CJK" else family for family in installed)]


@cache
def typefaces() -> typst.Fonts:
    """The fonts, read once per process, because reading them takes as long as typesetting an invoice."""
    installed = [str(folder) for package in PACKAGES if (folder := _folder(package)) is not None]
    with resources.as_file(resources.files("billing.invoicing.render") / "fonts") as ours:
        return typst.Fonts(include_system_fonts=False, font_paths=[str(ours), *installed])


@cache
def _folder(package: FontPackage) -> Path | None:
    """The folder of a font, without running the package's code. None if the package is not installed."""
    found = util.find_spec(package.module)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / package.folder
