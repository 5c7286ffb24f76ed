"""The module map of docs/design.md: every folder of code, what its docstring says it holds, and which folders it
imports.

`python -m tests.docs.module_map` writes the block between the markers; tests/docs/test_design.py compares it with the
code.
"""

import ast
from pathlib import Path

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- module map: written by python -m tests.docs.module_map -->", "<!-- end of the module map -->"
PACKAGES = ("kernels", "schemas", "lake", "ingest", "aggregate", "billing", "tollbook")


def folders() -> list[Path]:
    """All folders that hold Python code, package by package, in the order of the arrows."""
    return [f for package in PACKAGES for f in sorted({p.parent for p in (ROOT / package).rglob("*.py")})]


def purpose(folder: Path) -> str:
    """The first paragraph of the folder's docstring, without the sentences about imports, which the map takes from
    the code.
    """
    first = (ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "").partition("\n\n")[0]
    return " ".join(first.split()).partition(" Imports ")[0]


def imports(folder: Path) -> list[str]:
    """What the modules of a folder import of ours: other packages as a whole, in the order of the arrows, then
    folders of its own.
    """
    found = {_folder_of(name) for file in folder.glob("*.py") for name in _names(file)}
    package = folder.relative_to(ROOT).parts[0]
    others = {name.partition(".")[0] for name in found} - {package}
    own = {name for name in found if name.partition(".")[0] == package} - {_dotted(folder)}
    return [name for name in PACKAGES if name in others] + sorted(own)


def rendered() -> str:
    """The block, markers included."""
    rows = ["| folder | what it holds | imports |", "| --- | --- | --- |"]
    for folder in folders():
        names = ", ".join(f"`{name}`" for name in imports(folder)) or "nothing of ours"
        rows.append(f"| `{folder.relative_to(ROOT)}/` | {purpose(folder)} | {names} |")
    return "\n".join((BEGIN, "", *rows, "", END))


def stored(page: str) -> str:
    """The block as the page has it, markers included."""
    return BEGIN + page.partition(BEGIN)[2].partition(END)[0] + END


def main() -> None:
    """Write the block into the page."""
    page = PAGE.read_text()
    PAGE.write_text(page.replace(stored(page), rendered()))


def _names(file: Path) -> set[str]:
    """Every dotted name that a module imports; of `from a import b` also `a.b`, which may be a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _folder_of(name: str) -> str:
    """The folder of ours that a dotted name lies in; "" for a name of somebody else."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return ""
    while not (path := ROOT.joinpath(*parts)).is_dir() and not path.with_suffix(".py").is_file():
        parts.pop()
    return _dotted(path if path.is_dir() else path.parent)


def _dotted(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT).parts)


if __name__ == "__main__":
    main()
