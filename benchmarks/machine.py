"""What a result must say of its making: date, versions, machine in general terms, command."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

LIBRARIES = ("duckdb", "pyarrow", "deltalake", "numpy", "confluent-kafka", "faust-streaming")


def heading(title: str, command: str, sample: str = "the demonstration month, the same bytes every time") -> str:
    """The head of a page of docs/results."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return "\n".join(
        [
            f"# {title}",
            "",
            f"- {datetime.now(UTC):%Y-%m-%d}, Tollbook {version('tollbook')}, Python {platform.python_version()}, {libraries}",
            f"- {os.cpu_count()} cores ({platform.machine()}), {memory_gib:.0f} GiB, {platform.system()}",
            f"- `{command.strip()}`; the sample is {sample}",
            "",
            "Times depend on the machine; the ratios were measured side by side in one run.",
        ]
    )
