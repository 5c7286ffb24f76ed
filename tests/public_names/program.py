"""Names that the program holds as values: nothing is run for them but its parsers."""

import base64
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from cyclopts import App
from standardwebhooks import Webhook

from aggregate.alerts import messages as alerts
from aggregate.alerts.feed import POSITION
from aggregate.quota import messages, thresholds
from aggregate.quota.rule import AlertRule
from aggregate.quota.sums import Standing
from aggregate.sinks import file as sinks_file
from aggregate.sinks import notices
from aggregate.sinks.http import Target
from aggregate.sinks.webhook import WebhookSink
from ingest.attribution import policies
from ingest.decode import formats
from ingest.http import api, delivery
from ingest.http.producers import Producers
from ingest.http.responses import ApiProblem, Code, of_problem
from lake import tables as lake
from lake.credentials import KEY
from schemas import tables
from schemas.alerts import State, Statement
from schemas.catalog.records import Catalog
from schemas.halts import Halt
from schemas.kafka import topics, totals, wire
from schemas.kafka.totals import Total
from schemas.log import Origin
from schemas.reasons import Reason
from tests.aggregate.receivers import receiver
from tests.public_names.lists import leaves, shape
from tests.tollbook.fixtures import ROOT
from tollbook import analysis
from tollbook.cli import errors
from tollbook.cli.app import app
from tollbook.workers import metrics

PACKAGES = ("schemas", "kernels", "lake", "ingest", "aggregate", "billing", "tollbook")
AT = datetime(2026, 10, 1, tzinfo=UTC)


def lists() -> Mapping[str, list[str]]:
    """Every list of this module by its subject."""
    return {
        "tables": list(_tables()),
        "topics": list(_topics()),
        "messages": list(_messages()),
        "reasons": list(_reasons()),
        "metrics": sorted(_metrics()),
        "commands": list(_commands()),
        "environment": sorted(_environment()),
        "http": sorted(set(leaves(json.loads(api.document())))),
        "files": list(_files()),
        "analysis": list(_analysis()),
        "formats": sorted(formats.names()),
    }


def _tables() -> Iterator[str]:
    """Columns in the order of the table."""
    for name, table in tables.ALL.items():
        partitions = f", partitioned by {', '.join(table.partition_by)}" if table.partition_by else ""
        yield f"{name}: table{partitions}"
        yield from (f"{name}.{column.name}: {column.type}" for column in table.schema)


def _topics() -> Iterator[str]:
    for topic in topics.table():
        kept = "compacted" if topic.is_compacted else f"{topic.retention_ms} ms"
        yield f"{topic.name}: {topic.partitions} partitions, {kept}"
        yield from (f"{topic.name}: {rule.setting}={rule.value}" for rule in topics.required_settings(topic, 3))
    yield from sorted(
        f"group of consumers: {re.sub('{.*?}', '*', group)}" for group in _named(r'consumer_options\(\s*f?"([^"]+)"')
    )
    yield f"group of consumers, application of Faust: {topics.quota_app()}"


def _messages() -> Iterator[str]:
    """Headers and columns of Arrow messages, keys of JSON messages."""
    origins, ingested = [Origin("g", 0, 1)], tables.INGESTED.schema.empty_table()
    for schema, columns in wire.READABLE.items():
        names = [name for name, _ in wire.headers(schema, origins, ingested if schema == wire.DEAD_2 else None)]
        yield f"{schema}: headers {', '.join(names)}"
        yield from (f"{schema}.{column.name}: {_plain(column.type)}" for column in columns)
    (record,) = delivery.records(b"{}\n", format_name="kong", source="edge", key="k")
    yield f"gateway.access over HTTP: headers {', '.join(name for name, _ in record.headers)}"
    total = Total(
        partner_id="acme", meter="requests", unit="requests", plan="small", kind="MONTH", start=AT, end=AT, limit=Decimal(1),
        thresholds=(Decimal(50),), events_partition=0, used=Decimal(1), seen_until=AT, events_version=1, limit_since=AT, held=((AT, AT),),
    )  # fmt: skip
    (message,) = totals.messages([total])
    yield f"usage.totals: schema {totals.SCHEMA}, key {message.key}"
    yield from (f"usage.totals.{name}" for name in shape([json.loads(message.value)]))
    rule = AlertRule("acme", "requests", "small", "MONTH", AT, AT, Decimal(1), (Decimal(50),), AT, ((AT, AT),))
    at = Standing(total, rule, None, None, (), Decimal(1), AT, 1)  # type: ignore[arg-type]  # parts and ledger are in no message
    (held,) = thresholds.holding(rule, Decimal(1), unit="requests", seen_until=AT, known={})[:1]
    held = held._replace(at=AT)
    ahead = held._replace(evidence={**held.evidence, "projected_exhaustion_at": AT.isoformat()})
    sent = [alerts.event(Statement("id", 1, state, alert, "id", 1)) for alert in (held, ahead) for state in State]
    yield f"usage.alerts: {alerts.CONTENT_TYPE}, source {alerts.QUOTA_SOURCE}"
    yield f"usage.alerts: header {POSITION}"
    yield from (f"usage.alerts: type {kind}" for kind in alerts.QUOTA_TYPES.values())
    yield f"usage.alerts: other kinds, source {alerts.SOURCE}, type tollbook.KIND.STATE"
    yield from (f"usage.alerts.{name}" for name in shape(sent))
    with receiver(204) as to:
        key = Webhook(base64.b64encode(bytes(24)).decode())
        sink = WebhookSink(target=Target(name="n", url=to.url, private=True), keys=(key,))
        sink.send(notices.notice(b'{"id": "id", "subject": "acme"}'), AT)
        yield from (f"webhook: header {name}" for name in sorted(to.next().headers))
    yield from (f"quota.state.{name}" for name in shape([json.loads(messages.state(rule, at))]))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _reasons() -> Iterator[str]:
    yield from (f"refused: {reason}" for reason in Reason)
    yield from (f"halted: {halt}" for halt in Halt)
    yield from (f"marked as outside: {mark}" for mark in policies.OUTSIDE)
    yield from (f"HTTP problem: {code}" for code in Code)
    yield from (f"HTTP problem {code}: {of_problem(ApiProblem(code, '')).status_code}" for code in Code)
    yield from (f"exit code: {code}" for code in errors.EXIT_CODES)


def _metrics() -> Iterator[str]:
    for metric in metrics.ALL:
        (family,) = metric.describe()
        yield f"{family.name} {family.type} {{{', '.join(metric._labelnames)}}}"


def _commands() -> Iterator[str]:
    """Every command with its options: names, variable, default, type and whether it must be given."""
    for place, found in _places(app):
        words = " ".join(("tollbook", *place))
        yield words
        if found.default_command is None or place[0].startswith("-"):
            continue  # a group; or what cyclopts itself brings
        for argument in found.assemble_argument_collection(parse_docstring=True):
            if argument.parse and argument.names != ("*",):  # options that many commands share: each follows by itself
                yield f"{words} {_option(argument)}"


def _places(group: App, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    for name in sorted(group):
        if not name.startswith("-"):
            yield (*place, name), group[name]
            yield from _places(group[name], (*place, name))
        elif not place:
            yield (name,), group[name]


def _option(argument: Any) -> str:
    default = argument.field_info.default
    words = [
        *(sorted(argument.names) if argument.names[0].startswith("-") else ["(by position)"]),
        *(f"${variable}" for variable in argument.parameter.env_var or ()),
        "required"
        if argument.required
        else f"default {default if default is not argument.field_info.empty else None!r}",
        inspect.formatannotation(argument.hint).replace("typing.", ""),
    ]
    return " ".join(words)


def _environment() -> set[str]:
    """Every variable that the sources name, options' or not."""
    return _named(r"\bTOLLBOOK_[A-Z0-9_]*[A-Z0-9]\b")


def _named(pattern: str) -> set[str]:
    """What the sources say in so many words, and hold in no value."""
    texts = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {name for text in texts for name in re.findall(pattern, text)}


def _files() -> Iterator[str]:
    """Files that people write: the fields of catalog, producers and webhooks.

    Files that the program makes: their names.
    """
    yield from _fields("catalog", Catalog.model_json_schema())
    yield from _fields("producers", Producers.model_json_schema())
    yield from _fields("webhooks", sinks_file.FILE.json_schema())
    yield f"lake: {lake.MARKER}, format {lake.FORMAT}"
    yield f"lake: {KEY}"


def _fields(file: str, schema: Mapping[str, Any]) -> list[str]:
    """What a JSON Schema allows. Its definitions stand where they are used: the names of our classes are nobody's."""
    known = schema.get("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, Mapping):
            given = known[part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
            return {
                name: whole(inner)
                for name, inner in {**part, **given}.items()
                if name not in {"$ref", "$defs", "mapping"}
            }
        return [whole(inner) for inner in part] if isinstance(part, list) else part

    return sorted({f"{file}: {leaf}" for leaf in leaves(whole(schema))})


def _analysis() -> Iterator[str]:
    """Functions with their signatures, records with their fields."""
    for name, value in sorted(vars(analysis).items()):
        if name.startswith("_") or getattr(value, "__module__", "") != analysis.__name__:
            continue
        if not inspect.isclass(value):
            yield f"{name}{_signature(value)}"
            continue
        yield f"class {name}"
        if hasattr(value, "_fields"):
            yield from (f"{name}.{field}" for field in value._fields)
        elif is_dataclass(value):
            yield from (f"{name}.{field.name}" for field in fields(value))
        else:
            yield from (
                f"{name}.{method}{_signature(made)}"
                for method, made in sorted(vars(value).items())
                if inspect.isfunction(made) and not method.startswith("_")
            )


def _signature(function: Any) -> str:
    """Names, kinds and defaults of parameters; their types are the type checker's."""
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))
