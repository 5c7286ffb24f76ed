"""The demonstration on Kafka: the same invoices as one process makes, or it says so; and nothing is left on the
broker.
"""

from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from billing.catalog import loading
from billing.invoicing.issuing import Issued
from lake.lake import Lake
from tests.tollbook.fixtures import ROOT, Here
from tollbook.demo import run as demonstration
from tollbook.demo import sample_logs

REQUESTS = 3_000


def test_by_kafka_and_by_one_process_the_invoices_are_the_same(here: Here, kafka: str) -> None:
    """N workers or one process: one number. The topics and groups of a demonstration go with it."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})

    def left() -> list[str]:
        groups = admin.list_consumer_groups().result().valid
        return sorted(n for n in [*admin.list_topics(timeout=10).topics, *(g.group_id for g in groups)] if "demo-" in n)

    before = left()
    folder = here.folder / "demo"
    ended = here.tollbook("demo", "--requests", REQUESTS, "--folder", folder, "--bootstrap-servers", kafka)
    assert (ended.code, ended.err) == (0, "")
    assert "unexplained: 0" in ended.out
    assert "Same invoices to the cent" in ended.out
    assert left() == before
    assert sorted(path.name for path in (folder / "workers").iterdir()) == ["ingest.log", "land-1.log", "land-2.log"]
    proofs = [here.tollbook("verify", "--lake", folder / name, "--json").json for name in ("lake", "local-run")]
    assert all(proof["ok"] for proof in proofs)
    outcomes = ("entries", "counted", "duplicates", "conflicts", "refused", "on_the_way")
    assert {o: proofs[0][o] for o in outcomes} == {o: proofs[1][o] for o in outcomes}


@pytest.mark.slow
def test_invoices_that_differ_are_reported_with_where_to_look(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison that always says yes is none: here one total is off by a cent."""
    book = loading.load(ROOT / "examples" / "catalog")
    files = sample_logs.write_month(here.folder / "logs", requests=1_000)
    demonstration._landed(Lake(here.lake), book, files)
    right = demonstration._issued(Lake(here.lake), book)
    assert len(right) == 3
    assert demonstration._compared(here.folder, book, files, right)
    wrong = [_off_by_a_cent(right[0]), *right[1:]]
    (here.folder / "again").mkdir()
    capsys.readouterr()
    assert not demonstration._compared(here.folder / "again", book, files, wrong)
    assert "the invoices differ" in capsys.readouterr().err
    assert not demonstration._compared(here.folder / "again", book, files, right[1:])


def _off_by_a_cent(invoice: Issued) -> Issued:
    total = str(Decimal(invoice.document["total"]) + Decimal("0.01"))
    return invoice._replace(document={**invoice.document, "total": total})


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1"])
def test_a_broker_that_is_away_is_told_in_one_line(here: Here, tmp_path: Path, address: str) -> None:
    """Nothing hangs, and nothing is left that runs."""
    ended = here.tollbook("demo", "--requests", 1_000, "--folder", tmp_path / "d", "--bootstrap-servers", address)
    assert ended.code == 75, ended
    (complaint,) = ended.complaints
    assert "no broker answers there" in complaint
