"""Lines to events and dead letters, as one SQL pipeline over Arrow tables: format → normalise → attribute.

Every entry of every line becomes exactly one row: an event, or a refusal with a reason from the closed list.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.attribution.policies import NO_POLICIES, Policies, PolicyCheck
from ingest.attribution.routing import Routing
from ingest.decode import field_layout, formats, json_scan, quantities, statements, strict_json
from ingest.decode.framing import Lines
from ingest.decode.quantities import EventProperty, Quantities
from ingest.decode.statements import Statements
from ingest.decode.template_cache import LineBounds, LineOrigin, TemplateCache
from kernels.dictionaries import repeated, without_unused
from schemas.tables import CODED, DEAD, FRESH_EVENTS

CREDENTIALS = pa.schema(
    [
        ("kind", pa.string()),
        ("value", pa.string()),  # as a log shows it
        ("named", pa.string()),  # what is stored instead of the value; null: the value
        ("partner_id", pa.string()),
        ("suspended", pa.bool_()),
        ("policy", pa.int32()),  # the number of its policy (ingest.attribution.policies); null: none
        ("from_us", pa.int64()),
        ("to_us", pa.int64()),
    ]
)
LIMITS = pa.schema(
    [
        ("position", pa.int64()),
        ("earliest_us", pa.int64()),
        ("latest_us", pa.int64()),
        ("key", pa.string()),  # of the Kafka record, if it names the partner
    ]
)
NO_LIMITS = LIMITS.empty_table()
_NO_PARTS = pa.schema([("position", pa.int64()), ("item", pa.int32()), ("line", pa.string())]).empty_table()
PARTNERS = pa.schema([("partner_id", pa.string()), ("suspended", pa.bool_())])


# Loading the JSON scan takes as long as reading this many lines by the statement.
_TEMPLATES_FROM = 20_000
# The times that any line may have, [from, to): ingest/decode/sql/normalise.sql refuses others.
_TIMES_US = (631_152_000_000_000, 4_102_444_800_000_000)

EVENTS_FORMAT = "cloudevents"
_Rows = slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]

# The fields for which a source may define its own names.
FIELDS = (
    "request_id", "time", "method", "path", "route", "status", "request_bytes", "response_bytes", "latency_ms", "latency_s", "client_ip", "api_key", "consumer",
    "iam", "service", "host",
)  # fmt: skip

# Values that hold for all lines: the single row of table `given`.
GIVEN = pa.schema(
    [
        ("generation", pa.string()),
        ("layout", pa.string()),
        ("source_partner", pa.string()),
        ("source_suspended", pa.bool_()),
        ("own_partner", pa.string()),
        ("judging", pa.bool_()),
        ("trust_user", pa.bool_()),
        ("may_tag", pa.bool_()),
        ("partner_path", pa.string()),
        ("earliest_us", pa.int64()),
        ("latest_us", pa.int64()),
        ("max_age_days", pa.int64()),
        ("max_future_minutes", pa.int64()),
        ("event_types", pa.list_(pa.string())),
        ("strict", pa.bool_()),
        ("typed", pa.bool_()),
        ("carrying", pa.bool_()),
        *((f"field_{name}", pa.string()) for name in FIELDS),
    ]
)


class SourceRules(NamedTuple):
    """The catalog's rules for one source. Times in microseconds since the epoch; None: no limit."""

    source: str
    may_tag: bool = False
    partner_field: str | None = None  # the field of the log line that names the partner
    earliest_us: int | None = None
    latest_us: int | None = None
    event_types: tuple[str, ...] | None = None  # of usage events; None: any
    fields: Mapping[str, str] | None = None  # FIELDS → its name in a JSON line; / leads into objects
    partner: str | None = None  # the partner whose own source it is
    routes: tuple[tuple[str, str], ...] = ()  # pattern of the logged route, and its name
    own: str | None = None  # the internal partner that owns lines without a credential
    own_routes: tuple[str, ...] | None = None  # only on these routes; None: on any
    max_age_days: int = 0  # where the limits come from, for the detail of a refusal
    max_future_minutes: int = 0
    trust_user: bool = False  # whether the source's gateway checks every user that it logs
    event_properties: tuple[EventProperty, ...] = ()  # what meters ask of CloudEvents
    line_properties: tuple[EventProperty, ...] = ()  # what the source's lines carry


class Attribution(NamedTuple):
    """The owners of credentials, as tables CREDENTIALS and PARTNERS, and the policies of the credentials."""

    credentials: pa.Table = CREDENTIALS.empty_table()
    partners: pa.Table = PARTNERS.empty_table()
    policies: Policies = NO_POLICIES


class Decoded(NamedTuple):
    """`events` as schemas.tables.FRESH_EVENTS, `refused` as schemas.tables.DEAD; both in log order."""

    events: pa.Table
    refused: pa.Table


def prepare(format_name: str) -> None:
    """Load the JSON scan for a format, in half a second, so that the first lines do not wait. For a thread."""
    members = field_layout.layout_of(format_name)
    if members is not None:
        json_scan.load(members.members)


class Decoder:
    """Decodes one format of one source on one thread. Owns a DuckDB connection."""

    def __init__(
        self, format_name: str, rules: SourceRules, attribution: Attribution, *, templates_from: int = _TEMPLATES_FROM
    ) -> None:
        """`templates_from`: from this many lines on, in one block or in total, the template cache is used."""
        names = rules.fields or {}
        con = statements.connect(format_name)
        self._statements = Statements(con)
        self._steps = _steps(format_name, mapped=bool(names))
        ruled = attribution.policies.policies.num_rows > 0
        self._policy_check = PolicyCheck(con, format_name, attribution.policies) if ruled else None
        path = _json_path(names.get("partner", rules.partner_field))
        tagging = rules.may_tag and path is not None
        typed = format_name == EVENTS_FORMAT
        properties = rules.event_properties if typed else rules.line_properties
        self._constants = {
            "source_partner": rules.partner,
            "source_suspended": _suspended(attribution.partners, rules.partner),
            "own_partner": rules.own,
            "judging": self._policy_check is not None,
            "may_tag": rules.may_tag,
            "trust_user": rules.trust_user,
            "partner_path": path,
            "earliest_us": rules.earliest_us,
            "latest_us": rules.latest_us,
            "max_age_days": rules.max_age_days,
            "max_future_minutes": rules.max_future_minutes,
            "event_types": None if rules.event_types is None else list(rules.event_types),
            "strict": formats.is_strict(format_name) or tagging,
            "typed": typed,
            "carrying": bool(properties),
            **{f"field_{name}": _json_path(field) for name, field in names.items()},
        }
        self._statements.bind(credentials=attribution.credentials, partners=attribution.partners)
        self._rules = rules
        self._routing = Routing(rules.routes, rules.own, rules.own_routes)
        self._quantities = Quantities(self._statements, properties, are_events=typed) if properties else None
        # Mapped fields have a statement of their own; policies, partner tags and quantities depend on the whole line.
        members = (
            None
            if names or self._policy_check or tagging or properties
            else field_layout.layout_of(format_name, rules.partner_field)
        )
        self._templates = None if members is None else TemplateCache(members, partial(self.numbers, members.typing))
        self._templates_from = templates_from
        self._lines = 0
        credentials = attribution.credentials
        ends = [*credentials["from_us"].chunks, *credentials["to_us"].chunks]
        self._eras = np.sort(pc.unique(pa.chunked_array(ends, pa.int64())).to_numpy())
        owners = [
            *credentials["partner_id"].chunks,
            *attribution.partners["partner_id"].chunks,
            pa.array([rules.partner], pa.string()),
        ]
        self._owners = pc.unique(pa.concat_arrays(owners)).drop_null()
        self.layout_prefix = formats.layout_prefix(format_name)

    def decode(
        self, framed: Lines, generation: str, limits: pa.Table = NO_LIMITS, *, layout: str | None = None
    ) -> Decoded:
        """Events and refusals of `framed`, which belongs to the file or partition `generation`.

        `limits`, as LIMITS, by position: the times that a line may have, [earliest, latest), where lines were received
        at different times, and the partner named by the record's key. `layout`: the last line before the block that
        begins with `layout_prefix`.
        """
        if not framed.lines.num_rows:  # only blank lines: the steps below never see an empty block
            return Decoded(FRESH_EVENTS.empty_table(), DEAD.schema.empty_table())
        read = partial(self._read, generation=generation, layout=layout, limits=limits)
        self._lines += framed.lines.num_rows
        # A block of many lines waits until the JSON scan is loaded. Small blocks do not, even when many have come.
        many, more = framed.lines.num_rows >= self._templates_from, self._lines >= self._templates_from
        if self._templates is None or not (many or (more and self._templates.is_ready())):
            return read(framed)
        origin = LineOrigin(self._rules.source, generation)
        return Decoded(*self._templates.decode(framed, origin, self._bounds(framed, limits), read))

    def fields(self, framed: Lines, *, layout: str | None = None) -> pa.Table:
        """The fields read from every entry, safe to show; columns of ingest/decode/sql/fields.sql."""
        given = _given({**self._constants, "layout": layout})
        self._statements.bind(given=given, limits=NO_LIMITS, lines=framed.lines, unreadable=framed.unreadable)
        return self._statements.run("fields", self._steps)

    def _read(self, framed: Lines, generation: str, layout: str | None, limits: pa.Table) -> Decoded:
        """Decode each line by the statement."""
        given = _given({**self._constants, "generation": generation, "layout": layout})
        self._statements.bind(given=given, limits=limits, lines=framed.lines, unreadable=framed.unreadable)
        rows = self._routing.applied(_with_exact_reasons(_in_order(self._statements.run("events", self._steps))))
        rows = quantities.none(rows) if self._quantities is None else self._quantities.added(rows, framed)
        accepted = pc.is_null(rows["reason"])
        rows = rows.append_column("outside", self._marks(rows, accepted))
        constants = {"source": self._rules.source, "generation": generation}
        events = _shaped(rows, FRESH_EVENTS, constants)  # coded before the filter, which then has less to copy
        if pc.all(accepted, min_count=0).as_py():
            return Decoded(events, DEAD.schema.empty_table())
        refused = rows.filter(pc.invert(accepted))
        touched = pc.is_in(framed.lines["position"], value_set=pc.unique(refused["position"]))
        self._statements.bind(lines=framed.lines.filter(touched), refused=refused)
        several = bool((rows["item"].to_numpy() > 0).any())
        self._statements.bind(parts=self._statements.run("parts", self._steps) if several else _NO_PARTS)
        letters = self._statements.run("refuse")
        return Decoded(without_unused(events.filter(accepted)), _shaped(letters, DEAD.schema, constants))

    def numbers(self, typing: str, slices: pa.Table) -> pa.Table:
        """The numbers of slices, by the macros that the format's statement uses."""
        self._statements.bind(slices=slices)
        return self._statements.run("numbers", {"typed": typing})

    def _bounds(self, framed: Lines, limits: pa.Table) -> LineBounds:
        """What the statement compares with a line's time, and with its record's key."""
        position = framed.lines["position"].to_numpy()
        spans = np.empty((len(position), 2), np.int64)
        for side, limit in enumerate((self._rules.earliest_us, self._rules.latest_us)):
            spans[:, side] = _TIMES_US[side] if limit is None else limit
        context = np.zeros(len(position), np.int64)
        if limits.num_rows:
            limited, row = _rows_of(position, limits["position"].to_numpy())
            for side, name in enumerate(("earliest_us", "latest_us")):
                spans[limited, side] = limits[name].to_numpy()[row]
            context[limited] = self._numbered(limits["key"])[row]
        return LineBounds(np.clip(spans, *_TIMES_US, out=spans), context, self._eras)

    def _numbered(self, keys: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """0 without a record key, 1 for a key that is no partner (no line is accepted), else the owner's number."""
        number: npt.NDArray[np.int64] = (
            pc.index_in(keys, value_set=self._owners).fill_null(-1).to_numpy().astype(np.int64) + 2
        )
        number[keys.is_null().to_numpy()] = 0
        return number

    def _marks(self, rows: pa.Table, accepted: pa.ChunkedArray) -> pa.DictionaryArray:
        if self._policy_check is None:
            return pa.nulls(rows.num_rows, CODED)
        return self._policy_check.marks(rows, accepted)


def _rows_of(position: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> tuple[_Rows, _Rows]:
    """Which positions are among the `known` ones, and their rows there. Both are sorted, and mostly equal."""
    if np.array_equal(position, known):
        return slice(None), slice(None)
    row = np.minimum(np.searchsorted(known, position), len(known) - 1)
    found = known[row] == position
    return found, row[found]


class Parser:
    """One format without a catalog, for `python -m ingest parse`."""

    def __init__(self, format_name: str, *, trust_user: bool = True) -> None:
        """`trust_user`: whether to show users that the log does not prove, as for a source with this setting."""
        self._steps = _steps(format_name)
        self._statements = Statements(statements.connect(format_name))
        self._statements.bind(given=_given({"strict": formats.is_strict(format_name), "trust_user": trust_user}))

    def parse(self, framed: Lines) -> pa.Table:
        """The normalised fields of every entry, in order; columns of ingest/decode/sql/parse.sql."""
        self._statements.bind(lines=framed.lines, unreadable=framed.unreadable)
        return _with_exact_reasons(self._statements.run("parse", self._steps))


def _with_exact_reasons(rows: pa.Table) -> pa.Table:
    """`rows` with the exact reason of each entry that is suspicious or unreadable.

    Python parses only these entries, one by one; mostly there are none.
    """
    doubted = rows["doubted"]
    if doubted.null_count == len(doubted):
        return rows
    at = np.flatnonzero(doubted.is_valid().to_numpy())
    problems = [strict_json.problem(text) for text in doubted.drop_null().to_pylist()]
    mask = at[np.array([problem is not None for problem in problems], bool)]
    found = [problem for problem in problems if problem is not None]
    return _replaced(
        _replaced(rows, "reason", mask, [str(p.reason) for p in found]), "detail", mask, [p.detail for p in found]
    )


def _replaced(rows: pa.Table, name: str, at: npt.NDArray[np.int64], values: Sequence[str]) -> pa.Table:
    mask = np.zeros(rows.num_rows, bool)
    mask[at] = True
    column = rows[name].combine_chunks()
    changed = pc.replace_with_mask(column, pa.array(mask), pa.array(values, column.type))
    return rows.set_column(rows.schema.get_field_index(name), name, changed)


def _json_path(name: str | None) -> str | None:
    """The JSON path of a field. The catalog allows no quote in a name."""
    return None if name is None else "$" + "".join(f'."{part}"' for part in name.split("/"))


def _steps(format_name: str, *, mapped: bool = False) -> dict[str, str]:
    """The statements from lines to attributed entries, each after those it reads."""
    read = formats.statement(format_name)
    entries = {"read": read, "entries": statements.text("mapped")} if mapped else {"entries": read}
    return {**entries, "normalised": statements.text("normalise"), "attributed": statements.text("attribute")}


def _suspended(partners: pa.Table, partner: str | None) -> bool | None:
    if partner is None:
        return None
    return bool(pc.any(partners.filter(pc.equal(partners["partner_id"], partner))["suspended"]).as_py())


def _given(values: Mapping[str, object]) -> pa.Table:
    """The table `given` of the statements: values for all lines, null by default."""
    return pa.Table.from_pylist([dict(values)], GIVEN)


def _in_order(rows: pa.Table) -> pa.Table:
    """`rows` by position and item. Arrays and joins may change the order; mostly they do not."""
    position, item = rows["position"].to_numpy(), rows["item"].to_numpy()
    step = position[1:] - position[:-1]
    if bool(((step > 0) | ((step == 0) & (item[1:] > item[:-1]))).all()):
        return rows
    return rows.sort_by([("position", "ascending"), ("item", "ascending")])


def _shaped(rows: pa.Table, schema: pa.Schema, constants: Mapping[str, str]) -> pa.Table:
    """The columns of `schema`, in order and dictionary-coded where it asks for that; `constants` have one value."""
    columns = []
    for field in schema:
        name = field.name
        column = repeated(constants[name], rows.num_rows) if name in constants else rows[name]
        if field.type == CODED and not pa.types.is_dictionary(column.type):
            column = pc.dictionary_encode(column)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
