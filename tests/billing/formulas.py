"""Texts that a spreadsheet would run, by themselves or once it has split the cell; and texts that only look so."""

_CORES = (
    "=1+1",
    '=HYPERLINK("http://x","y")',
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1,1)",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(1)",
)
_BEFORE = ["", " ", "\t", "\r", "\n", "\r\n", '"', "'", '",', '";', ",", ";", "|", "\u00a0", "'\""]
_BEFORE += [f"x{separator}" for separator in (",", ";", "; ", "\t", "\n", "\r\n", '",', '" ;')]
FORMULAS = [before + core for core in _CORES[:3] for before in _BEFORE] + [
    before + core for core in _CORES[3:] for before in ("", "\t", "x;")
]
HARMLESS = [
    "Müller-Lüdenscheidt & Söhne GmbH",
    "O'Brien, Ltd",
    "a = b",
    "1+1",
    "user@example.com",
    "Tier 1: 5-10; above, nothing",
    'The "Firm"',
    "株式会社",
    "x|y",
]
