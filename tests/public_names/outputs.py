"""Names in what commands print and write: the keys of every `--json`, of documents in the lake, the columns of CSV.

A month is run from logs to invoices, with all that can be told on the way: alerts, dead letters, a paused source, a
blocked partner, late usage.
"""

import csv
import gzip
import io
import json
import os
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from billing.__main__ import main as billing
from ingest.__main__ import main as ingest
from tests.aggregate.receivers import receiver
from tests.billing import drafts
from tests.billing.import_documents import DECK, OPENMETER, POLICY, ROLE, written
from tests.ingest.fixtures import kong, line
from tests.public_names.lists import shape
from tests.tollbook import policy_case
from tests.tollbook.fixtures import (
    AFTER_OCTOBER,
    DAY_MS,
    PARTNERS,
    PRICES,
    ROOT,
    T0_MS,
    Here,
    requests,
    write_catalog,
)
from tests.tollbook.test_import import COMMENTED, EVERYTHING
from tests.tollbook.test_neighbours import flood
from tollbook import analysis

CUT = gzip.compress(b"".join(requests(3, T0_MS + 4 * DAY_MS)))[:-9]  # a packed log that ends in the middle
# Where keys are data: ids of partners, names of files, currencies. `*` stands for them.
MAPS = {
    "run": ["outside", "waiting", "paused.reasons"],
    "run --dry-run": [],
    "load": ["waiting"],
    "dead list": ["worth.totals"],
    "catalog import": ["others"],
    "invoice close": ["blocked", "usage", "completeness[].refused_by_reason"],
    "invoice issue": ["blocked"],
    "invoice accruals": ["problems"],
    "invoice reprice": ["problems"],
    "catalog diff": ["problems", "solved"],
    "close": ["blocked", "usage", "partners", "adjustments", "replaces", "completeness[].refused_by_reason"],
}
# The views that docs/analysis.md lists, beside the tables.
VIEWS = ("usage", "traffic", "metered_events", "invoice_lines", "partners", "units", "local_days")
BOLT = PARTNERS.removeprefix("\npartners:\n").replace("acme", "bolt").replace("Acme", "Bolt")
OF_RULES_1 = ROOT / "tests" / "billing" / "lakes_kept" / "rules-1.tar.gz"


class Output:
    """What is printed in this process, as pytest's capsys has it: the same whether pytest runs or not."""

    def __init__(self) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()

    def readouterr(self) -> tuple[str, str]:
        outputs = self._out.getvalue(), self._err.getvalue()
        for stream in (self._out, self._err):
            stream.seek(0)
            stream.truncate()
        return outputs

    @contextmanager
    def captured(self) -> Iterator["Output"]:
        with redirect_stdout(self._out), redirect_stderr(self._err):
            yield self


class Outputs:
    """Calls commands with --json and keeps their output."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.values: dict[str, list[Any]] = defaultdict(list)
        self.texts: dict[str, str] = {}

    def __call__(self, command: str, *words: object) -> Any:
        """`LAKE` and `CATALOG` stand for the options."""
        named = {"LAKE": ["--lake", self.here.lake], "CATALOG": ["--catalog", self.here.catalog]}
        given = [part for word in words for part in (named.get(word, [word]) if isinstance(word, str) else [word])]
        ended = self.here.tollbook(*command.split(), *given, "--json")
        assert ended.out, f"{command}: {ended.err}"
        self.values[command].append(ended.json)
        return ended.json


@cache
def lists() -> Mapping[str, list[str]]:
    """Every list of this module by its subject. The commands are run once."""
    output = Output()
    with tempfile.TemporaryDirectory() as folder, output.captured():
        here = Here(Path(folder), output)  # type: ignore[arg-type]  # of capsys it needs no more than Output has
        outputs = Outputs(here)
        _without_a_lake(outputs)
        _october(outputs)
        documents = _documents(outputs)
        views = _views(here)
        _marked(outputs)
        _flooded(outputs)
        _explained(outputs)
        modules = sorted(_modules(here, output))
    return {"json": of_commands(outputs.values), "documents": documents, "analysis-views": views, "modules": modules}


def of_commands(values: Mapping[str, Iterable[Any]]) -> list[str]:
    """The keys in the output of each command."""
    return [
        f"tollbook {command}: {name}"
        for command in sorted(values)
        for name in shape(values[command], MAPS.get(command, MAPS.get(command.rpartition(" ")[0], [])))
    ]


def _without_a_lake(outputs: Outputs) -> None:
    here = outputs.here
    (here.folder / "producers.yaml").write_text((ROOT / "examples" / "producers.yaml").read_text())
    here.tollbook("producers", "add-key", "gateway-eu", "--producers", here.folder / "producers.yaml")
    outputs("producers list", "--producers", here.folder / "producers.yaml")
    outputs("formats")
    outputs("formats detect", here.log("a.log", *requests(3)))
    tried = here.log("tried.log", *requests(3), *requests(1, T0_MS + 1, consumer="c-none"), b'{"unfinished')
    outputs("run --dry-run", "LAKE", "CATALOG", "--format", "kong", "--source", "edge", tried)
    wrong = here.log("tried.log.gz", gzip.compress(b"".join(requests(3))))
    outputs("run --dry-run", "LAKE", "CATALOG", "--format", "cloudflare", "--source", "edge", wrong)
    outputs("catalog check", here.catalog)
    broken = write_catalog(here.folder / "broken", partners=PARTNERS.replace("plan: small", "plan: none"))
    outputs("catalog check", broken)
    catalog = ["--catalog", write_catalog(here.folder / "partners", partners=COMMENTED), "--dry-run"]
    new = ["--rate-card", "card", "--valid-from", "2026-11-01"]
    outputs("catalog import terraform", written(here.folder, EVERYTHING, "plan.json"), *catalog, *new)
    outputs("catalog import deck", written(here.folder, DECK, "kong.yaml"), *catalog, *new, "--ignore", "health-*")
    outputs("catalog import openmeter", written(here.folder, OPENMETER, "config.yaml"), *catalog)
    outputs(
        "catalog import iam",
        written(here.folder, POLICY, "policy.json"),
        *catalog,
        "--principal",
        ROLE,
        "--partner",
        "globex",
    )


def _october(outputs: Outputs) -> None:
    """Acme uses 65 requests of 100; bolt is forgotten in the catalog; then both are invoiced, and more comes late."""
    here = outputs.here
    again = [line(kong(f"id-{T0_MS}", started_at=T0_MS, consumer={"id": "c-acme"}, **{"response.size": 1}))]
    outputs("run", *_read(here.log("b.log", *requests(55))))
    outputs("run", *_read(here.log("cut.log.gz", CUT)))
    outputs(
        "run",
        *_read(here.log("a.log", *requests(4, T0_MS + DAY_MS, consumer="c-bolt"), *again, b"no JSON\n", b'{"cut')),
    )
    outputs("run", *_read(here.log("c.log", *requests(10, T0_MS + 2 * DAY_MS))))
    outputs("run", *_read(here.log("wrong.log", *requests(3, T0_MS + 3 * DAY_MS)), format_name="cloudflare"))
    letter = outputs("dead list", "LAKE")["entries"][0]["letter"]
    outputs("dead list", "LAKE", "CATALOG", "--as", "acme", "--format", "kong", "--source", "edge")
    outputs("dead show", letter, "LAKE")
    outputs("dead redrive", "CATALOG", "LAKE", "--format", "kong", "--source", "edge", "--dry-run")
    outputs("usage", "acme", "CATALOG", "LAKE", "--period", "2026-10")
    dearer = _open_month(outputs)
    outputs("verify", "LAKE")
    close = ["CATALOG", "LAKE", "--period", "2026-10", "--now", AFTER_OCTOBER]
    outputs("invoice close", *close, "--accept-refused", "a test")
    write_catalog(here.catalog, partners=PARTNERS + BOLT)
    outputs("dead redrive", "CATALOG", "LAKE", "--format", "kong", "--source", "edge", "--reason", "UNKNOWN_CREDENTIAL")
    write_catalog(here.catalog)
    outputs("invoice close", *close)  # bolt has usage, and is in no catalog: blocked
    issue = ["LAKE", "--period", "2026-10", "--now", AFTER_OCTOBER]
    number = outputs("invoice issue", *issue)["invoices"][0]["number"]
    outputs("invoice reprice", "--catalog", dearer, "LAKE", "--period", "2026-10")
    outputs("invoice list", "LAKE")
    outputs("invoice show", number, "LAKE")
    outputs("invoice credit", number, "LAKE", "--amount", "0.01", "--reason", "a test")
    _paid(outputs, number)
    outputs("invoice verify", "LAKE")
    here.run(here.log("late.log", *requests(40, T0_MS + 3 * DAY_MS)))
    write_catalog(here.catalog, partners=PARTNERS + BOLT)
    outputs("invoice verify", "CATALOG", "LAKE")
    outputs("invoice unbilled", "CATALOG", "LAKE")
    outputs("invoice unbilled", "LAKE")
    outputs("invoice adjust", "LAKE", "--period", "2026-10")
    rebilled = outputs("invoice rebill", number, "CATALOG", "LAKE", "--reason", "a test")["invoice"]["number"]
    outputs("invoice void", rebilled, "LAKE", "--reason", "a test")
    csv_of_it = here.lake / "documents" / f"{number}.csv"
    csv_of_it.write_bytes(csv_of_it.read_bytes() + b"changed")
    outputs("invoice verify", "LAKE")
    outputs("alerts list", "LAKE")
    alert = json.loads(here.tollbook("alerts", "list", "--lake", here.lake, "--json").out)[0]["alert_id"]
    outputs("alerts show", alert, "LAKE")
    _sent(outputs)
    outputs("quota state", "CATALOG", "LAKE")
    outputs("quota grant", "acme", "requests", 5, "CATALOG", "LAKE", "--until", "2126-10-01", "--reason", "launch")
    outputs("quota grants", "LAKE")
    outputs("retention", "LAKE", "--days", 90, "--now", AFTER_OCTOBER)


def _open_month(outputs: Outputs) -> Path:
    """What October comes to before it is closed, also by a catalog with another price, which is returned."""
    here = outputs.here
    outputs("invoice rate", "CATALOG", "LAKE", "--period", "2026-10")
    outputs("invoice preview", "CATALOG", "LAKE", "--now", "2026-10-20", "--lines")
    outputs("invoice accruals", "CATALOG", "LAKE", "--at", "2026-10-20")
    dearer = write_catalog(here.folder / "dearer", prices=PRICES.replace("unit_price: 0.25", "unit_price: 0.5"))
    outputs("catalog diff", here.catalog, dearer, "LAKE", "--period", "2026-10")
    outputs("settle", "LAKE")
    outputs("lake stats", "LAKE")
    outputs("lake compact", "LAKE", "--min-files", 2)
    return dearer


def _paid(outputs: Outputs, number: str) -> None:
    """A part of an invoice, and something in advance."""
    here = outputs.here
    payments = here.folder / "payments.csv"
    payments.write_text(f"transaction_id,date,amount,currency,number\nt1,2026-11-04,0.01,EUR,{number}\n")
    outputs("payments import", payments, "LAKE")
    outputs("invoice send", number, "LAKE")
    outputs("invoice open", "LAKE")
    paid = "    credits: [{id: paid, amount: 5, currency: EUR, valid_from: 2026-10-01, valid_to: 2026-11-01}]\n"
    contract = write_catalog(here.folder / "contract", partners=PARTNERS + paid)
    outputs("credits statement", "acme", "--catalog", contract, "LAKE", "--now", AFTER_OCTOBER)


def _sent(outputs: Outputs) -> None:
    """Alerts to a sink."""
    os.environ["TOLLBOOK_NAMES_KEY"] = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
    with receiver(200) as hook:
        sinks = outputs.here.folder / "sinks.yaml"
        sinks.write_text(f"- {{name: hook, url: {hook.url!r}, private: true, secret_env: TOLLBOOK_NAMES_KEY}}\n")
        outputs("alerts test", "--alerts", sinks)
        outputs("alerts replay", "LAKE", "--alerts", sinks, "--sink", "hook", "--since", "2026-10-01")
    del os.environ["TOLLBOOK_NAMES_KEY"]


def _read(log: Path, format_name: str = "kong") -> list[object]:
    return ["CATALOG", "LAKE", "--format", format_name, "--source", "edge", log]


def _marked(outputs: Outputs) -> None:
    """Usage outside of a policy."""
    here = outputs.here
    write_catalog(here.catalog, partners=policy_case.PARTNERS)
    here.lake = here.folder / "marked"
    outputs(
        "run",
        "CATALOG",
        "LAKE",
        "--format",
        "cloudtrail",
        "--source",
        "aws",
        here.log("trail.json", *policy_case.LINES),
    )
    outputs("outside", "acme", "CATALOG", "LAKE", "--period", "2026-10")


def _flooded(outputs: Outputs) -> None:
    """A lake in which the load of a partner jumped."""
    here = outputs.here
    here.lake = here.folder / "flooded"
    flood(here)
    outputs("neighbours", "CATALOG", "LAKE")


def _explained(outputs: Outputs) -> None:
    """A lake with invoices of earlier rules."""
    with tarfile.open(OF_RULES_1) as archive:
        archive.extractall(outputs.here.folder / "kept", filter="data")
    (outputs.here.lake,) = (found.parent for found in (outputs.here.folder / "kept").rglob("tollbook-lake.json"))
    outputs("lake upgrade", "LAKE", "--without-backup")
    outputs("invoice verify", "LAKE", "--explain")


def _documents(outputs: Outputs) -> list[str]:
    """What a finished month leaves in the lake: documents of closes and invoices, files and their columns."""
    here = outputs.here
    closes = [json.loads(row["document"]) for row in here.table("closes")]
    for close in closes:
        del close["catalog"]  # its fields are those of the catalog
    invoices = [json.loads(row["document"]) for row in here.table("invoices") if row["document"]]
    files = {path for path in here.lake.rglob("*") if path.is_file()}
    issued = min(path for path in files if path.suffix == ".csv")
    letters = here.tollbook("dead", "list", "--lake", here.lake, "--csv").out
    return [
        *(f"close: {name}" for name in shape(closes, MAPS["close"])),
        *(f"invoice: {name}" for name in shape([*invoices, drafts.small()])),
        *(f"invoice CSV: {column}" for column in _columns(issued.read_text())),
        *(f"dead list --csv: {column}" for column in _columns(letters)),
        *sorted(f"lake: {path.name}" for path in here.lake.iterdir() if path.name[0] != "."),
        *sorted(f"lake: {path.relative_to(here.lake)}" for path in files if path.parent.name == "documents"),
        *(
            f"tollbook-lake.json: {name}"
            for name in shape([json.loads((here.lake / "tollbook-lake.json").read_text())])
        ),
    ]


def _columns(text: str) -> list[str]:
    return next(csv.reader(text.lstrip("\ufeff").splitlines()))


def _views(here: Here) -> list[str]:
    """The views of an analysis with their columns in order."""
    opened = analysis.open_lake(here.lake, here.catalog)
    return [f"{view}.{column}" for view in VIEWS for column in opened.frame(f"SELECT * FROM {view} LIMIT 0")]


def _modules(here: Here, output: Output) -> Iterator[str]:
    """`python -m ingest` and `python -m billing`: commands, options, keys of what they print."""
    log = here.log("one.log", *requests(1), b"no JSON\n")
    output.readouterr()
    assert ingest(["parse", "--format", "kong", "--source", "edge", str(log)]) == 0
    parsed = [json.loads(row) for row in output.readouterr()[0].splitlines()]
    yield from (f"python -m ingest parse --format F --source S FILE: {name}" for name in shape(parsed))
    assert billing(["rate-cases", str(ROOT / "tests" / "billing" / "pricing_cases.jsonl")]) == 0
    rated = [json.loads(row) for row in output.readouterr()[0].splitlines()]
    yield from (f"python -m billing rate-cases FILE: {name}" for name in shape(rated))
