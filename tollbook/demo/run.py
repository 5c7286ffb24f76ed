"""`tollbook demo`: from access log to invoice on sample logs, in one command."""

import hashlib
import json as jsonlib
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.invoicing import issuing
from billing.invoicing.issuing import Issued
from billing.rating.drafts import in_unit
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.alerts import Kind, State, Statement
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from tollbook.alerting import evaluation
from tollbook.cli import extras, progress
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.figures import amount
from tollbook.cli.invoices import commands
from tollbook.cli.metering import usage_screens
from tollbook.cli.options import folder_path, plain_path, the_clock
from tollbook.cli.terminal import complain, out, sentence, table, words
from tollbook.demo import examples, sample_logs
from tollbook.demo.sample_logs import DemoFile
from tollbook.local_run import run

PERIOD = "2026-10"
_MARKER = "tollbook-demo.json"
_CLOSED_AT = datetime(2026, 11, 2, 6, tzinfo=UTC)  # fixed, so that the demo makes the same invoices every day
_ACCEPTED = (
    "keys of nobody, which the demonstration puts into its logs"  # part of the demo's closes, whose ids are known
)
_REQUESTS_MIN = 1_000


def demo(
    *,
    folder: Annotated[
        Path,
        Parameter(
            "--folder",
            converter=folder_path,
            validator=plain_path,
            help="Folder for logs, lake and documents. If an earlier demo created it, it is emptied first.",
        ),
    ] = Path("demo"),
    requests: Annotated[
        int,
        Parameter(
            "--requests",
            validator=validators.Number(gte=_REQUESTS_MIN),
            help="Approximate number of requests in the month.",
        ),
    ] = sample_logs.REQUESTS,
    catalog: Annotated[
        Path | None,
        Parameter(
            "--catalog",
            converter=folder_path,
            help="Catalog to bill by. By default, the example catalog, which is copied to `catalog` in the folder.",
        ),
    ] = None,
    bootstrap_servers: Annotated[
        str | None,
        Parameter(
            "--bootstrap-servers",
            help="Also run the demo through Kafka at this address, with its own topics and workers, and compare the invoices.",
        ),
    ] = None,
) -> int:
    """Write a month of logs for three partners, land them, close the month, issue the invoices, and prove the books.

    Example: tollbook demo --folder demo
    """
    if bootstrap_servers is not None:
        extras.require("kafka", "--bootstrap-servers")
    if catalog is not None and catalog.resolve().is_relative_to(folder.resolve()):
        raise WrongUse(
            f"--catalog {catalog} is inside {folder}, which is emptied first; copy it elsewhere and name the copy"
        )
    book = catalogs.load(examples.folder() / "catalog" if catalog is None else catalog)
    _emptied(folder)
    (folder / _MARKER).write_text(jsonlib.dumps({"requests": requests}) + "\n")
    if catalog is None:
        catalog = folder / "catalog"
        shutil.copytree(examples.folder() / "catalog", catalog)
    lake = Lake(folder / "lake")
    _made(lake)
    started = time.monotonic()
    sentence(("1", "bold"), f" Writing a month of gateway logs, about {requests:,} requests …")
    files = sample_logs.write_month(folder / "logs", requests=requests)
    size = sum(f.path.stat().st_size for f in files)
    sentence(f"  {len(files)} files, {size / 1e6:,.0f} MB in {time.monotonic() - started:.1f} s", style="dim")
    alerts = (
        _landed(lake, book, files)
        if bootstrap_servers is None
        else _through_kafka(bootstrap_servers, lake, catalog, book, files)
    )
    sentence(("3", "bold"), f" Closing {PERIOD}, rating, issuing …")
    out.print()
    issued = _issued(lake, book)
    _summary(lake, book, issued, alerts)
    proof = prove(lake)
    out.print()
    sentence(usage_screens.books_line(proof.totals()))
    out.print(f"Documents (PDF, JSON, CSV): {lake.documents}", soft_wrap=True)
    same = bootstrap_servers is None or _compared(folder, book, files, issued)
    sentence(f"Total time: {time.monotonic() - started:.1f} s")
    out.print()
    for problem in proof.problems:
        complain(problem)
    if issued:
        _next_steps(lake, issued[-1], catalog)
    complete = proof.totals()["on_the_way"] == proof.commits_on_the_way == 0
    if not complete:
        complain("some entries that were read are not in the books yet; `tollbook verify` shows them")
    return 0 if same and complete and not proof.problems else REFUSED


def _landed(lake: Lake, book: Catalog, files: Sequence[DemoFile]) -> list[Statement]:
    """Land the files in this process; the alerts that fired."""
    sentence(("2", "bold"), " Landing them: parse, attribute, deduplicate, sum up, commit …")
    landing = time.monotonic()
    alerts: list[Statement] = []
    entries = 0
    for format_name, source in dict.fromkeys((f.format, f.source) for f in files):
        mine = [f.path for f in files if f.source == source]
        with progress.bar(source) as move:
            report = run.run(
                lake, book, mine, format_name=format_name, source=source, now=the_clock(None), progress=move
            )
        alerts += report.alerts
        entries += report.counts.entries
        for problem in report.problems:
            complain(problem)
    took = time.monotonic() - landing
    sentence(f"  {entries:,} entries in {took:.1f} s, {entries / took:,.0f} a second", style="dim")
    return alerts


def _through_kafka(
    servers: str, lake: Lake, catalog: Path, book: Catalog, files: Sequence[DemoFile]
) -> list[Statement]:
    """Land the files through topics and workers. Returns the alerts that fired."""
    from tollbook.demo import kafka  # noqa: PLC0415  # the extra `kafka`

    sentence(("2", "bold"), f" Sending them through Kafka at {servers}: load → ingest → two land workers …")
    landing = time.monotonic()
    with progress.bar("load") as move:
        lines = kafka.land(servers, lake, catalog, files, worker_logs=lake.root.parent / "workers", progress=move)
    took = time.monotonic() - landing
    sentence(f"  {lines:,} lines in {took:.1f} s, with the start and the end of the workers", style="dim")
    return evaluation.alert(lake, book, now=the_clock(None)())


def _issued(lake: Lake, book: Catalog) -> list[Issued]:
    made = commands.closed(lake, book, PERIOD, commands.entity(book, None), now=_CLOSED_AT, accept_refused=_ACCEPTED)
    return issuing.issue(lake, made, now=_CLOSED_AT).invoices


def _compared(folder: Path, book: Catalog, files: Sequence[DemoFile], issued: Sequence[Issued]) -> bool:
    """Land the same logs in one process, issue, and return whether the invoices agree except in their evidence."""
    out.print()
    sentence(("4", "bold"), " The same logs in one process, without Kafka …")
    lake = Lake(folder / "local-run")
    _made(lake)
    for format_name, source in dict.fromkeys((f.format, f.source) for f in files):
        run.run(
            lake,
            book,
            [f.path for f in files if f.source == source],
            format_name=format_name,
            source=source,
            now=the_clock(None),
        )
    others = [_content(invoice) for invoice in _issued(lake, book)]
    same = others == [_content(invoice) for invoice in issued]
    if same:
        numbers = f"{issued[0].number} to {issued[-1].number}" if issued else "none"
        sentence(f"Same invoices to the cent, by Kafka and by one process: {numbers}, every line and total")
    else:
        complain(
            f"the invoices differ: by Kafka {folder / 'lake'}, by one process {lake}; compare their {lake.documents.name}"
        )
    return same


def _content(invoice: Issued) -> dict[str, Any]:
    """The content of an invoice without its evidence (versions and offsets)."""
    return {name: value for name, value in invoice.document.items() if name != "evidence"}


def _made(lake: Lake) -> None:
    """Create a lake with the demo's key.

    It is not secret, and fixed, as closes contain hashes and invoices contain their ids.
    """
    lake.create()
    lake.give_key(hashlib.sha256(b"tollbook demo").digest())


def _emptied(folder: Path) -> None:
    """Create the folder, or empty one that an earlier demo created. Raises WrongUse for any other folder."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise WrongUse(f"{folder} is not empty and was not created by a demo; name another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.iterdir():
        if part.is_dir():
            shutil.rmtree(part)
        elif part.name != _MARKER:  # stays, so that an interrupted deletion can be repeated
            part.unlink()


def _summary(lake: Lake, book: Catalog, issued: Sequence[Issued], alerts: Sequence[Statement]) -> None:
    """The summary: usage, quotas, alerts and invoices."""
    currencies = " or ".join(sorted({invoice.currency for invoice in issued}))
    view = table(None, "partner", ">requests", ">GB", ">of quota", ">alerts at %", "invoice", f">total {currencies}")
    house = Warehouse(lake, only=["rollups"])
    for invoice in issued:
        fired = [
            s.alert.key["threshold_percent"]
            for s in alerts
            if s.alert.subject == invoice.partner_id and s.alert.kind is Kind.QUOTA and s.state is State.FIRED
        ]
        view.row(
            invoice.partner_id, f"{_used(house, book, invoice, 'requests'):,.0f}", f"{_used(house, book, invoice, 'GB'):,.2f}",
            _share(invoice.document), " ".join(fired) or "none", invoice.number,
            amount(invoice.total, invoice.currency),
        )  # fmt: skip
    out.print(view)


def _used(house: Warehouse, book: Catalog, invoice: Issued, unit: str) -> Decimal:
    """The usage of the first meter with a unit in the invoice's period."""
    meter = next((m.id for m in book.meters if m.unit == unit), None)
    if meter is None:
        return Decimal(0)
    period = (datetime.fromisoformat(invoice.document["period"][name]) for name in ("start", "end"))
    return in_unit(book, meter, house.usage(book, [Span(invoice.partner_id, meter, *period)])[0])


def _share(document: Mapping[str, Any]) -> str:
    """The used percentage of the partner's first quota."""
    if not document["quotas"]:
        return "no quota"
    quota = document["quotas"][0]
    return f"{EXACT.multiply(Decimal(quota['used']), Decimal(100)) / Decimal(quota['limit']):.1f} %"


def _next_steps(lake: Lake, invoice: Issued, catalog: Path) -> None:
    there = catalog.relative_to(Path.cwd()) if catalog.is_relative_to(Path.cwd()) else catalog
    prices, place = shlex.quote(str(there)), shlex.quote(str(lake))
    steps = {
        "the parts of each line": f"tollbook invoice show {invoice.number} --lake {place}",
        "the invoices, reproduced": f"tollbook invoice verify --lake {place}",
        "the books, proved": f"tollbook verify --lake {place}",
        "usage by day and route": f"tollbook usage {invoice.partner_id} --catalog {prices} --lake {place} --period {PERIOD}",
        "what was not counted": f"tollbook dead list --lake {place}",
        "your own logs": f"tollbook run --catalog {prices} --lake my-lake --format kong --source edge FILE…",
    }
    sentence("Try next:" if shutil.which("tollbook") else f"Try next (with {Path(sys.executable).parent} on the PATH):")
    for what, step in steps.items():
        out.print(words((f"  # {what}", "dim")))
        out.print(words(("  " + step, "bold")), soft_wrap=True)
