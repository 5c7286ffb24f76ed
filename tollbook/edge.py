"""The edge of the command: exit codes, options that many commands share, the one place where errors become messages.

Exit codes: 0 done · 1 refused (books, business rule, a file that could not be read) · 2 wrong use or configuration ·
70 our bug · 75 try again (another run, disk full).
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from billing.catalog import CatalogError
from billing.closing import Refused
from billing.periods import BadPeriod
from ingest.formats import UnknownFormat
from schemas.lake import Fenced, LakeError
from tollbook.embedded import Busy, NoFiles

OK, REFUSED, USAGE, BUG, AGAIN = 0, 1, 2, 70, 75

out = Console(soft_wrap=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)

LakeOption = Annotated[Path, Parameter("--lake", help="Folder of the lake.")]
CatalogOption = Annotated[Path, Parameter("--catalog", help="Folder of the catalog's YAML files.")]
PeriodOption = Annotated[str, Parameter("--period", help="Billing month, YYYY-MM.")]
JsonOption = Annotated[bool, Parameter("--json", negative="", help="Print JSON for programs instead of a table.")]
NowOption = Annotated[datetime | None, Parameter("--now", show=False)]  # for tests and demonstrations; else the clock


def guarded(command: Callable[[], int | None]) -> int:  # noqa: PLR0911  # one return for each decision a scheduler makes
    """Run a command; turn what may go wrong into one clear message and an exit code."""
    try:
        return command() or OK
    except (CatalogError, Refused) as exc:
        for problem in exc.problems:
            complain(str(problem))
        return USAGE if isinstance(exc, CatalogError) else REFUSED
    except (UnknownFormat, NoFiles, BadPeriod, LakeError) as exc:
        complain(str(exc))
        return USAGE
    except Busy as exc:
        complain(str(exc))
        return AGAIN
    except Fenced as exc:
        complain(f"another process wrote to the lake at the same time; nothing was lost, repeat the command ({exc})")
        return AGAIN
    except OSError as exc:
        complain(
            f"{exc.filename or 'disk'}: {exc.strerror or exc}; mend that, then repeat the command: it goes on where it stopped"
        )
        return AGAIN
    except KeyboardInterrupt:
        complain("interrupted; repeat the command and it goes on where it stopped")
        return AGAIN


def complain(message: str) -> None:
    """One line on standard error; control characters shown, not sent."""
    err.print("[bold red]error:[/] ", end="")
    err.print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message), markup=False)


def show_json(value: Any) -> None:
    """A result for programs."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def the_time(given: datetime | None) -> datetime:
    """The instant a command acts at: the one given, or the clock, read once."""
    if given is None:
        return datetime.now(UTC)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
