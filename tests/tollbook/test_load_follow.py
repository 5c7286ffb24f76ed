"""`tollbook load --follow`: a growing, rotated log on its way to Kafka.

Positions save work; that lines count once does not rest on them.
"""

import json
import random
import subprocess
from collections.abc import Iterator

import pytest

from schemas.kafka.topics import GATEWAY_ACCESS, USAGE_DEAD, USAGE_EVENTS
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import Here, ended, ended_with_block, process, requests, table_rows
from tests.tollbook.gateway import Gateway

SEED = 20261101
# Everything is sent and delivered, and the process is gone before it can say so.
DIES_BEFORE_DELIVERY = """
import os
from tollbook.kafka import loading
from tollbook.__main__ import main

class Dies(loading.Producer):
    def flush(self, *args):
        super().flush(*args)
        os._exit(9)

from tollbook.cli.kafka import pipeline
pipeline.Producer = Dies
main()
"""
ANY_TIME = "sources: [{id: edge, max_age_days: 36500, max_future_minutes: 52560000}]\n"


@pytest.fixture
def site(kafka: str, kafka_prefix: str, here: Here) -> Iterator[Installation]:
    (here.catalog / "sources.yaml").write_text(ANY_TIME)
    made = Installation(kafka, kafka_prefix, here.folder, here.catalog)
    yield made
    made.close()


def words(site: Installation, *more: object) -> list[str]:
    where = ["load", "--bootstrap-servers", site.config.bootstrap_servers, "--prefix", site.prefix]
    return [str(word) for word in (*where, "--format", "kong", "--source", "edge", "--json", *more)]


def loaded(here: Here, site: Installation, *more: object) -> dict[str, object]:
    """What a load says that went well."""
    done = here.tollbook(*words(site, *more))
    assert (done.code, done.err) == (0, "")
    return dict(done.json)


def following(here: Here, site: Installation, *more: object) -> subprocess.Popen[str]:
    return process(words(site, "--follow", "--look-s", "0.05", *more), folder=here.folder)


def lines_sent(running: subprocess.Popen[str]) -> int:
    """How many lines the next look that found something has sent."""
    assert running.stdout is not None
    return int(json.loads(running.stdout.readline())["lines"])


def records(site: Installation) -> int:
    return sum(site.ends(GATEWAY_ACCESS).values())


def test_a_position_is_kept_when_the_broker_has_the_lines_and_the_next_load_begins_there(
    here: Here, site: Installation
) -> None:
    """A re-read costs nothing, neither in the books nor in work."""
    log = here.log("access.log", *requests(700))
    kept = ["--positions", here.folder / "positions.json"]
    assert loaded(here, site, *kept, log)["lines"] == 700
    before = records(site)
    moved = log.rename(here.folder / "access.log.1")
    assert loaded(here, site, *kept, moved) == {"lines": 0, "records": 0, "problems": [], "waiting": {}}
    assert records(site) == before
    with moved.open("ab") as file:
        file.writelines(requests(3, 1_791_000_000_000))
    assert loaded(here, site, *kept, moved, moved)["lines"] == 3
    (here.folder / "positions.json").write_text("{")
    broken = here.tollbook(*words(site, *kept, moved))
    assert broken.code == 2
    assert "is not a positions file" in broken.complaints[0]
    assert loaded(here, site, moved)["lines"] == 703, "without positions all is sent, as ever"


def test_two_loads_do_not_share_positions_at_once(here: Here, site: Installation) -> None:
    """One would write over what the other has sent."""
    log = here.log("access.log", *requests(5))
    kept = ["--positions", here.folder / "positions.json"]
    with ended_with_block(following(here, site, *kept, log)) as running:
        assert lines_sent(running) == 5
        second = here.tollbook(*words(site, *kept, log))
        assert second.code == 75
        assert "another load is using" in second.complaints[0]
        running.terminate()
        done = ended(running)
    assert (done.code, done.err) == (0, "")


@pytest.mark.slow
def test_a_log_that_grew_after_a_load_died_keeps_its_name(here: Here, site: Installation) -> None:
    """A short log is named by all its lines.

    Were the name not kept before the first of them is sent, they would be others later.
    """
    lines = [text.replace(b'"id": "id-', b'"none": "id-') for text in requests(20)]
    log = here.log("access.log", *lines[:3])
    kept = ["--positions", here.folder / "positions.json"]
    died = process(words(site, *kept, log), folder=here.folder, code=("-c", DIES_BEFORE_DELIVERY))
    assert ended(died).code == 9
    log.write_bytes(b"".join(lines))
    assert loaded(here, site, *kept, log)["lines"] == 20
    with site.ingest(), site.land() as land:
        land.until(lambda _: landed(site, 20))
        land.stop()
    proof = here.tollbook("verify", "--lake", site.lake, "--json").json
    assert (proof["ok"], proof["counted"], proof["duplicates"]) == (True, 20, 3)


def test_a_short_log_that_may_grow_is_warned_of_unless_positions_are_kept(here: Here, site: Installation) -> None:
    """Grown, it has another name, and its lines would count twice: nobody learns that from a page read later."""
    log = here.log("short.log", *requests(3))
    done = here.tollbook(*words(site, log))
    assert done.code == 0
    assert "warning: " in done.err
    assert "--positions" in done.err
    assert loaded(here, site, "--positions", here.folder / "positions.json", log)["lines"] == 3
    loaded(here, site, here.log("long.log", *requests(700)))


def test_follow_needs_positions(here: Here, site: Installation) -> None:
    """Without them a restart would name short logs anew."""
    refused = here.tollbook(*words(site, here.log("a.log", *requests(1)), "--follow"))
    assert refused.code == 2
    assert "--follow needs --positions" in refused.complaints[0]


@pytest.mark.slow
def test_killed_while_it_follows_each_line_counts_once(here: Here, site: Installation) -> None:
    """SIGKILL between sending, delivery and the writing of positions: what is sent again is known by where it stood."""
    rng = random.Random(SEED)
    gateway = Gateway(here.folder / "logs", rng)
    kept = ["--positions", here.folder / "positions.json", "--lines", 50]
    for _ in range(6):
        with ended_with_block(following(here, site, *kept, gateway.folder)) as running:
            for _ in range(rng.randrange(1, 4)):
                gateway.write(rng.randrange(2, 200))
                assert lines_sent(running) > 0
                if rng.random() < 0.7:
                    gateway.rotate()
            gateway.write(rng.randrange(2, 400))
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(timeout=rng.random() * 0.3)
    gateway.end_line()
    loaded(here, site, *kept, gateway.folder)
    assert loaded(here, site, *kept, gateway.folder)["records"] == 0
    with site.ingest(), site.land() as land:
        land.until(lambda _: landed(site, gateway.lines))
        land.stop()
    here.lake = site.lake
    proof = here.tollbook("verify", "--lake", site.lake, "--json").json
    assert proof["ok"]
    assert (proof["counted"], proof["conflicts"], proof["refused"]) == (gateway.lines, 0, 0)
    print(f"{gateway.lines} lines, {proof['duplicates']} sent again")


def landed(site: Installation, lines: int) -> bool:
    if not (site.lake / "events").exists() or table_rows(site.lake, "events", "SELECT count(*) AS n FROM t")[:1] != [
        {"n": lines}
    ]:
        return False
    ends = site.ends(USAGE_EVENTS, USAGE_DEAD)
    return all(site.landed(p, topic) == end for (topic, p), end in ends.items())
