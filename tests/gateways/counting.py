"""A run over the log of a gateway: what it counts."""

import json
import subprocess
import sys
from pathlib import Path

from tests.gateways.reading import Played, Reading

_CATALOG = """
legal_entities:
  - {{id: seller, name: Seller GmbH, invoice_prefix: SE}}
meters:
  - {{id: requests, aggregate: count, unit: requests}}
partners:
  - {{id: us, name: Us, time_zone: UTC, status: internal}}
  - id: vera
    name: Vera
    legal_entity: seller
    time_zone: UTC
    credentials: [{{kind: consumer, id: vera}}, {{kind: api_key, id: k9x2}}]
sources:
  - {{id: edge, own: {{partner: us, without_credential: true}}, trust_user: {trust_user}}}
"""


def run_counts_every_request(folder: Path, reading: Reading, played: dict[str, Played], log: str) -> None:
    """Every request among the lines of all cases is counted once."""
    lines = [line for case in played.values() for line in case.lines[log]]
    (folder / "access.log").write_bytes(b"".join(line.text for line in lines))
    (folder / "catalog").mkdir()
    (folder / "catalog" / "all.yaml").write_text(_CATALOG.format(trust_user=str(reading.trust_user).lower()))
    requests = sum(entry["reason"] is None for line in lines for entry in line.entries)
    refused = sum(entry["reason"] is not None for line in lines for entry in line.entries)
    assert requests > 60
    report = _run(folder, reading.format)
    assert {name: report[name] for name in ("entries", "counted", "refused", "duplicates", "conflicts")} == {
        "entries": requests + refused, "counted": requests, "refused": refused, "duplicates": 0, "conflicts": 0,
    }  # fmt: skip


def _run(folder: Path, format_name: str) -> dict[str, int]:
    command = [
        "run",
        "--catalog",
        "catalog",
        "--lake",
        "lake",
        "--format",
        format_name,
        "--source",
        "edge",
        "--json",
        "access.log",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tollbook", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, int] = json.loads(done.stdout)
    return report
