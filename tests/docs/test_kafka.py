"""docs/kafka.md: its tables are those of the program, both ways."""

import base64
import inspect
import re
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Counter

from aggregate.sinks.file import sinks
from schemas.halts import Halt
from schemas.kafka import topics
from tests.docs.pages import block, names_in_first_column, rows, section
from tollbook.cli.app import app
from tollbook.kafka.options import PASSWORD
from tollbook.workers import metrics

PAGE = "docs/kafka.md"
COMMANDS = {
    "create": app["topics"]["create"], "check": app["topics"]["check"],
    **{name: app[name] for name in ("load", "ingest", "land", "quota")},
}  # fmt: skip
GROUPS = {"all": [*COMMANDS], "topics": ["create", "check"]}


class Option(NamedTuple):
    command: str
    flag: str
    variable: str
    default: str


def offered() -> set[Option]:
    """All options of all commands of Kafka."""
    found = set()
    for name, command in COMMANDS.items():
        for argument in command.assemble_argument_collection(parse_docstring=True):
            flags = [each for each in argument.names if each.startswith("--") and not each.startswith("--no-")]
            if flags and argument.parse:
                (variable,) = argument.parameter.env_var or ("",)
                default = argument.field_info.default
                shown = "" if default in {inspect.Parameter.empty, None, "", False} else str(default)
                found.add(Option(name, flags[0], variable, shown))
    return found


def explained() -> list[Option]:
    found = []
    for flag, variable, default, of, what in (row for row in rows(section(PAGE, "Options")) if row[0] != "flag"):
        if set(flag) <= {"-"} and flag:
            continue
        assert what
        commands = [command for word in of.split() for command in GROUPS.get(word, [word])]
        found += [Option(command, *(cell.strip("`") for cell in (flag, variable, default))) for command in commands]
    return found


def test_every_option_is_explained_and_every_explained_one_exists() -> None:
    """Flag, variable, default and the commands that take it: whoever writes a unit file copies from this table."""
    page = explained()
    password = {option for option in page if not option.flag}
    assert {option.variable for option in password} == {PASSWORD}
    assert len(page) == len(set(page))
    assert set(page) - password == offered()
    assert len(offered()) > 60


def test_a_redrive_is_told_where_the_brokers_are_as_all_are() -> None:
    """The page says so in one line, not in a table of its own."""
    arguments = app["dead"]["redrive"].assemble_argument_collection(parse_docstring=True)
    offered_there = {argument.names[0] for argument in arguments if argument.parse}
    page = rows(section(PAGE, "Options"))
    assert {flag.strip("`") for flag, _, _, of, _ in page if of == "all" and flag} <= offered_there


def test_every_topic_stands_with_its_partitions_and_how_long_it_is_kept() -> None:
    """A cluster's administrator plans disks by it."""
    documented = {
        row[0].strip("`"): (row[1], row[2]) for row in rows(section(PAGE, "Topics")) if row[0].startswith("`")
    }
    made = {
        t.name: (
            "1" if t.partitions == 1 else "`--partitions`",
            "compacted" if t.retention_ms is None else f"{t.retention_ms // topics.DAY_MS} days",
        )
        for t in topics.table()
    }
    assert documented == made


def test_every_halt_is_explained() -> None:
    """The reason in a page at night is looked up here."""
    named = names_in_first_column(section(PAGE, "Halts"))
    assert sorted(named) == sorted(Halt)
    for reason, _, remedy in (row for row in rows(section(PAGE, "Halts")) if row[0].startswith("`")):
        assert Halt(reason.strip("`")).passes == bool(re.match(r"resolves itself|the supervisor restarts", remedy)), (
            reason
        )


def test_every_metric_is_explained() -> None:
    """By its name on the wire."""
    families = [(metric.describe()[0].name, isinstance(metric, Counter)) for metric in metrics.ALL]
    assert sorted(names_in_first_column(section(PAGE, "Monitoring"))) == sorted(
        f"{name}_total" if counter else name for name, counter in families
    )


def test_the_webhook_file_that_is_shown_is_one_that_works(tmp_path: Path) -> None:
    """It is copied as it stands; a field that the program does not know would be met at night."""
    key = "whsec_" + base64.b64encode(bytes(24)).decode()
    (tmp_path / "on-call").write_text(key + "\n")
    file = tmp_path / "webhooks.yaml"
    file.write_text(block(PAGE, "webhooks").replace("/run/secrets", str(tmp_path)))
    read = sinks(file, {"NORTHWIND_WEBHOOK_KEY": key})
    assert [(sink.name, sink.route.partner) for sink in read] == [
        ("on-call", None), ("northwind", "northwind"), ("alertmanager", None),
    ]  # fmt: skip
