"""The shape of the code itself: who imports whom, what every SQL file says of itself, whose names are ours."""

import ast
import importlib.metadata
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES: dict[str, set[str]] = {
    "kernels": set(),
    "schemas": {"kernels"},
    "lake": {"schemas", "kernels"},
    "ingest": {"schemas", "kernels", "lake"},
    "aggregate": {"schemas", "kernels", "lake"},
    "billing": {"schemas", "kernels", "lake"},
}
ALL = {*PACKAGES, "tollbook"}
MODULES_MAX = 12  # in a folder, beside its `__init__` and `__main__`
NONE = {"utils.py", "common.py", "helpers.py", "base.py"}


@cache
def nodes(file: Path) -> list[ast.AST]:
    """The nodes of a module's syntax tree."""
    return list(ast.walk(ast.parse(file.read_text())))


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    """The stages meet in topics and tables, never in each other's code; only the composition root knows all."""
    allowed = PACKAGES[package] | {package}
    for file in (ROOT / package).rglob("*.py"):
        assert imported(file) & ALL <= allowed, f"{file.relative_to(ROOT)} imports {imported(file) & ALL - allowed}"


def folder_imports(file: Path) -> set[str]:
    """The folders of our code that hold the modules which a file imports."""
    found: set[str] = set()
    for node in nodes(file):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        paths = [ROOT / name.replace(".", "/") for name in names]
        found |= {str(path.parent.relative_to(ROOT)) for path in paths if path.with_suffix(".py").is_file()}
    return {folder for folder in found if folder.partition("/")[0] in ALL}


# Folders that import each other, and why. A folder and one inside of it may: they are one part of the product.
BOTH_WAYS = {
    (
        "ingest/attribution",
        "ingest/decode",
    ): "the pipeline calls attribution, which is compiled to tables of the decoder",
}


def test_no_two_folders_import_each_other() -> None:
    """Of two folders that need each other, neither can be understood, tested or replaced without the other."""
    imports: dict[str, set[str]] = {}
    for file in (path for package in ALL for path in (ROOT / package).rglob("*.py")):
        imports.setdefault(str(file.parent.relative_to(ROOT)), set()).update(folder_imports(file))
    assert "billing/usage" in imports["billing/rating"]
    both = {
        (one, other)
        for one, others in imports.items()
        for other in others
        if one < other and one in imports.get(other, set()) and not other.startswith(f"{one}/")
    }
    assert both == set(BOTH_WAYS)


def test_no_folder_is_a_heap() -> None:
    """Who looks for something reads a folder's list first: each says what lives there, and is short."""
    for folder in sorted({path.parent for package in ALL for path in (ROOT / package).rglob("*.py")}):
        modules = [path.name for path in folder.glob("*.py") if path.stem not in {"__init__", "__main__"}]
        name = folder.relative_to(ROOT)
        assert len(modules) <= MODULES_MAX, f"{name} has {len(modules)} modules"
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert docstring, f"{name}/__init__.py does not say what lives there"


@pytest.mark.parametrize(
    "file",
    [
        "tests/e2e/oracle.py",
        "tests/e2e/alert_oracle.py",
        "tests/e2e/incidents.py",
        "tests/aggregate/neighbour_oracle.py",
        "tests/aggregate/presence_oracle.py",
        "tests/aggregate/throttle_oracle.py",
        "tests/reckoning/reckoning.py",
        "tests/reckoning/routes.py",
    ],
)
def test_what_checks_the_product_imports_nothing_of_it(file: str) -> None:
    """What checks the product must not share its mistakes."""
    assert not imported(ROOT / file) & ALL


def test_no_other_distribution_claims_our_names() -> None:
    """A package of the same name in the environment would be imported instead of ours, or beside it."""
    claimed = importlib.metadata.packages_distributions()
    for name in ALL:
        assert set(claimed.get(name, ["tollbook"])) == {"tollbook"}, f"{name} is also in {claimed[name]}"


@pytest.mark.parametrize("file", sorted(p.relative_to(ROOT) for d in ALL for p in (ROOT / d).rglob("*.sql")), ids=str)
def test_every_sql_file_says_what_goes_in_and_out(file: Path) -> None:
    """One statement a file, a header with in and out, every column named."""
    text = (ROOT / file).read_text()
    header = [line for line in text.splitlines() if line.startswith("--")]
    assert text.startswith("--")
    if file.stem == "macros":
        return
    assert any(line.startswith("-- in:") for line in header), "no `-- in:`"
    assert any(line.startswith("-- out:") for line in header), "no `-- out:`"
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    assert ";" not in code, "more than one statement"


@pytest.mark.parametrize("package", sorted(ALL))
def test_no_wide_except_no_clock_no_nameless_module(package: str) -> None:
    """What hides mistakes, makes a rerun differ, or says nothing has no place below the top loop."""
    clocks = {"tollbook/cli/options.py"}  # the one place where the clock is read
    top_loops = {
        "tollbook/cli/errors.py",
        "tollbook/workers/loop.py",
    }  # where a bug gets its exit code: of a command, of a worker
    for file in (ROOT / package).rglob("*.py"):
        assert file.name not in NONE
        text = file.read_text()
        name = str(file.relative_to(ROOT))
        for node in nodes(file):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                wide = {"Exception", "BaseException", "everything"} - ({"Exception"} if name in top_loops else set())
                assert caught not in wide, f"{name}:{node.lineno}"
        if name not in clocks:
            assert "datetime.now(" not in text, name
            assert "time.time(" not in text, name
            # A commit states when it was made, for people and other readers of Delta.
            assert "time.time_ns(" not in text or name == "lake/delta/commits.py", name


# What computes with a time zone or a clock in DuckDB. `make_timestamp` and `epoch_us` count from 1970 and know neither.
ZONED_SQL = re.compile(
    r"\b(timezone|at\s+time\s+zone|date_trunc|time_bucket|now|today|current_(date|time|timestamp)|localtime|localtimestamp)\b"
    r"|timestamptz[^,\n]*\)\s*::\s*date\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("package", sorted(ALL))
def test_time_zones_come_from_one_module(package: str) -> None:
    """`schemas.zones` reads the pinned package; any other way to a zone asks the machine.

    `ZoneInfo(name)` does, wherever it stands.
    """
    for file in (ROOT / package).rglob("*.py"):
        name = str(file.relative_to(ROOT))
        if name == "schemas/zones.py":
            called = [n.func for n in nodes(file) if isinstance(n, ast.Call)]
            assert "ZoneInfo" not in map(ast.unparse, called), "only ZoneInfo.from_file reads a file that is given"
            continue
        assert not imported(file) & {"zoneinfo", "pytz", "dateutil", "tzlocal"}, f"{name}: ask schemas.zones"
        for node in nodes(file):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"tz_convert", "tz_localize", "local_timestamp", "ZoneInfo"}, (
                    f"{name}:{node.lineno}"
                )


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.name)
def test_a_notebook_asks_the_same_module(file: Path) -> None:
    text = file.read_text()
    for word in ("zoneinfo", "tz_convert", "tz_localize", " timezone("):
        assert word not in text, word


@pytest.mark.parametrize("file", sorted(p.relative_to(ROOT) for d in ALL for p in (ROOT / d).rglob("*.sql")), ids=str)
def test_no_statement_uses_a_time_zone(file: Path) -> None:
    """DuckDB has zone files of its own: a statement is given instants that Python computed. tests/sql runs each case
    in two zones.
    """
    code = "\n".join(line.partition("--")[0] for line in (ROOT / file).read_text().splitlines())
    assert not (found := ZONED_SQL.search(code)), found


@pytest.mark.parametrize("file", ["billing", "schemas"])
def test_no_float_near_money(file: str) -> None:
    """Money and quantities are decimals; a float literal or call in these packages would be one too many."""
    for path in (ROOT / file).rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.Constant):
                assert not isinstance(node.value, float), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"float", "round"}, f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", sorted(ALL - {"lake"}))
def test_the_lake_is_reached_through_its_object(package: str) -> None:
    """Where the lake's files lie, how its log is kept and what makes a write durable is known to one package, so
    that it can be kept elsewhere.
    """
    allowed = {
        "MARKER",
        "Part",
        "local",
    }  # what a caller catches, passes on, or asks before a lake is opened
    for file in (ROOT / package).rglob("*.py"):
        name, text = str(file.relative_to(ROOT)), file.read_text()
        assert not imported(file) & {"deltalake", "fcntl"}, f"{name}: ask lake.lake.Lake"
        for word in ("_delta_log", "fsync(", ".hardlink_to("):
            assert word not in text, f"{name} spells {word}: ask lake.lake.Lake or lake.atomic_file"
        for node in nodes(file):
            if isinstance(node, ast.ImportFrom) and node.module in {"lake", "lake.tables"}:
                names = {alias.name for alias in node.names}
                wrong = (
                    names - allowed if node.module == "lake.tables" else names & {"tables", "expire", "derived_tables"}
                )
                assert not wrong, f"{name} imports {wrong} of {node.module}: they are methods of lake.lake.Lake"


# What reads or changes files, by its name as a method of a path or as a field of a file's status.
FILE_OPERATIONS = {
    "chmod", "glob", "hardlink_to", "is_dir", "is_file", "iterdir", "mkdir", "read_bytes", "rename", "rglob", "rmdir", "scandir",
    "st_mtime", "st_mtime_ns", "symlink_to", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip
FILE_MODULES = {"deltalake", "fcntl", "glob", "os", "shutil", "tempfile"}
ON_FILES = {"lake/atomic_file.py", "lake/lock.py", "lake/storage/local.py", "lake/storage/places.py"}


def test_the_lake_asks_its_store() -> None:
    """Only the local store, the lock and the atomic file touch a file system; everything else runs on any store."""
    for file in sorted((ROOT / "lake").rglob("*.py")):
        name, tree = str(file.relative_to(ROOT)), ast.parse(file.read_text())
        assert not imported(file) & {"deltalake"}, name
        if name in ON_FILES:
            continue
        assert not imported(file) & FILE_MODULES, f"{name} imports {imported(file) & FILE_MODULES}: ask the store"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in FILE_OPERATIONS, f"{name}:{node.lineno} {node.attr}: ask the store"
                assert node.attr != "read_parquet" or name == "lake/storage/parquet.py", f"{name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "open", f"{name}:{node.lineno} open: ask the store"
