"""The first steps of docs/http.md, typed as they stand there, before a real broker."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import own_prefix
from tests.docs.pages import ROOT, block
from tests.ingest.fixtures import kong, line
from tests.tollbook.serving import HttpServer

NORTHWIND = "7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21"


def typed(script: str, folder: Path, **variables: str) -> str:
    """What a script prints; `tollbook` is this one."""
    command = folder / "bin" / "tollbook"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tollbook "$@"\n')
    command.chmod(0o755)
    env = {"PATH": f"{command.parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["sh", "-euc", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_leads_to_two_answers_of_204(kafka: str, tmp_path: Path) -> None:
    """Its event was of one fixed day: 35 days later a reader got 400 for what the page told him to send."""
    shutil.copytree(ROOT / "examples" / "catalog", tmp_path / "catalog")
    (tmp_path / "producers.yaml").write_text(block("docs/http.md", "producers"))
    key = typed("tollbook producers add-key gateway-eu --producers producers.yaml", tmp_path).strip()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)  # the reader's own log is of today
    lines = [line(kong(f"own-{n}", started_at=now_ms - n * 1000, consumer={"id": NORTHWIND})) for n in range(3)]
    (tmp_path / "access.json").write_bytes(b"".join(lines))
    with own_prefix(kafka) as prefix:
        server = HttpServer(kafka, prefix, tmp_path)
        try:
            script = block("docs/http.md", "send").replace("http://127.0.0.1:8080", server.url)
            assert typed(script, tmp_path, KEY=key, no_proxy="*") == "204\n204\n"
            sent = sorted(
                (headers["source"], headers["format"], value.count(b"\n")) for headers, value in server.records()
            )
        finally:
            server.close()
    assert sent == [("edge-eu", "cloudevents", 1), ("edge-eu", "kong", 3)]
