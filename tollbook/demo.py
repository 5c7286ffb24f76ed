"""`tollbook demo`: the main job on sample logs, from access log to invoice, in one go."""

import json as jsonlib
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from aggregate.quota import Alert
from aggregate.verify import Proof, prove
from billing import catalog as catalogs
from billing import issuing
from billing.document import money
from billing.issuing import Issued
from billing.periods import month
from billing.warehouse import Span, Warehouse
from schemas.catalog import Catalog
from schemas.money import EXACT, plain
from tollbook import demo_logs, embedded, invoice_commands, screens
from tollbook.edge import REFUSED, complain, out

PERIOD = "2026-10"
_MARKER = "tollbook-demo.json"
_CLOSED_AT = datetime(
    2026, 11, 2, 6, tzinfo=UTC
)  # part of the demonstration, so that its invoices are the same every day
_EXAMPLES = Path(__file__).parent.parent / "examples" / "catalog"


def demo(
    *,
    folder: Annotated[
        Path, Parameter("--folder", help="Where logs, lake and documents go. Emptied first if an earlier demo made it.")
    ] = Path("demo"),
    requests: Annotated[
        int, Parameter("--requests", help="About how many requests in the month.")
    ] = demo_logs.REQUESTS,
    catalog: Annotated[Path, Parameter("--catalog", help="The catalog to bill by.")] = _EXAMPLES,
) -> int:
    """Make a month of gateway logs for three partners, land them, close the month, issue the invoices, prove the books.

    Example: tollbook demo --folder demo
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        complain(f"{folder} is not empty and was not made by a demo; name another --folder")
        return REFUSED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARKER).write_text(jsonlib.dumps({"requests": requests}) + "\n")
    book = catalogs.load(catalog)
    lake = folder / "lake"
    started = time.monotonic()
    out.print(f"[bold]1[/] Writing a month of gateway logs, about {requests:,} requests …")
    files = demo_logs.write_month(folder / "logs", requests=requests)
    size = sum(f.path.stat().st_size for f in files)
    out.print(f"  {len(files)} files, {size / 1e6:,.0f} MB in {time.monotonic() - started:.1f} s", style="dim")
    out.print("[bold]2[/] Landing them: parse, attribute, deduplicate, sum up, commit …")
    landing = time.monotonic()
    alerts: list[Alert] = []
    entries = 0
    for format_name, source in dict.fromkeys((f.format, f.source) for f in files):
        mine = [f.path for f in files if f.source == source]
        report = embedded.run(lake, book, mine, format_name=format_name, source=source)
        alerts += report.alerts
        entries += report.counts.entries
        for problem in report.problems:
            complain(problem)
    took = time.monotonic() - landing
    out.print(f"  {entries:,} entries in {took:.1f} s, {entries / took:,.0f} a second", style="dim")
    out.print(f"[bold]3[/] Closing {PERIOD}, rating, issuing …\n")
    made = invoice_commands.closed(lake, book, PERIOD, invoice_commands.entity(book, None), now=_CLOSED_AT)
    issued = issuing.issue(lake, made, now=_CLOSED_AT).invoices
    _summary(lake, book, issued, alerts)
    proof = prove(lake)
    out.print()
    out.print(screens.books_line(proof.totals()))
    out.print(f"Documents (PDF, JSON, CSV): {lake / issuing.FOLDER}    total time {time.monotonic() - started:.1f} s\n")
    _next_steps(lake, issued, proof, catalog)
    return REFUSED if proof.problems else 0


def _summary(lake: Path, book: Catalog, issued: Sequence[Issued], alerts: Sequence[Alert]) -> None:
    view = screens.table(None, "partner", ">requests", ">GB", ">of quota", ">alerts at %", "invoice", ">total")
    house = Warehouse(lake)
    used = {
        row["partner_id"]: row
        for row in house.used([Span(p.id, "", *month(PERIOD, p.time_zone)) for p in book.partners])
    }
    for invoice in issued:
        row = used[invoice.partner_id]
        quota = invoice.document["quotas"][0]
        share = EXACT.multiply(Decimal(quota["used"]), Decimal(100)) / Decimal(quota["limit"])
        fired = [
            plain(a.threshold_percent) for a in alerts if a.rule.partner_id == invoice.partner_id and a.kind == "quota"
        ]
        view.add_row(
            invoice.partner_id, f"{row['requests']:,}", f"{row['response_bytes'] / 10**9:,.2f}", f"{share:.1f} %",
            " ".join(fired) or "none", invoice.number, f"{money(invoice.total, invoice.currency)} {invoice.currency}",
        )  # fmt: skip
    out.print(view)


def _next_steps(lake: Path, issued: Sequence[Issued], proof: Proof, catalog: Path) -> None:
    for problem in proof.problems:
        complain(problem)
    shown = catalog.relative_to(Path.cwd()) if catalog.is_relative_to(Path.cwd()) else catalog
    steps = [
        ("how a line is made up", f"tollbook invoice show {issued[0].number} --lake {lake}"),
        ("the same bytes again", f"tollbook invoice verify --lake {lake}"),
        ("the books, proved", f"tollbook verify --lake {lake}"),
        (
            "usage by day and route",
            f"tollbook usage {issued[0].partner_id} --catalog {shown} --lake {lake} --period {PERIOD}",
        ),
        ("what was not counted", f"tollbook dead list --lake {lake}"),
        ("your own logs", f"tollbook run --catalog {shown} --lake my-lake --format kong --source edge FILE…"),
    ]
    out.print("Try next (with .venv/bin on the PATH):")
    width = max(len(what) for what, _ in steps)
    for what, step in steps:
        out.print(f"  {what:<{width}}  [bold]{step}[/]", soft_wrap=True, highlight=False)
