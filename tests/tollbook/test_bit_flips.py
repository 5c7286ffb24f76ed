"""One bit of one file below a lake is another: `verify` or `invoice verify` says so with exit code 1, or nothing
that is read of it differs.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from aggregate.verify import prove
from billing.invoicing import closing, issuing
from billing.periods import month
from billing.usage.warehouse import Warehouse
from lake import duck
from lake import tables as lake
from lake.lake import Lake
from lake.tables import MARKER
from schemas.tables import KEPT, PAYLOADS
from tests.aggregate.fixtures import event, refusal
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land, request
from tests.long import LONG
from tollbook.cli import app

SEED, FLIPS = 20261130, 60 if LONG else 8
EVERY = dict.fromkeys(("reason", "source", "credential", "since", "until", "letter")) | {"limit": 1000}


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with every kind of file: events of some days, resends, conflicts, refused lines, checkpoints, a close,
    invoices, documents.
    """
    root = tmp_path_factory.mktemp("flips") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake, "CHECKPOINT_COMMITS", 2)
        land(root, [*OCTOBER, OCTOBER[0], event("x", status=200), event("x", status=404), refusal(), refusal(raw=b"y")])
        made = closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW)
        issuing.issue(Lake(root), made, now=NOW)
        for n in range(3):
            land(root, [request(f"2026-11-0{n + 2}T12:00Z"), refusal(raw=b"z")], f"later-{n}")
    assert list((root / "events" / "_delta_log").glob("*.checkpoint.parquet"))
    return root


def results(root: Path) -> dict[str, Any]:
    """All that is read of a lake."""
    house = Warehouse(Lake(root), only=[*KEPT, PAYLOADS.name])
    proof = prove(Lake(root))
    return {
        "books": (proof.books, proof.problems),
        "completeness": duck.rows(house.query("completeness")),
        "usage": [
            house.usage_sha256([(p.id, *month(m, p.time_zone)) for p in book().partners])
            for m in ("2026-10", "2026-11")
        ],
        "dead": house.query("dead_letters", EVERY).to_pylist(),
        "closes": closing.all_closes(Lake(root)),
        "invoices": [found._replace(files=()) for found in issuing.listed(Lake(root))],
        "late": issuing.late_usage(Lake(root)),
        "drafts": closing.bills_of(house, book(), book().partners, "2026-11", Lake(root)),
    }


def flips(root: Path, count: int) -> list[tuple[Path, int, int]]:
    """Places, the same in each run: any file, small or large, is as likely as another.

    Names of data files differ from run to run.
    """
    draw = random.Random(SEED)
    files = sorted(
        (path for path in root.rglob("*") if path.is_file() and path.stat().st_size),
        key=lambda p: (str(p.parent), p.stat().st_size),
    )
    chosen = [draw.choice(files) for _ in range(count)]
    return [(path, draw.randrange(path.stat().st_size), draw.randrange(8)) for path in chosen]


def codes(root: Path) -> tuple[int, ...]:
    return tuple(
        app.run(words) for words in (["verify", "--lake", str(root)], ["invoice", "verify", "--lake", str(root)])
    )


@pytest.mark.slow
def test_a_flipped_bit_is_noticed_or_harmless(issued: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data, logs, checkpoints, documents, markers: never a bug's exit code, never another result without a word."""
    before = results(issued)
    assert codes(issued) == (0, 0)
    wrong, noticed = [], 0
    for path, at, bit in flips(issued, FLIPS):
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        capsys.readouterr()
        try:
            found = codes(issued)
            shown = capsys.readouterr()
            where = f"{path.relative_to(issued)} byte {at} bit {bit}"
            if any(code not in ((0, 1, 2) if path.name == MARKER else (0, 1)) for code in found):
                wrong.append(f"{where}: exit codes {found}: {shown.err[-600:]}")
            elif any(found):
                noticed += 1
                if (
                    path.name.endswith((".parquet", ".json"))
                    and path.name not in shown.err + shown.out
                    and path.parent.parent.name not in shown.err + shown.out
                ):
                    wrong.append(f"{where}: noticed without the file's name: {shown.err[-600:]}")
            elif results(issued) != before:
                wrong.append(f"{where}: other results, and nobody was told")
        finally:
            path.write_bytes(content)
    assert wrong == []
    assert noticed > FLIPS // 3
    assert codes(issued) == (0, 0)
